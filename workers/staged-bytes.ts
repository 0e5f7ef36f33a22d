// Where an ingest thread puts the bytes of a body: a file, or objects of a bucket.

import type { DigestAlgorithm } from '../src/oci/digest.ts'
import type { UnfinishedObject } from '../src/s3/contract.ts'
import type { FileMark } from './tasks.ts'

/** Open staged bytes. Errors of every method: IngestFailure. */
export interface StagedBytes {
  /** All of `parts`, one after the other. */
  write(parts: readonly Uint8Array[], position: number): Promise<void>
  /** Fills `target`. Errors: IngestFailure 'corrupt' where they end before. */
  read(target: Uint8Array, position: number): Promise<void>
  /** Give back the room of bytes that will not be committed. */
  cutBack(length: number): Promise<void>
  /** All of a body is written, and has this digest from the first byte on. Absent where nothing needs to know. */
  seal?(algorithm: DigestAlgorithm, hex: string): Promise<void>
  /**
   * What a hasher would hand on holds some of the last bytes of the body: encrypted as they are. Absent where they are not.
   */
  readonly states?: StateCover
  /** Nobody wants what is still being written: end it soon. Absent where a write never takes long. */
  stop?(): void
  /** Resolves when all that was written is durable. */
  sync(): Promise<void>
  /** Absent where `sync` leaves nothing that could run on after an answer. */
  mark?(): FileMark
  /** After `sync`: the object that only waits for being completed. Absent where bytes are staged. */
  unfinished?(): UnfinishedObject | undefined
  close(): Promise<void>
}

export interface StateCover {
  hide(state: string): string
  /** Undefined where it was not hidden so, or for other bytes. */
  show(hidden: string): string | undefined
}

export interface ContinuedBytes {
  /** Ends at the offset, but for a copy, whose bytes are still to be written. */
  readonly file: StagedBytes
  /** Where the staged bytes are those of a published blob, which must not change. */
  readonly copy?: CopyOfStaged
}

/** Stands beside what it copies till it is whole: the committed bytes are never without a file. */
export interface CopyOfStaged {
  readonly from: StagedBytes
  /** All bytes are written: take the place of what was copied. */
  keep(): Promise<void>
  /** Idempotent. */
  drop(): Promise<void>
}
