// What garbage collection goes by, and what one run of it carries along.

import type { JobContext } from '../job/contract.ts'
import type { Tally } from './tally.ts'

/** As `[gc]` of the configuration has it. Units: milliseconds, bytes. */
export interface GcSettings {
  readonly graceMs: number
  readonly restoreWindowMs: number
  readonly untagged: 'keep' | 'delete'
  readonly untaggedAfterMs: number
  readonly orphanReferrers: 'keep' | 'delete'
  readonly blobsPerSecond: number
  readonly rateBytes: number
  readonly overwrite: boolean
}

export interface GcInput {
  /** Look for the same candidates, and change nothing. */
  readonly dryRun: boolean
  /** Only finish what a run that was killed had begun to destroy: nobody can push that before. */
  readonly onlyUnfinished: boolean
}

/** One run: what every pass is given. */
export interface GcRun {
  readonly input: GcInput
  readonly context: JobContext
  /** Asked each time, since a reload changes them. */
  readonly settings: () => GcSettings
  /** Resolves when the store knows every pull of this process from before. */
  readonly flushPulls: () => Promise<void>
  readonly tally: Tally
}
