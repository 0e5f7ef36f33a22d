// What a maintenance job is: what it is given, how it tells of itself, and what it comes to.

import type { Digest } from '../../oci/digest.ts'
import type { IngestPool } from '../../offload/contract.ts'
import type { BlobStore } from '../../storage/blob/contract.ts'
import type { Liveness } from '../../storage/liveness.ts'
import type { JobKind } from '../../storage/metadata/job-store.ts'
import type { MaintenanceStore } from '../../storage/metadata/maintenance.ts'
import type { Logger } from '../../telemetry/log.ts'

/** How far a run is. `total` and `bytesTotal` are absent where nobody knows. */
export interface JobProgress {
  /** What is being done, in a word or two for people. */
  readonly phase: string
  readonly done: number
  readonly total?: number
  readonly bytes?: number
  readonly bytesTotal?: number
}

/** What a run came to. */
export interface JobReport {
  /** False where something is wrong that an operator has to look at. */
  readonly ok: boolean
  /** Lines for people. */
  readonly summary: readonly string[]
  /** The same, and more, for programs; JSON. */
  readonly details: Readonly<Record<string, unknown>>
  /** Where it was stopped too late: it has done all that it was to do. */
  readonly isFinal?: true
  /** How the store is after it, for metrics; those of the last run that told count. */
  readonly figures?: Readonly<Record<string, number>>
}

/** What is taken away or brought back: a line of the audit log. */
export interface JobDeed {
  readonly deed:
    | 'condemn-blob'
    | 'destroy-blob'
    | 'unlink-blob'
    | 'quarantine-blob'
    | 'heal-blob'
    | 'restore-blob'
    | 'delete-tag'
    | 'restore-tag'
    | 'delete-manifest'
    | 'restore-manifest'
    | 'forget-manifest'
    | 'repair-record'
    | 'import-tag'
  readonly repository?: string
  readonly digest?: Digest
  readonly tag?: string
  /** How much it was, where that is known. */
  readonly bytes?: number
  /** Why, for people: a rule, a lease, a fault. */
  readonly reason: string
}

/** The stores and what works on them, whether a server runs or not. */
export interface JobParts {
  readonly metadata: MaintenanceStore
  readonly blobs: BlobStore
  readonly ingest: IngestPool
  /** Every write that changes what a repository holds goes through it: replies that are kept are looked up again. */
  readonly changing: <T>(write: () => Promise<T>) => Promise<T>
  /** The bytes of these are gone: close what is open of them. */
  readonly forgetBytes: (digests: readonly Digest[]) => void
  /** Other processes write to the same store. */
  readonly shared: boolean
  /** Of those, and of this one. */
  readonly liveness: Liveness
  /** Whether the disk reserve leaves so many bytes; absent where there is none. */
  readonly hasDiskRoom?: (bytes: number) => boolean
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly randomUuid: () => string
  readonly log: Logger
}

export interface JobContext extends JobParts {
  /** Id of this run. */
  readonly run: string
  /** Asked to stop, by the operator or the end of the server: end soon, and where a next run can go on. */
  readonly signal: AbortSignal
  /** Cheap: call it as often as there is news. */
  progress(progress: JobProgress): void
  /**
   * Wait until so much more may be done: by the configured rates, and longer while requests wait.
   * Errors: AbortError when `signal` ends it; Error where the clock cannot be trusted.
   */
  pace(work: { readonly items: number; readonly bytes: number }): Promise<void>
  /** At once, and without a look at any store. Errors: AbortError where another process may have taken the run over. */
  requireHeld(): void
  /** Where an earlier run of the same input was cut short; undefined: at the start. */
  readonly resumed: unknown
  /** Remember where to go on. JSON of at most 64 KiB. */
  checkpoint(value: unknown): Promise<void>
  /** Once it is done. */
  record(deed: JobDeed): void
}

/** What a job may do in one second. 0: as much as it can. */
export interface JobRates {
  readonly itemsPerSecond: number
  readonly bytesPerSecond: number
}

export interface Job<Input> {
  readonly kind: JobKind
  /** Of a request over the admin interface, or of the command line: what is wrong with it, in a sentence. */
  parse(input: unknown): { readonly input: Input } | { readonly error: string }
  readonly rates: (input: Input) => JobRates
  /** Whether a clock that cannot be trusted is no reason not to do it; absent: it is one for jobs of its kind. */
  readonly isUntimed?: (input: Input) => boolean
  run(input: Input, context: JobContext): Promise<JobReport>
}
