// Answers for damage to records: how it is done, and what a scrub has to say of it.

import { digestOfBytes } from '../../../src/oci/digest.ts'
import { parseRepositoryName } from '../../../src/oci/name.ts'
import { parseTag } from '../../../src/oci/tag.ts'
import { parseUploadId } from '../../../src/oci/upload-id.ts'
import {
  blobKey,
  childKey,
  contentsKey,
  destructionKey,
  droppedKey,
  holderKey,
  leaseKey,
  linkKey,
  manifestKey,
  moveKey,
  ownedRefreshTokenKey,
  referenceKey,
  referrerKey,
  refreshTokenKey,
  repositoryKey,
  tagKey,
  tagOfDigestKey,
  uploadKey,
} from '../../../src/storage/metadata/kv/keys.ts'
import { encodeToken } from '../../../src/storage/metadata/kv/token-encoding.ts'
import type { Damage, Expected } from './damage.ts'
import { imageOf, indexOf, type Place } from './place.ts'

const other = digestOfBytes('sha256', Buffer.from('nowhere'))
const ghost = parseRepositoryName('nobody/at-all')!

/** It follows from what else is there. */
function repairs(kind: Expected['kind'], what: string): readonly Expected[] {
  return [{ kind, what, dry: 'found', real: 'repaired' }]
}

function stays(kind: Expected['kind'], what: string): readonly Expected[] {
  return [{ kind, what, dry: 'left', real: 'left', again: 'left' }]
}

const leaseMs = 1_800_000_000_000

export const recordDamage: Readonly<Record<string, Damage>> = {
  'a tag of a manifest that is not there': async (at) => {
    const tag = parseTag('dangling')!
    await at.row(tagKey(at.repository, tag), other)
    await at.row(tagOfDigestKey(at.repository, other, tag), '1')
    return stays('tag-dangling', tagKey(at.repository, tag))
  },
  'a lost body': async (at) => {
    const key = manifestKey(at.repository, at.image.manifest)
    await at.change((t) => t.removeBody(key))
    return lost('body-missing', key, at)
  },
  'a body of other bytes': async (at) => {
    const key = manifestKey(at.repository, at.image.manifest)
    await at.change((t) => t.putBody(key, imageOf('other').bytes))
    return lost('body-corrupt', key, at)
  },
  'lost contents': async (at) => {
    const key = contentsKey(at.repository, at.image.manifest)
    await at.row(key, undefined)
    return repairs('contents-missing', key)
  },
  'contents that name something else': async (at) => {
    const key = contentsKey(at.repository, at.image.manifest)
    await at.row(key, JSON.stringify({ blobs: [other], children: [] }))
    return repairs('contents-wrong', key)
  },
  'contents that cannot be read': async (at) => {
    const key = contentsKey(at.repository, at.image.manifest)
    await at.row(key, '{"blobs":')
    return repairs('record-unreadable', key)
  },
  'a lost record of a manifest': async (at) => {
    const key = manifestKey(at.repository, at.image.manifest)
    await at.row(key, undefined)
    return repairs('manifest-record-missing', key)
  },
  'a lost record of a manifest and its contents': async (at) => {
    const key = manifestKey(at.repository, at.image.manifest)
    await at.row(key, undefined)
    await at.row(contentsKey(at.repository, at.image.manifest), undefined)
    return repairs('manifest-record-missing', key)
  },
  'another media type than the body has': async (at) => {
    const key = manifestKey(at.repository, at.image.manifest)
    await at.row(key, 'application/vnd.docker.distribution.manifest.v2+json')
    return repairs('media-type-wrong', key)
  },
  'a body without a record': async (at) => {
    const key = manifestKey(at.repository, other)
    await at.change((t) => t.putBody(key, Buffer.from('left over')))
    return stays('body-extra', key)
  },
  'a tag without its index': async (at) => {
    const key = tagOfDigestKey(at.repository, at.image.manifest, at.tag)
    await at.row(key, undefined)
    return repairs('tag-index-missing', key)
  },
  'an index of a tag that never was': async (at) => {
    const key = tagOfDigestKey(at.repository, at.image.manifest, parseTag('never')!)
    await at.row(key, '1')
    return repairs('tag-index-extra', key)
  },
  'a lost tag': async (at) => {
    const key = tagKey(at.repository, at.tag)
    await at.row(key, undefined)
    return repairs('tag-missing', key)
  },
  'a tag that cannot be read': async (at) => {
    const key = tagKey(at.repository, at.tag)
    await at.row(key, 'sha256:nothing')
    return repairs('record-unreadable', key)
  },
  'a move of a tag that cannot be read': async (at) => {
    const key = moveKey(at.repository, parseTag('moved')!, 0)
    await at.row(key, 'yesterday')
    return stays('record-unreadable', key)
  },
  'a lost reference': async (at) => {
    const key = referenceKey(at.repository, at.image.layer, at.image.manifest)
    await at.row(key, undefined)
    const link = linkKey(at.repository, at.image.layer)
    // Seen from the blob, it says that it is in use, and nothing uses it.
    return [...repairs('reference-missing', key), ...repairs('lease-missing', link)]
  },
  'a reference of no manifest': async (at) => {
    const blob = await at.pushBlob(`unreferenced in ${at.repository}`)
    const key = referenceKey(at.repository, blob, other)
    await at.row(key, '1')
    return repairs('reference-extra', key)
  },
  'a lost child': async (at) => {
    const { digest, bytes } = indexOf([at.image])
    await at.pushManifest(bytes)
    const key = childKey(at.repository, at.image.manifest, digest)
    await at.row(key, undefined)
    return repairs('child-missing', key)
  },
  'a child of no index': async (at) => {
    const key = childKey(at.repository, at.image.manifest, other)
    await at.row(key, '1')
    return repairs('child-extra', key)
  },
  'a lost referrer': async (at) => {
    const key = await referrer(at)
    await at.row(key, undefined)
    return repairs('referrer-missing', key)
  },
  'a referrer that says something else': async (at) => {
    const key = await referrer(at)
    await at.row(key, at.get(key)!.replace(/"size":\d+/, '"size":1'))
    return repairs('referrer-wrong', key)
  },
  'a referrer of no manifest': async (at) => {
    const key = referrerKey(at.repository, at.image.manifest, other)
    await at.row(key, JSON.stringify({ mediaType: 'text/plain', digest: other, size: 1 }))
    return repairs('referrer-extra', key)
  },
  'a lost link': async (at) => {
    const key = linkKey(at.repository, at.image.layer)
    await at.row(key, undefined)
    return repairs('link-missing', key)
  },
  'a link that cannot be read': async (at) => {
    const key = linkKey(at.repository, at.image.layer)
    await at.row(key, 'for ever')
    return repairs('record-unreadable', key)
  },
  'a lost holder': async (at) => {
    const key = holderKey(at.image.layer, at.repository)
    await at.row(key, undefined)
    return repairs('holder-missing', key)
  },
  'a holder without a link': async (at) => {
    const key = holderKey(at.image.layer, ghost)
    await at.row(key, '1')
    return repairs('holder-extra', key)
  },
  'a lease of what is in use': async (at) => {
    const key = linkKey(at.repository, at.image.layer)
    await at.row(key, String(leaseMs))
    await at.row(leaseKey(leaseMs, at.image.layer, at.repository), '1')
    return repairs('lease-extra', key)
  },
  'no lease of what nothing uses': async (at) => {
    const blob = await at.pushBlob(`leased in ${at.repository}`)
    const key = linkKey(at.repository, blob)
    await at.row(leaseKey(Number(at.get(key)), blob, at.repository), undefined)
    await at.row(key, '-')
    return repairs('lease-missing', key)
  },
  'a lease that no list of leases has': async (at) => {
    const blob = await at.pushBlob(`leased in ${at.repository}`)
    const key = leaseKey(Number(at.get(linkKey(at.repository, blob))), blob, at.repository)
    await at.row(key, undefined)
    return repairs('lease-index-missing', key)
  },
  'a list of leases that has one too many': async (at) => {
    const key = leaseKey(leaseMs, at.image.layer, at.repository)
    await at.row(key, '1')
    return repairs('lease-index-extra', key)
  },
  'a catalogue that lacks a repository': async (at) => {
    const key = repositoryKey(at.repository)
    await at.row(key, undefined)
    return repairs('catalogue-missing', key)
  },
  'a catalogue that names nothing': async (at) => {
    const key = repositoryKey(parseRepositoryName(`${at.repository}/none`)!)
    await at.row(key, '1')
    return repairs('catalogue-extra', key)
  },
  'another size in a record': async (at) => {
    await at.row(blobKey(at.image.layer), '5 live -')
    return repairs('record-size', at.image.layer)
  },
  'a lost record of a blob': async (at) => {
    await at.row(blobKey(at.image.layer), undefined)
    return repairs('blob-record-missing', blobKey(at.image.layer))
  },
  'a record of a blob that cannot be read': async (at) => {
    await at.row(blobKey(at.image.layer), 'twelve bytes')
    return repairs('record-unreadable', blobKey(at.image.layer))
  },
  'a blob that is condemned while it is held': async (at) => {
    await at.row(blobKey(at.image.layer), `${at.contents.get(at.image.layer)!.length} condemned 7`)
    return repairs('condemned-held', blobKey(at.image.layer))
  },
  'a condemned blob that no list has': async (at) => {
    const blob = await unheld(at)
    await at.row(blobKey(blob), `${at.contents.get(blob)!.length} condemned 7`)
    return repairs('dropped-missing', droppedKey(7, blob))
  },
  'a list of the condemned that has one too many': async (at) => {
    const key = droppedKey(8, at.image.layer)
    await at.row(key, JSON.stringify({ size: 1, run: 'r' }))
    return repairs('dropped-extra', key)
  },
  'a blob that is being destroyed and that no list has': async (at) => {
    const blob = await unheld(at)
    await at.row(blobKey(blob), `${at.contents.get(blob)!.length} destroying -`)
    return repairs('destruction-missing', destructionKey(blob))
  },
  'a destruction of what lives': async (at) => {
    const key = destructionKey(at.image.layer)
    await at.row(key, '12')
    return repairs('destruction-extra', key)
  },
  'a record of no known kind': async (at) => {
    await at.row(`z!${at.repository}`, 'what is this?')
    return stays('record-unknown', `z!${at.repository}`)
  },
  'an upload that cannot be read': async (at) => {
    const key = uploadKey(parseUploadId('00000000-0000-4000-8000-000000000000')!)
    await at.row(key, 'not JSON')
    return stays('record-unreadable', key)
  },
  'a refresh token without its index': async (at) => {
    const secretSha256 = 'a'.repeat(64)
    const token = { id: 'one', secretSha256, username: 'ann', userVersion: '1' }
    const stored = encodeToken({ ...token, createdAtMs: 1, expiresAtMs: leaseMs })
    await at.row(refreshTokenKey(secretSha256), stored)
    return repairs(
      'refresh-token-index-missing',
      `${ownedRefreshTokenKey('ann', secretSha256).slice(0, 10)}…`,
    )
  },
}

function lost(kind: Expected['kind'], key: string, at: Place): readonly Expected[] {
  const { repository, image } = at
  const waiting = `${repository}@${image.manifest}`
  return [{ kind, what: key, dry: 'found', real: 'quarantined', healed: true, waiting }]
}

async function referrer(at: Place): Promise<string> {
  const { manifest, bytes } = at.image
  const text = `signature in ${at.repository}`
  const subject = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: manifest,
    size: bytes.length,
  }
  const image = imageOf(text, subject)
  await at.push(image, text)
  return referrerKey(at.repository, manifest, image.manifest)
}

/** A blob that no repository holds, with its rows by time taken away. */
async function unheld(at: Place): Promise<Parameters<typeof blobKey>[0]> {
  const blob = await at.pushBlob(`let go in ${at.repository}`)
  await at.scene.metadata.unlinkBlob(at.repository, blob, leaseMs)
  await at.row(leaseKey(leaseMs, blob), undefined)
  return blob
}
