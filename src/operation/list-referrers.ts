// Who refers to a manifest: the recorded ones, and those that older clients put under the fallback tag.

import { apiVersion } from '../http/error-reply.ts'
import { HeaderBlock, type HeaderPair } from '../http/header-block.ts'
import type { Reply } from '../http/reply.ts'
import { type Digest, digestAlgorithm, digestHex, parseDigest } from '../oci/digest.ts'
import { linkNext } from '../oci/link.ts'
import { type Descriptor, defaultManifestLimits, parseManifest } from '../oci/manifest.ts'
import { mediaTypes } from '../oci/media-type.ts'
import { parseTag } from '../oci/tag.ts'
import type { Action } from '../route/action.ts'
import type { Registry } from './registry.ts'

type GetReferrers = Extract<Action, { kind: 'get-referrers' }>

const pageLimitMax = 1000
// Clients read an index of up to 4 MiB, the size that every registry must accept for a manifest.
const pageBytesMax = 4 * 1024 * 1024 - 4096
// What is stored was within the limits of its day; the configuration may have changed since.
const storedLimits = { ...defaultManifestLimits, descriptorsMax: 1_000_000 }
const encoder = new TextEncoder()

/** An unknown subject has no referrers, which is not an error. Source: distribution-spec end-12a, end-12b. */
export async function listReferrers(action: GetReferrers, registry: Registry): Promise<Reply> {
  const limit = Math.min(action.page.limit ?? pageLimitMax, pageLimitMax)
  const after = action.page.last === undefined ? undefined : parseDigest(action.page.last)
  const recorded = await registry.metadata.listReferrers(action.repository, action.digest, {
    limit: limit + 1,
    jsonLengthMax: pageBytesMax,
    ...(after === undefined ? {} : { after }),
    ...(action.artifactType === undefined ? {} : { artifactType: action.artifactType }),
  })
  const known = new Set(recorded.map((descriptor) => descriptor.digest))
  const tagged = (await fallbackReferrers(action, registry)).filter(
    (descriptor) =>
      !known.has(descriptor.digest) && (after === undefined || descriptor.digest > after),
  )
  const found = [...recorded, ...tagged].sort((a, b) => (a.digest < b.digest ? -1 : 1))
  return referrersReply(action, found, limit)
}

function referrersReply(action: GetReferrers, found: readonly Descriptor[], limit: number): Reply {
  const manifests: string[] = []
  let bytes = 0
  let last: Digest | undefined
  for (const descriptor of found.slice(0, limit)) {
    const text = JSON.stringify(descriptor)
    bytes += Buffer.byteLength(text) + 1
    if (bytes > pageBytesMax && last !== undefined) break
    manifests.push(text)
    last = descriptor.digest
  }
  const headers: HeaderPair[] = [['Content-Type', mediaTypes.ociIndex], apiVersion]
  if (action.artifactType !== undefined) headers.push(['OCI-Filters-Applied', 'artifactType'])
  if (manifests.length < found.length && last !== undefined) {
    headers.push(['Link', nextPage(action, limit, last)])
  }
  const head = `{"schemaVersion":2,"mediaType":"${mediaTypes.ociIndex}","manifests":[`
  return {
    kind: 'whole',
    status: 200,
    headers: new HeaderBlock(headers),
    body: encoder.encode(`${head}${manifests.join(',')}]}`),
  }
}

function nextPage(action: GetReferrers, limit: number, last: Digest): string {
  return linkNext(`/v2/${action.repository}/referrers/${action.digest}`, {
    ...(action.artifactType === undefined ? {} : { artifactType: action.artifactType }),
    n: String(limit),
    last,
  })
}

// Source: distribution-spec "Referrers Tag Schema": algorithm up to 32 characters, hex up to 64.
async function fallbackReferrers(
  action: GetReferrers,
  registry: Registry,
): Promise<readonly Descriptor[]> {
  const { digest, repository } = action
  const tag = parseTag(`${digestAlgorithm(digest)}-${digestHex(digest).slice(0, 64)}`)
  if (tag === undefined) return []
  const tagged = await registry.metadata.readTag(repository, tag)
  if (tagged === undefined) return []
  const manifest = await registry.metadata.readManifest(repository, tagged)
  if (manifest === undefined || manifest.mediaType !== mediaTypes.ociIndex) return []
  const { children } = parseManifest(manifest.bytes, mediaTypes.ociIndex, storedLimits)
  return children.filter(
    (descriptor) =>
      action.artifactType === undefined || descriptor.artifactType === action.artifactType,
  )
}
