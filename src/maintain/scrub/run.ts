// What the passes of one scrub share: what it may do, what it has found, and where it would go on.

import type { Digest } from '../../oci/digest.ts'
import type { BlobAudit } from '../../storage/blob/audit.ts'
import type { AuditMemory, RecordAudit } from '../../storage/metadata/record-audit.ts'
import type { JobContext } from '../job/contract.ts'
import type { Finding, Outcome } from './finding.ts'
import type { Healer } from './heal.ts'
import type { Tally } from './tally.ts'

export interface ScrubInput {
  /** Nothing is changed. */
  readonly dryRun: boolean
  /** Sizes and records alone; only what looks wrong is hashed. */
  readonly quick: boolean
}

/** Where a run that was cut short goes on: a pass, and how far it was. */
export interface Place {
  readonly pass: 'records' | 'blobs' | 'usage'
  readonly at?: string
}

export interface ScrubRun {
  readonly input: ScrubInput
  readonly context: JobContext
  readonly audit: RecordAudit
  readonly files: BlobAudit
  readonly tally: Tally
  readonly memory: AuditMemory
  readonly healer: Healer
  readonly unread: Unread
  readonly graceMs: () => number
  /** The blobs lie in the tree of another registry: nothing there may be moved. Asked each time, as an import may begin. */
  readonly isAdopted: () => Promise<boolean>
  /** Remember the place, at once or when enough has been done since. */
  readonly save: (place: Place, isNow: boolean) => Promise<void>
  /** The last of them. */
  readonly saveLast: () => Promise<void>
}

// Each takes 75 to 140 bytes of the job's record, which has room for 64 KiB with all that is found.
const unreadMax = 100

/**
 * Blobs that could not be read, to be looked at once more behind all others: a store that was throttled or away for a while
 * says nothing of what it holds.
 */
export class Unread {
  readonly #digests: Set<Digest>
  #isLast = false

  constructor(digests: readonly Digest[] = []) {
    this.#digests = new Set(digests)
  }

  get digests(): readonly Digest[] {
    return [...this.#digests]
  }

  /** False where it counts now: this was the second look, or too many wait for theirs. */
  tryDefer(digest: Digest): boolean {
    if (this.#isLast || this.#digests.size >= unreadMax) return false
    this.#digests.add(digest)
    return true
  }

  /** Those whose second look has come, each until it is `settled`. */
  begin(): readonly Digest[] {
    this.#isLast = true
    return this.digests
  }

  settled(digest: Digest): void {
    this.#digests.delete(digest)
  }
}

/** What is done about a finding: nothing in a dry run. */
export function tell(run: ScrubRun, finding: Omit<Finding, 'outcome'>, outcome: Outcome): void {
  run.tally.add({ ...finding, outcome })
}

/** What other processes have said, too. */
export async function isAdopted({
  metadata,
  shared,
}: Pick<JobContext, 'metadata' | 'shared'>): Promise<boolean> {
  if (shared) metadata.refresh()
  return (await metadata.readAdoption()) !== undefined
}
