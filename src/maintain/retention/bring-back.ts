// A tag back to a manifest that it named before: out of the restore window, where it has gone.

import type { Digest } from '../../oci/digest.ts'
import {
  type Descriptor,
  defaultManifestLimits,
  parseManifest,
  referrerDescriptor,
} from '../../oci/manifest.ts'
import type { RepositoryName } from '../../oci/name.ts'
import type { Tag } from '../../oci/tag.ts'
import type { ManifestPutResult, StoredManifest } from '../../storage/metadata/contract.ts'
import { type RoomAnswer, refusal } from './answer.ts'
import type { TagCallsSource } from './contract.ts'

interface Wanted {
  readonly repository: RepositoryName
  readonly tag: Tag
  readonly digest: Digest
  /** Where it points now. */
  readonly current: Digest | undefined
}

// A run of prune, or a client, may take it away meanwhile; each does so once.
const triesMax = 3

/** Errors: StorageError. */
export async function bringBack(source: TagCallsSource, wanted: Wanted): Promise<RoomAnswer> {
  const { record } = source
  const { repository, tag, digest, current } = wanted
  const restored: Digest[] = []
  const reason = `an operator asked for ${repository}:${tag}`
  let outcome: Outcome = { kind: 'gone' }
  for (let tries = 1; tries <= triesMax && outcome.kind === 'gone'; tries++) {
    const before = restored.length
    const missing = await restoreTree(source, wanted, restored)
    for (const back of restored.slice(before)) {
      record({ deed: 'restore-manifest', repository, digest: back, reason })
    }
    if (missing !== undefined) return refusal(409, missing)
    outcome = await pointTo(source, wanted)
  }
  if (outcome.kind === 'gone') return refusal(409, goneFor(digest, digest))
  if (outcome.kind === 'refused') return refusal(409, outcome.why)
  record({ deed: 'restore-tag', repository, tag, digest, reason: 'an operator asked for it' })
  return {
    status: 200,
    body: {
      ...{ repository, tag, digest },
      ...(current === undefined ? {} : { from: current }),
      restoredManifests: restored,
    },
  }
}

/** What an index lists comes back before it. Answers why that cannot be. */
async function restoreTree(
  { parts, settings }: TagCallsSource,
  { repository, digest }: Wanted,
  restored: Digest[],
): Promise<string | undefined> {
  const { metadata, changing, now } = parts
  // The last is what the one before it waits for.
  const waiting: Digest[] = [digest]
  const tried = new Set<Digest>()
  for (;;) {
    const next = waiting.at(-1)
    if (next === undefined) return undefined
    if ((await metadata.readManifest(repository, next)) !== undefined) {
      waiting.pop()
      continue
    }
    const removed = await metadata.findRemovedManifest(repository, next)
    if (removed === undefined) return goneFor(digest, next)
    const nowMs = now()
    const by = { nowMs, leaseUntilMs: nowMs + settings().graceMs, tags: [] }
    const outcome = await changing(() => metadata.restoreManifest(removed, by))
    if (outcome.kind === 'restored') {
      restored.push(next)
      waiting.pop()
      continue
    }
    // Twice the same: what it names is no manifest, and gone, or somebody takes it away meanwhile.
    if (outcome.kind === 'absent' || tried.has(next)) return goneFor(digest, next)
    tried.add(next)
    for (const lacking of outcome.digests) {
      if (!removed.children.includes(lacking)) return goneFor(digest, lacking)
      waiting.push(lacking)
    }
  }
}

function goneFor(wanted: Digest, gone: Digest): string {
  return gone === wanted
    ? `${wanted} is gone: nobody can bring it back but by a push`
    : `${wanted} needs ${gone}, which is gone: nobody can bring it back but by a push`
}

/** `gone`: it has gone again. */
type Outcome =
  | { readonly kind: 'pointed' | 'gone' }
  | { readonly kind: 'refused'; readonly why: string }

/** As a push of the same manifest would. */
async function pointTo(
  { parts, settings }: TagCallsSource,
  { repository, tag, digest }: Wanted,
): Promise<Outcome> {
  const { metadata, changing, now } = parts
  const manifest = await metadata.readManifest(repository, digest)
  if (manifest === undefined) return { kind: 'gone' }
  const { isImmutable, quotas } = settings()
  const contents = contentsOf(manifest)
  const result = await changing(() =>
    metadata.putManifest({
      ...{ repository, digest, tags: [tag], nowMs: now(), ...contents },
      ...{ mediaType: manifest.mediaType, bytes: manifest.bytes },
      // It is there as it is, whatever has become of what it names.
      ...{ allowMissingBlobs: true, allowMissingChildren: true },
      ...{ quotas: quotas(repository), isImmutable: isImmutable(repository) },
    }),
  )
  return outcomeOf(result, repository)
}

function outcomeOf(result: ManifestPutResult, repository: string): Outcome {
  const refused = (why: string): Outcome => ({ kind: 'refused', why })
  switch (result.kind) {
    case 'stored':
      return { kind: 'pointed' }
    case 'immutable':
      return refused(`${repository}:${result.tag} is immutable`)
    case 'over-quota':
      return refused('a quota of the repository has no room for it')
    case 'missing':
      return refused(`it needs ${result.digests[0]}, which is gone`)
    default:
      return result satisfies never
  }
}

function contentsOf({ bytes, mediaType, digest }: StoredManifest) {
  const limits = { ...defaultManifestLimits, descriptorsMax: Number.MAX_SAFE_INTEGER }
  const manifest = parseManifest(bytes, mediaType, limits)
  const { subject } = manifest
  return {
    blobs: digestsOf(manifest.blobs),
    optionalBlobs: digestsOf(manifest.foreign),
    children: digestsOf(manifest.children),
    ...(subject === undefined
      ? {}
      : {
          subject: subject.digest,
          descriptor: referrerDescriptor(manifest, digest, bytes.length),
        }),
  }
}

function digestsOf(descriptors: readonly Descriptor[]): Digest[] {
  return descriptors.map((descriptor) => descriptor.digest)
}
