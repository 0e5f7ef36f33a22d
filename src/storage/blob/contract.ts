// What a blob backend promises: bytes by digest, and a place to stage an upload. No names, no HTTP.

import type { Digest } from '../../oci/digest.ts'
import type { UploadId } from '../../oci/upload-id.ts'

/** Where an ingest worker writes the bytes of one upload. Plain data, so that it can be posted. */
export type StagingTarget =
  | { readonly kind: 'fs'; readonly path: string }
  | { readonly kind: 'memory'; readonly key: string }

/** An open blob. `close` is idempotent and must be called; reads after it are a programmer error. */
export interface BlobReader {
  /** In bytes. */
  readonly size: number
  /**
   * Fill `target` from `position` on; short only at the end of the blob.
   * Units: bytes. Errors: StorageError 'unavailable', 'corrupt' (shorter than `size`).
   */
  read(position: number, target: Uint8Array): Promise<number>
  /**
   * The same without a promise, for bytes that are expected in the page cache; undefined where the
   * backend can only wait. Blocks the caller for as long as the device takes.
   */
  readNow?(position: number, target: Uint8Array): number
  close(): void
}

/**
 * Content-addressed bytes. Every method may throw StorageError 'unavailable'; those that write also
 * 'full'. A blob at its final key is immutable, whole and verified. Contract: test/contract/blob-store.ts.
 */
export interface BlobStore {
  /** Open a blob for reading; undefined where there is none. */
  open(digest: Digest): Promise<BlobReader | undefined>

  /** Size in bytes of a blob at its final key; undefined where there is none. */
  size(digest: Digest): Promise<number | undefined>

  /** Where the bytes of this upload go. Pure: nothing is made until a worker writes. */
  staging(upload: UploadId): StagingTarget

  /** Size in bytes of what is staged; undefined where nothing is. */
  stagedSize(upload: UploadId): Promise<number | undefined>

  /** Open what is staged, to hash it again; undefined where nothing is. */
  openStaged(upload: UploadId): Promise<BlobReader | undefined>

  /**
   * Put the staged bytes, which the caller has verified and whose data the worker has synced, at the
   * final key of `digest`, never replacing what is there. Durable when it resolves (unless durability
   * is "none"). Idempotent: also succeeds when the blob is already there with this size. The staged
   * bytes stay until `discard`. Units: `size` in bytes.
   * Errors: StorageError 'conflict' where nothing of that size is staged and no blob is there,
   * 'corrupt' where another size is at the final key.
   */
  publish(upload: UploadId, digest: Digest, size: number): Promise<void>

  /** Drop what is staged. Idempotent. */
  discard(upload: UploadId): Promise<void>

  /** Remove a blob. Idempotent; answers whether there was one. Only for reclaimers that hold the record lock. */
  remove(digest: Digest): Promise<boolean>

  /** Every upload with staged bytes; for expiry and repair. */
  listStaged(): AsyncIterable<UploadId>

  /** Every blob at its final key, in no order; for scrub and backup. */
  list(): AsyncIterable<{ readonly digest: Digest; readonly size: number }>

  /** Resolves where a small write and sync succeed, for readiness. */
  probe(): Promise<void>

  close(): Promise<void>
}
