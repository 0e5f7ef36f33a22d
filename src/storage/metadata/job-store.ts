// The record of each kind of maintenance job: who runs it, how far it is, and how the last run ended.

import type { MaybePromise } from './contract.ts'

/** One run of each at a time, whatever the number of processes. */
export type JobKind =
  | ('backup' | 'export' | 'gc' | 'import' | 'migrate' | 'prune')
  | ('rewrap' | 'scrub')

export interface JobRecord {
  readonly kind: JobKind
  /** Id of this run. */
  readonly run: string
  /** Process epoch of who runs it; absent where nobody does. */
  readonly owner?: string
  readonly startedAtMs: number
  /** Of the record. A living owner writes it every few seconds. */
  readonly updatedAtMs: number
  readonly endedAtMs?: number
  /** Somebody wants this run to end; its owner looks now and then. */
  readonly isAskedToStop?: true
  /** Grows with each claim; a write with an older one is refused. */
  readonly fence: number
  readonly input: unknown
  /** JSON of at most 64 KiB each. */
  readonly progress: unknown
  /** Where a run that was cut short goes on. */
  readonly checkpoint: unknown
  readonly report: unknown
}

/** Whose tree the blobs lie in, for people, and since when. */
export interface Adoption {
  readonly sinceMs: number
  readonly of: string
}

/** Contract: test/contract/metadata/job-store.ts. */
export interface JobStore {
  readJob(kind: JobKind): MaybePromise<JobRecord | undefined>
  /**
   * Durable. Become the owner of a new run of the kind; undefined while another owner holds it and
   * `mayTake` does not say that he is gone. The checkpoint of a run that did not end is kept.
   */
  claimJob(
    claim: {
      readonly kind: JobKind
      readonly run: string
      readonly owner: string
      readonly input: unknown
      readonly nowMs: number
    },
    mayTake: (record: JobRecord) => boolean,
  ): Promise<JobRecord | undefined>
  /** Visible. Errors: StorageError 'conflict' where fence or owner is not the record's any more. */
  saveJob(
    kind: JobKind,
    held: { readonly owner: string; readonly fence: number },
    change: {
      readonly nowMs: number
      readonly progress?: unknown
      readonly checkpoint?: unknown
      /** Ends the run. Its checkpoint goes, but for one that was stopped. */
      readonly end?: { readonly report: unknown; readonly isStopped: boolean }
    },
  ): Promise<void>
  /** Visible. False where this run is not the one that is under way. */
  askJobToStop(kind: JobKind, run: string): Promise<boolean>
  /** Whether the blobs lie in the tree of another registry, where nothing may be removed. */
  readAdoption(): MaybePromise<Adoption | undefined>
  /** Durable. Undefined: taken over. */
  setAdoption(adoption: Adoption | undefined): Promise<void>
}
