// Brings back what was taken away, while its restore window is open.

import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/name.ts'
import type { Dropped, RemovedManifest } from '../../storage/metadata/garbage.ts'
import type { MaintenanceStore } from '../../storage/metadata/maintenance.ts'
import type { JobDeed, JobParts } from '../job/contract.ts'
import { type Cursor, readRestorable, type Wanted } from './dropped-page.ts'
import { isCorrupt } from './tally.ts'

/** What became of one of them. Units: `size` in bytes. */
export interface RestoreOutcome {
  /** `hold`: of a repository on a blob. */
  readonly kind: 'blob' | 'hold' | 'manifest'
  readonly digest: Digest
  readonly repository?: RepositoryName
  readonly size: number
  readonly isRestored: boolean
  /** Those that point at it again. */
  readonly tags?: readonly string[]
  /** Why it is not restored, for people. */
  readonly why?: string
}

export interface RestoreSource {
  readonly parts: Pick<JobParts, 'metadata' | 'changing' | 'now' | 'shared'>
  readonly graceMs: number
  readonly record: (deed: JobDeed) => void
  /** Who asked for it, for people. */
  readonly reason: string
}

const rowsPerCall = 1_000
// Requests wait for a transaction.
const rowsPerTransaction = 25
// As deep as indexes may be nested, and more.
const depthMax = 16

/** A part of what is wanted; `next` tells where to go on. Errors: StorageError. */
export async function restorePage(
  source: RestoreSource,
  wanted: Wanted,
  from: Cursor | undefined,
): Promise<{ readonly outcomes: readonly RestoreOutcome[]; readonly next?: string }> {
  const { metadata, shared } = source.parts
  if (shared) metadata.refresh()
  const { items, next } = await readRestorable(metadata, wanted, { from, limit: rowsPerCall })
  const dropped = items.flatMap((item) => (item.kind === 'dropped' ? [item.dropped] : []))
  const removed = items.flatMap((item) => (item.kind === 'manifest' ? [item.removed] : []))
  const outcomes = [
    ...(await restoreBlobs(source, dropped)),
    ...(await new ManifestRestore(source).all(removed)),
  ]
  return next === undefined ? { outcomes } : { outcomes, next }
}

async function restoreBlobs(
  { graceMs, parts, reason, record }: RestoreSource,
  dropped: readonly Dropped[],
): Promise<RestoreOutcome[]> {
  const outcomes: RestoreOutcome[] = []
  for (let at = 0; at < dropped.length; at += rowsPerTransaction) {
    const batch = dropped.slice(at, at + rowsPerTransaction)
    const nowMs = parts.now()
    const faults: string[] = []
    const onCorrupt = (error: Error): void => void faults.push(error.message)
    const results = await parts.changing(() =>
      parts.metadata.restoreDropped(batch, { nowMs, leaseUntilMs: nowMs + graceMs, onCorrupt }),
    )
    for (const [i, { digest, repository, size }] of batch.entries()) {
      const isRestored = results[i] === 'restored'
      const of = repository === undefined ? { digest } : { digest, repository }
      const kind = repository === undefined ? 'blob' : 'hold'
      const why = faults[0] ?? 'it is destroyed, or back already'
      outcomes.push({ kind, ...of, size, isRestored, ...(isRestored ? {} : { why }) })
      if (isRestored) record({ deed: 'restore-blob', ...of, bytes: size, reason })
    }
  }
  return outcomes
}

type Restored = Awaited<ReturnType<MaintenanceStore['restoreManifest']>>

class ManifestRestore {
  readonly #source: RestoreSource
  readonly #tried = new Set<string>()
  readonly #outcomes: RestoreOutcome[] = []

  constructor(source: RestoreSource) {
    this.#source = source
  }

  async all(removed: readonly RemovedManifest[]): Promise<readonly RestoreOutcome[]> {
    // The newest first: of several deletions of one manifest it is the one that says what it was.
    for (const each of removed.toReversed()) await this.#one(each, 0)
    return this.#outcomes
  }

  /** Answers whether it is there afterwards. */
  async #one(removed: RemovedManifest, depth: number): Promise<boolean> {
    const { repository, digest } = removed
    const name = `${repository} ${digest}`
    if (this.#tried.has(name)) return false
    this.#tried.add(name)
    let result: Restored
    try {
      result = await this.#restore(removed, depth)
    } catch (error) {
      if (!isCorrupt(error)) throw error
      this.#tell(removed, { isRestored: false, why: error.message })
      return false
    }
    switch (result.kind) {
      case 'restored':
        this.#tell(removed, { isRestored: true, tags: result.tags })
        return true
      case 'absent':
        this.#tell(removed, { isRestored: false, why: 'it is forgotten, or back already' })
        return false
      case 'missing': {
        const [first = '', ...more] = result.digests
        const others = more.length === 0 ? '' : ` and ${more.length} more`
        const why = `what it names is gone for good: ${first}${others}`
        this.#tell(removed, { isRestored: false, why })
        return false
      }
      default:
        return result satisfies never
    }
  }

  async #children(
    repository: RepositoryName,
    digests: readonly Digest[],
    depth: number,
  ): Promise<boolean> {
    let isAny = false
    for (const digest of digests) {
      const child = await this.#source.parts.metadata.findRemovedManifest(repository, digest)
      if (child !== undefined && (await this.#one(child, depth + 1))) isAny = true
    }
    return isAny
  }

  async #restore(removed: RemovedManifest, depth: number): Promise<Restored> {
    const { graceMs, parts } = this.#source
    const nowMs = parts.now()
    const by = { nowMs, leaseUntilMs: nowMs + graceMs, tags: removed.tags }
    const attempt = (): Promise<Restored> =>
      parts.changing(() => parts.metadata.restoreManifest(removed, by))
    const result = await attempt()
    if (result.kind !== 'missing' || depth >= depthMax) return result
    // An index needs what it lists, which may have gone after it.
    const hasChildren = await this.#children(removed.repository, result.digests, depth)
    return hasChildren ? attempt() : result
  }

  #tell(
    { digest, repository, size }: RemovedManifest,
    end: Pick<RestoreOutcome, 'isRestored' | 'tags' | 'why'>,
  ): void {
    const { reason, record } = this.#source
    this.#outcomes.push({ kind: 'manifest', digest, repository, size, ...end })
    if (!end.isRestored) return
    record({ deed: 'restore-manifest', repository, digest, bytes: size, reason })
    for (const tag of end.tags ?? [])
      record({ deed: 'restore-tag', repository, digest, tag, reason })
  }
}
