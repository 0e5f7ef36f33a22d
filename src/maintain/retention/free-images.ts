// Tags that nothing keeps go, and with the last of them the manifest, and what only it listed.

import type { Digest } from '../../oci/digest.ts'
import { type Descriptor, defaultManifestLimits, parseManifest } from '../../oci/manifest.ts'
import type { RepositoryName } from '../../oci/name.ts'
import type { StoredManifest } from '../../storage/metadata/contract.ts'
import type { Removal } from '../../storage/metadata/garbage.ts'
import type { TagTimes } from '../../storage/metadata/tag-times.ts'
import type { JobContext } from '../job/contract.ts'
import type { PruneSettings } from './contract.ts'
import type { Tally } from './tally.ts'

export interface FreeRun {
  readonly context: JobContext
  readonly settings: PruneSettings
  readonly tally: Tally
}

// A push waits for the transaction before its own.
const tagsPerTransaction = 200

/** `freed`: by the manifest that they name. Errors: as `context.pace`; StorageError 'unavailable', 'full'. */
export async function freeImages(
  run: FreeRun,
  repository: RepositoryName,
  freed: ReadonlyMap<Digest, readonly TagTimes[]>,
): Promise<void> {
  for (const [digest, tags] of freed) {
    for (let at = 0; at < tags.length; at += tagsPerTransaction) {
      const some = tags.slice(at, at + tagsPerTransaction)
      await run.tally.passingOver(`${repository}@${digest}`, () =>
        freeTags(run, repository, digest, some),
      )
    }
  }
}

async function freeTags(
  run: FreeRun,
  repository: RepositoryName,
  digest: Digest,
  seen: readonly TagTimes[],
): Promise<void> {
  const { context, settings, tally } = run
  const { metadata } = context
  await context.pace({ items: seen.length, bytes: 0 })
  const isImmutable = settings.isImmutable(repository)
  const { tags, manifest } = await context.changing(() =>
    metadata.freeTags(repository, digest, seen, { ...removal(run), isImmutable }),
  )
  tally.counts.changed += seen.length - tags.length
  for (const tag of tags) {
    tally.freed(repository, tag)
    context.record({ deed: 'delete-tag', repository, digest, tag, reason: 'no rule keeps it' })
  }
  if (manifest !== 'removed') return
  tally.counts.manifests += 1
  const reason = 'no tag names it any more, and no index lists it'
  context.record({ deed: 'delete-manifest', repository, digest, reason })
  const removed = await metadata.findRemovedManifest(repository, digest)
  await freeChildren(run, repository, removed?.children ?? [])
}

/**
 * Of an index that is gone: those that nothing else uses, and what they list. Each is looked at once.
 * Errors: as `freeImages`.
 */
export async function freeChildren(
  run: FreeRun,
  repository: RepositoryName,
  children: readonly Digest[],
): Promise<void> {
  const { tally } = run
  const known = new Set(children)
  // Grows while it is gone through.
  for (const child of known) {
    const grandchildren = await tally.passingOver(`${repository}@${child}`, () =>
      freeChild(run, repository, child),
    )
    for (const grandchild of grandchildren ?? []) known.add(grandchild)
  }
}

/** What it lists, where it goes. */
async function freeChild(
  run: FreeRun,
  repository: RepositoryName,
  child: Digest,
): Promise<readonly Digest[]> {
  const { context, tally } = run
  const { metadata } = context
  await context.pace({ items: 1, bytes: 0 })
  if (context.shared) metadata.refresh()
  const manifest = await metadata.readManifest(repository, child)
  if (manifest === undefined || (await refersToSubject(run, repository, manifest))) return []
  const outcome = await context.changing(() =>
    metadata.removeUnused(repository, child, removal(run)),
  )
  if (outcome !== 'removed') return []
  tally.counts.manifests += 1
  const reason = 'only an index listed it, which retention has removed'
  context.record({ deed: 'delete-manifest', repository, digest: child, reason })
  return (await metadata.findRemovedManifest(repository, child))?.children ?? []
}

/** Whether it is listed among the referrers of a manifest that is there. */
async function refersToSubject(
  { context, tally }: FreeRun,
  repository: RepositoryName,
  { bytes, mediaType, digest }: StoredManifest,
): Promise<boolean> {
  const limits = { ...defaultManifestLimits, descriptorsMax: Number.MAX_SAFE_INTEGER }
  let subject: Descriptor | undefined
  try {
    subject = parseManifest(bytes, mediaType, limits).subject
  } catch (error) {
    // Who does not know what it refers to leaves it.
    tally.fault(`${repository}@${digest}`, error)
    return true
  }
  if (subject === undefined) return false
  return (await context.metadata.readManifest(repository, subject.digest)) !== undefined
}

function removal({ context, settings }: FreeRun): Removal {
  const nowMs = context.now()
  return { nowMs, leaseUntilMs: nowMs + settings.graceMs, run: context.run }
}
