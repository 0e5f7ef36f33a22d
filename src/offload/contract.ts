// What the worker pool does for the rest: take a body to its staging place and hash it on the way.

import type { RequestBody } from '../http/body.ts'
import type { Digest, DigestAlgorithm } from '../oci/digest.ts'
import type { StagingTarget } from '../storage/blob/contract.ts'

export interface IngestPlan {
  readonly target: StagingTarget
  /** Committed bytes to keep. Staged bytes after it are cut off before the first write. */
  readonly offset: number
  readonly algorithm: DigestAlgorithm
  /**
   * `stream`: node:crypto; with an offset, the staged bytes before it are hashed again first.
   * `exportable`: hash-wasm; `state` is what an earlier request of the session ended with, and a
   * state of another build is not an error, only a reread.
   */
  readonly hash:
    | { readonly kind: 'stream' }
    | { readonly kind: 'exportable'; readonly state?: string }
  /** Bound of offset + body, in bytes. */
  readonly bytesMax: number
  /** Bytes that this body must have where the client announced a range; undefined: any. */
  readonly bytesExpected?: number
  /** fdatasync the data before it resolves; otherwise it is only begun. */
  readonly sync: boolean
}

export type IngestOutcome =
  | {
      readonly kind: 'complete'
      /** Plan's offset + bytes of the body. */
      readonly offset: number
      /** Of all bytes up to `offset`. */
      readonly digest: Digest
      readonly hashState?: string
    }
  /** The client left in the middle. The staged bytes after the plan's offset mean nothing. */
  | { readonly kind: 'aborted' }
  /** `bytesMax` would be passed; the rest of the body is not read. */
  | { readonly kind: 'too-large' }
  /** The body is shorter or longer than `bytesExpected`. */
  | { readonly kind: 'length-differs'; readonly received: number }

/**
 * The ingest pool. Memory for bodies is bounded by `ingest.memory_budget` whatever the number of
 * uploads; a slow client never holds a thread.
 */
export interface IngestPool {
  /** Errors: StorageError 'full' (no space), 'unavailable' (worker lost, I/O error). */
  receive(plan: IngestPlan, body: RequestBody): Promise<IngestOutcome>
  /** Digest of the first `length` staged bytes. Errors: as `receive`, and 'corrupt' where they are fewer. */
  rehash(target: StagingTarget, length: number, algorithm: DigestAlgorithm): Promise<Digest>
  /** fdatasync what is staged; joins one that runs already. */
  sync(target: StagingTarget): Promise<void>
  readonly gauges: {
    /** Bytes of slabs handed out. */
    readonly slabBytesInUse: number
    readonly slabBytesMax: number
    /** Bodies paused for want of slabs or credits, since start. */
    readonly stalls: number
    readonly receiving: number
    readonly bytesReceived: number
  }
  /** Waits for what runs, then ends the workers. */
  close(): Promise<void>
}
