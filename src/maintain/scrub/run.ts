// What the passes of one scrub share: what it may do, what it has found, and where it would go on.

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
  readonly graceMs: () => number
  /** The blobs lie in the tree of another registry: nothing there may be moved. Asked each time, as an import may begin. */
  readonly isAdopted: () => Promise<boolean>
  /** Remember the place, at once or when enough has been done since. */
  readonly save: (place: Place, isNow: boolean) => Promise<void>
  /** The last of them. */
  readonly saveLast: () => Promise<void>
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
