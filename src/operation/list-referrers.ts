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
import { isCursor, openCursor, sealCursor } from './list-cursor.ts'
import type { Registry } from './registry.ts'
import type { Sight } from './sight.ts'
import { judge } from './visible-page.ts'

type GetReferrers = Extract<Action, { kind: 'get-referrers' }>

const pageLimitMax = 1000
// Clients read an index of up to 4 MiB, the size that every registry must accept for a manifest.
const pageBytesMax = 4 * 1024 * 1024 - 4096
// What is stored was within the limits of its day; the configuration may have changed since.
const storedLimits = { ...defaultManifestLimits, descriptorsMax: 1_000_000 }
const encoder = new TextEncoder()

/** An unknown subject has no referrers, which is not an error. Source: distribution-spec end-12a, end-12b. */
export async function listReferrers(
  action: GetReferrers,
  registry: Registry,
  { references }: Sight,
): Promise<Reply> {
  const limit = Math.min(action.page.limit ?? pageLimitMax, pageLimitMax)
  const { last: given } = action.page
  const start = isCursor(given) ? await openCursor(registry, pathOf(action), given) : given
  const after = start === undefined ? undefined : parseDigest(start)
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
  const candidates = found.slice(0, limit)
  const judged =
    references && (await judge(candidates, ({ digest }) => references({ kind: 'digest', digest })))
  const { manifests, last } = fitting(candidates, judged?.answers)
  const isAll = last === undefined || last.index === found.length - 1
  const next = isAll ? undefined : await nextPage(action, limit, last, registry)
  return referrersReply(action, manifests, next)
}

interface Last {
  readonly index: number
  readonly digest: Digest
  readonly isSeen: boolean
}

/** As many as a page holds; what may not be seen counts too, as it did when they were read. */
function fitting(
  candidates: readonly Descriptor[],
  areSeen: readonly boolean[] = candidates.map(() => true),
): { readonly manifests: readonly string[]; readonly last: Last | undefined } {
  const manifests: string[] = []
  let bytes = 0
  let last: Last | undefined
  for (const [index, isSeen] of areSeen.entries()) {
    const descriptor = candidates[index]
    if (descriptor === undefined) break
    const text = JSON.stringify(descriptor)
    bytes += Buffer.byteLength(text) + 1
    if (bytes > pageBytesMax && last !== undefined) break
    if (isSeen) manifests.push(text)
    last = { index, digest: descriptor.digest, isSeen }
  }
  return { manifests, last }
}

function referrersReply(
  action: GetReferrers,
  manifests: readonly string[],
  next: string | undefined,
): Reply {
  const headers: HeaderPair[] = [['Content-Type', mediaTypes.ociIndex], apiVersion]
  if (action.artifactType !== undefined) headers.push(['OCI-Filters-Applied', 'artifactType'])
  if (next !== undefined) headers.push(['Link', next])
  const head = `{"schemaVersion":2,"mediaType":"${mediaTypes.ociIndex}","manifests":[`
  return {
    kind: 'whole',
    status: 200,
    headers: new HeaderBlock(headers),
    body: encoder.encode(`${head}${manifests.join(',')}]}`),
  }
}

async function nextPage(
  action: GetReferrers,
  limit: number,
  { digest, isSeen }: Last,
  registry: Registry,
): Promise<string> {
  const path = pathOf(action)
  return linkNext(path, {
    ...(action.artifactType === undefined ? {} : { artifactType: action.artifactType }),
    n: String(limit),
    last: isSeen ? digest : await sealCursor(registry, path, digest),
  })
}

function pathOf({ digest, repository }: GetReferrers): string {
  return `/v2/${repository}/referrers/${digest}`
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
