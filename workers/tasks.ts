// The border treaty between the event loop and the ingest threads: cloneable data only.
// A field named `taken…` is transferred: it is dead to the sender.

import type { MessagePort } from 'node:worker_threads'
import type { DigestAlgorithm } from '../src/oci/digest.ts'
import type {
  S3Attempt,
  S3Connection,
  S3StagingLimits,
  UnfinishedObject,
} from '../src/s3/contract.ts'
import type { SealingTerms } from '../src/sealing/keys.ts'

/** Names one body or one reread on one port. Chosen by the event loop, never used again. */
export type SessionNumber = number

/** The one task of an ingest thread: serve this port until `leave` arrives. */
export interface IngestThreadTask {
  readonly takenPort: MessagePort
  /** Shared, written by the thread: bytes hashed since it started, and how long that took, in ms. */
  readonly hashFigures: Float64Array
  /** Bound of the hashers that it keeps for later bodies of their sessions. */
  readonly keptHashersMax: number
}

/** Where staged bytes lie. */
export interface StagedPlace {
  /** Of a file; in a bucket a key: of one object, or of the pieces below it where it ends in a slash. */
  readonly path: string
  /** Absent: on this host. */
  readonly s3?: S3PlaceTerms
  /** What is new there is encrypted; what is there already may be. */
  readonly sealing?: SealingTerms
  /** Of a file without `sealing`: where this one is, another process may have encrypted what is there. */
  readonly keyList?: string
}

export interface S3PlaceTerms {
  readonly connection: S3Connection
  readonly limits: S3StagingLimits
  /** Of whoever holds the upload: its pieces have it, and those with a higher one are not looked at. */
  readonly fence?: number
  /** Of a body that is a whole blob: where it belongs, and its bytes. It goes there, where there is memory for that. */
  readonly whole?: { readonly key: string; readonly bytes: number }
}

export interface BodyPlan extends StagedPlace {
  /** Committed bytes to keep; what is staged after them is cut off first. In bytes. */
  readonly offset: number
  readonly algorithm: DigestAlgorithm
  /** Digest of the bytes before `offset`; a kept hasher serves only where it is theirs. */
  readonly keptHex?: string
  /** Another body of the session may follow: keep the hasher. */
  readonly keepsHasher: boolean
  /** It may come to another process, which goes on with the state that this body ends with. */
  readonly isExportable: boolean
  /** What an earlier request of the session ended with; only where `isExportable`. */
  readonly hashState?: string
  /** `before`: fdatasync, then answer. `after`: answer, then begin one. */
  readonly sync: 'before' | 'after' | 'never'
  /** Begin writing back after this many bytes while more arrive; 0: leave it to the kernel. */
  readonly writebackBytes: number
}

export type ToIngestThread =
  /** Open, cut and hash the kept bytes; answered by `ready`. Only where `offset` is not 0. */
  | { readonly kind: 'prepare'; readonly session: SessionNumber; readonly plan: BodyPlan }
  /** The next bytes of a body. The first of a body without `prepare` carries the plan. */
  | {
      readonly kind: 'slab'
      readonly session: SessionNumber
      readonly plan?: BodyPlan
      /** Comes back by `returned`; absent where the body ends without more bytes. */
      readonly takenSlab?: ArrayBuffer
      /** Bytes of the slab that are the body's. */
      readonly length: number
      readonly isLast: boolean
    }
  /** Of a body or a paced reread: close the file and forget; answered by `done`. */
  | { readonly kind: 'abort'; readonly session: SessionNumber }
  | {
      readonly kind: 'rehash'
      readonly session: SessionNumber
      readonly place: StagedPlace
      readonly length: number
      readonly algorithm: DigestAlgorithm
      /** In the background: each piece is asked for by `asked`, and read after `granted`. */
      readonly isPaced?: boolean
    }
  /** A reread may go on with the bytes that it asked for. */
  | { readonly kind: 'granted'; readonly session: SessionNumber }
  /** Answered by `done` as soon as its turn comes. */
  | { readonly kind: 'ping'; readonly session: SessionNumber }
  /** The session of this staged file is over: what is kept for it is of no use. */
  | { readonly kind: 'forget'; readonly path: string }
  /** No session is open and none will come. */
  | { readonly kind: 'leave' }

/** `corrupt`: fewer bytes are staged than were committed, or encrypted ones are not what was written. */
export type IngestFailureCode = 'full' | 'unavailable' | 'corrupt'

export type IngestResult =
  | {
      readonly ok: true
      /** Lower-case hex of all bytes up to the end. */
      readonly hex: string
      readonly hashState?: string
      /** Of the plan, where the thread has kept the hasher. */
      readonly keptPath?: string
      /** Identity of the file as an fdatasync that now runs covers it; `synced` follows. */
      readonly syncing?: FileMark
      /** Where nothing is staged: what is to be completed, or aborted. */
      readonly unfinished?: UnfinishedObject
    }
  | {
      readonly ok: false
      readonly code: IngestFailureCode
      readonly detail: string
      /** A sync failed: what the kernel dropped cannot be told, and it will not say so again. */
      readonly isUnsynced?: boolean
    }

/** Tells whether a file has been written since: inode, size in bytes, mtime in ms. */
export interface FileMark {
  readonly inode: number
  readonly size: number
  readonly mtimeMs: number
}

export type FromIngestThread =
  /** First of all. `threadId` is that of node:worker_threads. */
  | { readonly kind: 'serving'; readonly threadId: number }
  | { readonly kind: 'ready'; readonly session: SessionNumber }
  | {
      readonly kind: 'returned'
      readonly session: SessionNumber
      readonly takenSlab: ArrayBuffer
    }
  /** A paced reread waits until it may read so many bytes more. */
  | { readonly kind: 'asked'; readonly session: SessionNumber; readonly bytes: number }
  | {
      readonly kind: 'done'
      readonly session: SessionNumber
      readonly result: IngestResult
      /** The last slabs of the body, as by `returned`: one message instead of several. */
      readonly takenSlabs: readonly ArrayBuffer[]
    }
  /** One attempt at a request of a bucket is over. */
  | { readonly kind: 's3'; readonly attempt: S3Attempt }
  /** The fdatasync that `syncing` announced is over; `detail` tells why it failed. */
  | { readonly kind: 'synced'; readonly session: SessionNumber; readonly detail?: string }
