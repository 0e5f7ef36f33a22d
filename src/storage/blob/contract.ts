// What a blob backend promises: bytes by digest, and a place to stage an upload. No names, no HTTP.

import type { Digest } from '../../oci/digest.ts'
import type { UploadId } from '../../oci/upload-id.ts'
import type { S3Connection, S3StagingLimits, UnfinishedObject } from '../../s3/contract.ts'
import type { SealingTerms } from '../../sealing/keys.ts'
import type { StorageError } from '../error.ts'
import type { BlobAudit, BlobMark } from './audit.ts'

/** Where an ingest worker writes the bytes of one upload. Plain data, so that it can be posted. */
export type StagingTarget =
  | {
      readonly kind: 'fs'
      readonly path: string
      /** What is new there is encrypted; what is there already may be. Absent: nothing is. */
      readonly sealing?: SealingTerms
      /** Without `sealing`: where this file is, another process may have encrypted what is there. */
      readonly keyList?: string
    }
  | { readonly kind: 'memory'; readonly key: string }
  | {
      readonly kind: 's3'
      /** Of one object, or of the pieces below it where it ends in a slash. */
      readonly key: string
      readonly connection: S3Connection
      readonly limits: S3StagingLimits
      /** Of an upload: see `BlobStore.staging`. */
      readonly fence?: number
      /** As the worker is to put it there at once: see `BlobStore.staging`. */
      readonly whole?: { readonly key: string; readonly bytes: number }
    }

/** A blob all of whose bytes are in the store, and that is not there yet. */
export type UnfinishedBlob = UnfinishedObject

/**
 * An open blob. `close` is idempotent and must be called; reads after it are a programmer error. Where its blob is
 * removed it goes on, or its reads throw StorageError 'unavailable'; never do they give other bytes.
 */
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
  /**
   * What has become of the blob since it was opened; absent where nothing can. 'removed': it has no name any more,
   * its bytes are still what they were. 'overwritten': bytes that were read since, nobody knows when, are
   * not those of the blob. Asked at the end of a transfer and before a reader is used again; costs 1 µs.
   */
  fateNow?(): BlobFate
  /** True once a read has found that what was opened is not there any more: open it anew. */
  isStale?(): boolean
  /**
   * Read from `start` to `end` from front to back; where each `read` costs a request. A pass over all of the blob
   * throws 'corrupt' in place of its last bytes where they are not those of its digest. Units: bytes, `end` exclusive.
   */
  pass?(start: number, end: number): BlobPass
  close(): void
}

/** One read at a time. `close` is idempotent and must be called. */
export interface BlobPass {
  /** Where the next read begins, in bytes of the blob. */
  readonly position: number
  /** Fill `target`; short only at the end. Errors: as `BlobReader.read`. */
  read(target: Uint8Array): Promise<number>
  close(): void
}

/** Where a client may fetch blobs itself: a power of some stores, beside the contract. */
export interface BlobAddresses {
  /**
   * A URL that gives whoever has it the bytes of this blob, for a while: as secret as a password, never for a log.
   * Undefined where there is none at the moment. Nothing is asked whether the blob is there.
   */
  addressOf(digest: Digest): string | undefined
}

export type BlobFate = 'kept' | 'removed' | 'overwritten'

/** What has become of a file that was set aside to be overwritten. Units: `size` in bytes. */
export type Erased =
  | { readonly kind: 'overwritten'; readonly size: number }
  /** It has other names outside the store (a backup, the source of an import), so it was only unlinked. */
  | { readonly kind: 'unlinked'; readonly size: number }
  /** It is there still. */
  | { readonly kind: 'failed'; readonly place: string; readonly error: StorageError }

export type Rewrapped = 'rewrapped' | 'current' | 'plain' | 'absent'

/** The master keys of a store that encrypts. Errors: StorageError. */
export interface BlobSealing {
  /** Of the key that what is new is encrypted with. */
  readonly activeKey: string
  /**
   * Something is about to be encrypted with the active key, or was, and is about to be acknowledged: it stays listed. Takes
   * microseconds. 'unavailable' where a run has retired it: nothing may be told that needs it.
   */
  keepActive(): void
  /**
   * Encrypt the key of a blob with the active key, and then overwrite what it was encrypted with before. Durable;
   * idempotent; a kill in between leaves it readable. 'corrupt' where it is not what was written.
   */
  rewrap(digest: Digest): Promise<Rewrapped>
  /** The same for what is staged. */
  rewrapStaged(upload: UploadId): Promise<Rewrapped>
  /** Before a run looks at the first file: all keys but the active one are to be retired by it. Durable. As `keepActive`. */
  beginRetiring(run: string): Promise<void>
  /**
   * The run has rewrapped every file: a start needs no longer the keys that it began to retire. Durable. Answers
   * those that are needed: more than the active one where another process has published with them meanwhile. As `keepActive`.
   */
  endRetiring(run: string): Promise<readonly string[]>
}

/**
 * Content-addressed bytes. Every method may throw StorageError 'unavailable'; those that write also
 * 'full'. A blob at its final key is immutable, whole and verified. Contract: test/contract/blob-store.ts.
 */
export interface BlobStore {
  /**
   * Whether servers on several hosts may share it: what one of them has stored the others see at once, what
   * it has recorded as staged survives its host, and bytes that come late from a server whose session another
   * one has taken over never get among those of the other. Absent: no.
   */
  readonly spansHosts?: boolean
  /**
   * For so long a removal that got no answer may still happen, even when whoever sent it is gone. Units: ms; absent: no
   * time at all.
   */
  readonly removalsLateMs?: number
  /** Open a blob for reading; undefined where there is none. */
  open(digest: Digest): Promise<BlobReader | undefined>

  /** Size in bytes of a blob at its final key; undefined where there is none. */
  size(digest: Digest): Promise<number | undefined>

  /**
   * As `size`, with what changes when something else takes its place; absent where `audit` knows more, or where nothing
   * ever does.
   */
  look?(digest: Digest): Promise<{ readonly size: number; readonly mark: BlobMark } | undefined>

  /**
   * Where new bytes of this upload go. Nothing is made until a worker writes, but for the key of a store that encrypts, which
   * is listed again where a rewrap has marked it. Errors: StorageError, 'unavailable' where one has retired it.
   * `fence`: of the session's record.
   * Each body has a higher one than those before, whatever server takes it; what belongs to a higher one, of a server that
   * has taken the session over meanwhile, is not seen. Stores that hosts do not share need none. `whole`: the next body is
   * all of this blob, as its client says, in bytes. A store may let the worker put it where it belongs at once, where nobody
   * sees it: then the outcome has an `UnfinishedBlob`, and nothing is staged.
   */
  staging(
    upload: UploadId,
    fence?: number,
    whole?: { readonly digest: Digest; readonly bytes: number },
  ): StagingTarget

  /** The same for what is staged already, and nothing new comes: to read it, to sync it, to forget it. Throws nothing. */
  stagedTarget(upload: UploadId, fence?: number): StagingTarget

  /**
   * Size in bytes of what is staged; undefined where nothing is. Not a whole number where it cannot be the end of any bytes,
   * as after a kill. `fence`: as for `staging`.
   */
  stagedSize(upload: UploadId, fence?: number): Promise<number | undefined>

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
  publish(
    upload: UploadId,
    digest: Digest,
    size: number,
    options?: {
      /** What is there is known to be damaged: the staged bytes take its place, at once and for good. */
      readonly replace: boolean
      /** As for `staging`. */
      readonly fence?: number
      /** In place of what is staged. */
      readonly unfinished?: UnfinishedBlob
    },
  ): Promise<void>

  /** Give up what `publish` has not put in its place. Idempotent. Absent where nothing is unfinished. */
  abandon?(unfinished: UnfinishedBlob): Promise<void>

  /** Drop what is staged. Idempotent. */
  discard(upload: UploadId): Promise<void>

  /**
   * Remove a blob; with `overwrite` it is set aside for `eraseRemoved`, so that nobody who brings it again has
   * to wait. Durable, with `isSyncedLater` only once `syncRemoved` is; idempotent; answers whether there was one.
   * Only for those whose record says that it is being destroyed. `requireHeld` throws where another process may have
   * taken that over: with `removalsLateMs` it is asked last of all.
   */
  remove(
    digest: Digest,
    options?: {
      readonly overwrite: boolean
      readonly isSyncedLater?: boolean
      readonly requireHeld?: () => void
    },
  ): Promise<boolean>

  /** Durable from here on: these were removed. Those that share a directory share its sync. */
  syncRemoved(digests: readonly Digest[]): Promise<void>

  /**
   * Overwrite in place, sync and unlink what `remove` has set aside, one after the other, also what a kill
   * has left. `mayGoOn` is waited for before each piece; where it rejects, the rest stays for another run.
   * Units: bytes. Errors: as `mayGoOn`; StorageError 'unavailable' where it cannot be listed.
   */
  eraseRemoved(mayGoOn: (bytes: number) => Promise<void>): AsyncIterable<Erased>

  /**
   * Whether the bytes are at the final key, without a promise; absent where the backend can only wait.
   * Asked inside a metadata transaction, so that nobody destroys them in between.
   */
  isThereNow?(digest: Digest): boolean

  /** Where the bytes of a blob are read by a worker that hashes them again; absent where none can. */
  readingTarget?(digest: Digest): StagingTarget

  /**
   * Take a blob that is not what its digest says out of the way, for a person to look at. Idempotent; answers
   * the place for people, or undefined where there was none. With `seen`, of `audit`, one that has taken its
   * place meanwhile stays.
   */
  quarantine(digest: Digest, seen?: BlobMark): Promise<string | undefined>

  /** Where blobs are encrypted by this store itself. */
  readonly sealing?: BlobSealing

  /** For a scrub, which otherwise knows of `list` and `size` alone. */
  readonly audit?: BlobAudit

  /** As that of `audit`, where there is none. */
  isShared?(): Promise<boolean>

  /** Every upload with staged bytes; for expiry and repair. */
  listStaged(): AsyncIterable<UploadId>

  /** Every blob at its final key, in no order; for scrub and backup. */
  list(): AsyncIterable<{ readonly digest: Digest; readonly size: number }>

  /** Resolves where a small write and sync succeed, for readiness. */
  probe(): Promise<void>

  close(): Promise<void>
}
