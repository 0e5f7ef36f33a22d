// What the worker pool does for the rest: take a body to its staging place and hash it on the way.

import type { RequestBody } from '../http/body.ts'
import type { Digest, DigestAlgorithm } from '../oci/digest.ts'
import type { StagingTarget, UnfinishedBlob } from '../storage/blob/contract.ts'
import type { IngestFigures } from '../telemetry/ingest-figures.ts'

export interface IngestPlan {
  readonly target: StagingTarget
  /** Committed bytes to keep. Staged bytes after it are cut off before the first write. */
  readonly offset: number
  readonly algorithm: DigestAlgorithm
  /**
   * Of the bytes before `offset`, where it is known and can be trusted. A hasher that was kept goes on only
   * where it has taken bytes of just this number and digest; without it they are hashed again.
   */
  readonly digest?: Digest
  /**
   * Both hash by node:crypto, and where no hasher was kept they hash the bytes before `offset` again first.
   * `exportable`: the client announces chunks, so that many may follow, each to another process. `state`
   * is what the request before ended with, if anything. Once a session has had to be read again, the next time
   * hash-wasm takes it over, whose state any process can go on with, so that none reads all of it for
   * each chunk. A state of another build is not an error, only a reread.
   */
  readonly hash:
    | { readonly kind: 'stream' }
    | { readonly kind: 'exportable'; readonly state?: string }
  /**
   * Another body of the session may follow: keep what hashes it, in the thread that does. Few are kept,
   * and not for long; one that is gone costs a reread.
   */
  readonly keepsHasher?: boolean
  /** Bound of offset + body, in bytes. */
  readonly bytesMax: number
  /** Bytes that this body must have where the client announced a range; undefined: any. */
  readonly bytesExpected?: number
  /** fdatasync the data before it resolves; otherwise it is only begun. */
  readonly sync: boolean
  /** Asked for each chunk but the last; false: the body ends as 'no-room'. */
  readonly mayGoOn?: () => boolean
}

export type IngestOutcome =
  | {
      readonly kind: 'complete'
      /** Plan's offset + bytes of the body. */
      readonly offset: number
      /** Of all bytes up to `offset`. */
      readonly digest: Digest
      /** For the next request of an `exportable` session; absent where the last one has none either. */
      readonly hashState?: string
      /** Where the bytes are not staged: `publish` wants it, or `abandon`. */
      readonly unfinished?: UnfinishedBlob
    }
  /** The client left in the middle. The staged bytes after the plan's offset mean nothing. */
  | { readonly kind: 'aborted' }
  /** `bytesMax` would be passed; the rest of the body is not read. */
  | { readonly kind: 'too-large' }
  /** `mayGoOn` said no; the rest of the body is not read. */
  | { readonly kind: 'no-room' }
  /** The body is shorter or longer than `bytesExpected`. */
  | { readonly kind: 'length-differs'; readonly received: number }

/**
 * The ingest pool. Memory for bodies is bounded by `ingest.memory_budget` whatever the number of
 * uploads; a slow client never holds a thread.
 */
export interface IngestPool {
  /** Errors: StorageError 'full' (no space), 'unavailable' (worker lost, I/O error). */
  receive(plan: IngestPlan, body: RequestBody): Promise<IngestOutcome>
  /**
   * Digest of the first `length` staged bytes. With `pace`, which is asked before each some MiB are read,
   * it runs in the background, behind all bodies. Units: bytes.
   * Errors: as `receive`, and 'corrupt' where they are fewer; those of `pace`, which end it.
   */
  rehash(
    target: StagingTarget,
    length: number,
    algorithm: DigestAlgorithm,
    pace?: (bytes: number) => Promise<void>,
  ): Promise<Digest>
  /** fdatasync what is staged; joins one that runs already. */
  sync(target: StagingTarget): Promise<void>
  /** The session of this place is over: let go of what is kept for it. */
  forget(target: StagingTarget): void
  readonly gauges: IngestFigures
  /** Bytes of bodies: received since the start, and announced by those under way but not yet here. Cheap. */
  readonly taking: { readonly received: number; readonly awaited: number }
  /** Resolves when every thread has answered. Errors: StorageError 'unavailable' where one is being replaced. */
  ping(): Promise<void>
  /** Waits for what runs, then ends the workers. */
  close(): Promise<void>
}
