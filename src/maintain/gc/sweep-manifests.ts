// Deletes manifests that nothing has used for as long as the configuration says, where it says so.
//
// Method: one look at each manifest of a repository. An index goes before what it lists, which is unused
// from then on; so nests of any depth go one level a time, and no walk ever looks at one twice.

import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/name.ts'
import type { ManifestSummary } from '../../storage/metadata/garbage.ts'
import { roughDuration } from '../../telemetry/rough-units.ts'
import type { GcRun, GcSettings } from './settings.ts'
import { isCorrupt } from './tally.ts'

const repositoriesPerPage = 100
// Requests wait while a page is read: so many manifests of a hundred layers take a few milliseconds.
const manifestsPerPage = 10
// Those that go together share a commit. Each reference that goes costs some 50 µs, for which requests wait.
const referencesAtOnce = 60

/** Errors: as `context.pace`; StorageError 'unavailable', 'full'. */
export async function sweepManifests(run: GcRun): Promise<void> {
  const { context, input } = run
  const { untagged, orphanReferrers } = run.settings()
  if (untagged === 'keep' && orphanReferrers === 'keep') return
  const sweep = new Sweep(run)
  let after = input.dryRun ? undefined : resumedAfter(context.resumed)
  for (;;) {
    if (context.shared) context.metadata.refresh()
    const repositories = await context.metadata.listRepositories({
      limit: repositoriesPerPage,
      ...(after === undefined ? {} : { after }),
    })
    for (const repository of repositories) await sweep.repository(repository)
    after = repositories.at(-1)
    if (after === undefined || repositories.length < repositoriesPerPage) return
    if (!input.dryRun) await context.checkpoint({ sweptTo: after })
  }
}

function resumedAfter(resumed: unknown): string | undefined {
  if (typeof resumed !== 'object' || resumed === null || !('sweptTo' in resumed)) return undefined
  return typeof resumed.sweptTo === 'string' ? resumed.sweptTo : undefined
}

/** Why a manifest may go; undefined while it is used. */
type Unused = 'untagged' | 'orphan' | undefined

interface Due {
  readonly manifest: ManifestSummary
  readonly why: 'untagged' | 'orphan'
  /** Since 1970. */
  readonly unusedSinceMs: number
}

class Sweep {
  readonly #run: GcRun
  #looked = 0

  constructor(run: GcRun) {
    this.#run = run
  }

  async repository(repository: RepositoryName): Promise<void> {
    // What an index listed begins to count when the index has gone, not at the next sweep.
    if (await this.#pass(repository)) await this.#pass(repository)
  }

  /** Answers whether an index went. */
  async #pass(repository: RepositoryName): Promise<boolean> {
    const { context, flushPulls, tally } = this.#run
    const { metadata } = context
    let hasIndexGone = false
    let after: Digest | undefined
    for (;;) {
      if (context.shared) metadata.refresh()
      const manifests = await metadata.listManifests(repository, {
        ...{ limit: manifestsPerPage, onCorrupt: tally.onCorrupt },
        ...(after === undefined ? {} : { after }),
      })
      if (manifests.length === 0) return hasIndexGone
      await context.pace({ items: manifests.length, bytes: 0 })
      await flushPulls()
      const due = await this.#judge(repository, manifests)
      for (const batch of inBatches(due)) {
        if (await this.#remove(repository, batch)) hasIndexGone = true
      }
      this.#looked += manifests.length
      context.progress({ phase: 'manifests', done: this.#looked })
      after = manifests.at(-1)?.digest
    }
  }

  async #judge(
    repository: RepositoryName,
    manifests: readonly ManifestSummary[],
  ): Promise<readonly Due[]> {
    const { context, input, settings, tally } = this.#run
    const unused: Digest[] = []
    const used: Digest[] = []
    const due: Due[] = []
    const { untaggedAfterMs } = settings()
    for (const manifest of manifests) {
      const { digest, unusedSinceMs } = manifest
      const why = await this.#whyUnused(repository, manifest)
      if (why === undefined) {
        if (unusedSinceMs !== undefined) used.push(digest)
      } else if (unusedSinceMs === undefined) {
        unused.push(digest)
      } else if (unusedSinceMs < context.now() - untaggedAfterMs) {
        const lastUseMs = Math.max(unusedSinceMs, await this.#pulledAt(repository, digest))
        if (lastUseMs < context.now() - untaggedAfterMs) {
          due.push({ manifest, why, unusedSinceMs: lastUseMs })
        }
      }
    }
    if (input.dryRun) return due
    if (unused.length + used.length > 0) {
      await context.metadata.markUnused(repository, { unused, used }, context.now())
      tally.marked += unused.length
    }
    return due
  }

  /** 0: never. What cannot be read may have been pulled just now. */
  async #pulledAt(repository: RepositoryName, digest: Digest): Promise<number> {
    const { context, tally } = this.#run
    try {
      return (await context.metadata.readPulledAt(repository, digest)) ?? 0
    } catch (error) {
      if (!isCorrupt(error)) throw error
      tally.fault(`${digest} of ${repository} is passed over`, error)
      return context.now()
    }
  }

  async #whyUnused(repository: RepositoryName, manifest: ManifestSummary): Promise<Unused> {
    const { untagged, orphanReferrers }: GcSettings = this.#run.settings()
    const { isListed, subject, tags } = manifest
    if (tags.length > 0 || isListed) return undefined
    if (subject === undefined) return untagged === 'delete' ? 'untagged' : undefined
    if (orphanReferrers === 'keep') return undefined
    const { metadata } = this.#run.context
    try {
      return (await metadata.readManifest(repository, subject)) === undefined ? 'orphan' : undefined
    } catch (error) {
      // Its subject is there, and cannot be read: whoever looks into that may need its signatures.
      if (isCorrupt(error)) return undefined
      throw error
    }
  }

  /** Answers whether an index was among them. */
  async #remove(repository: RepositoryName, due: readonly Due[]): Promise<boolean> {
    const { context, input } = this.#run
    if (input.dryRun) {
      for (const each of due) this.#tell(repository, each)
      return false
    }
    const removals = await context.changing(() =>
      Promise.allSettled(due.map((each) => this.#removeOne(repository, each))),
    )
    for (const each of removals) if (each.status === 'rejected') throw each.reason
    return removals.some((each) => each.status === 'fulfilled' && each.value)
  }

  async #removeOne(repository: RepositoryName, due: Due): Promise<boolean> {
    const { context, settings, tally } = this.#run
    const { digest, children } = due.manifest
    const nowMs = context.now()
    const { graceMs, untaggedAfterMs } = settings()
    try {
      const result = await context.metadata.removeUnused(repository, digest, {
        ...{ nowMs, leaseUntilMs: nowMs + graceMs, run: context.run },
        unusedBeforeMs: nowMs - untaggedAfterMs,
      })
      if (result !== 'removed') return false
    } catch (error) {
      if (!isCorrupt(error)) throw error
      tally.fault(`${digest} of ${repository} is passed over`, error)
      return false
    }
    this.#tell(repository, due)
    return children.length > 0
  }

  #tell(repository: RepositoryName, { manifest, unusedSinceMs, why }: Due): void {
    const { context, input, settings, tally } = this.#run
    const { digest, size } = manifest
    tally.add(tally.removed, size)
    tally.example('deleted', digest)
    tally.restorable(context.now() + settings().restoreWindowMs)
    if (input.dryRun) return
    const state = why === 'orphan' ? 'without its subject' : 'untagged'
    const reason = `it was ${state} and not pulled for ${roughDuration(context.now() - unusedSinceMs)}`
    context.record({ deed: 'delete-manifest', repository, digest, bytes: size, reason })
  }
}

function* inBatches(due: readonly Due[]): Generator<readonly Due[]> {
  let batch: Due[] = []
  let references = 0
  for (const each of due) {
    const { blobs, children } = each.manifest
    references += 1 + blobs.length + children.length
    if (batch.length > 0 && references > referencesAtOnce) {
      yield batch
      batch = []
      references = 1 + blobs.length + children.length
    }
    batch.push(each)
  }
  if (batch.length > 0) yield batch
}
