// How a bucket is reached, as plain data, so that it can be posted to a thread; and what is counted of it.

import type { BreakerOptions } from '../outbound/contract.ts'

export interface S3Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
  /** Milliseconds since 1970; absent where they do not expire. */
  readonly expiresAtMs?: number
}

/** How the bucket encrypts what it keeps. */
export type S3Encryption =
  | { readonly kind: 'aes256' }
  /** `keyId`: absent for the bucket's own, or that of the account. */
  | { readonly kind: 'kms'; readonly keyId?: string }
  /** `key`: 32 bytes in base64, a secret; the bucket forgets it after each request. */
  | { readonly kind: 'customer'; readonly key: string }

export interface S3Connection {
  /** A URL; absent: that of AWS for the region. */
  readonly endpoint?: string
  readonly region: string
  readonly bucket: string
  /** The bucket is in the path and not in the name of the host. */
  readonly pathStyle: boolean
  /** PEM certificates that are trusted in place of the system's. */
  readonly ca?: string
  /** Absent: those of the environment, the instance or a web identity, which the SDK looks for. */
  readonly credentials?: S3Credentials
  /** Absent: as the bucket does by default. */
  readonly encryption?: S3Encryption
  /** For one attempt: to be answered, and then between two pieces of the answer. */
  readonly attemptTimeoutMs: number
  /** Of one request, the first included. */
  readonly attemptsMax: number
  /** When each client leaves the bucket alone for a while; absent: never. */
  readonly breaker?: BreakerOptions
  /** Of each client: two of the event loop, one of each ingest thread. */
  readonly connectionsMax: number
}

/** How staged bytes are cut into objects. Units: bytes. */
export interface S3StagingLimits {
  readonly partBytes: number
  /** Blobs are put together of parts of just that size, but for the last; absent: of what there is. */
  readonly equalParts?: boolean
  /** For parts that are being filled or sent, of all uploads of one thread. */
  readonly threadBudgetBytes: number
}

/** One object, as a listing or a look at it tells. */
export interface S3Object {
  readonly key: string
  /** In bytes. */
  readonly size: number
  readonly etag: string
  /** When it was put there, since 1970 in ms; to the second with most servers. */
  readonly modifiedMs?: number
}

/** One part of an object that is put together. */
export interface DonePart {
  readonly PartNumber: number
  readonly ETag: string
}

/** All bytes of an object that is not there yet: the bucket has them as parts, and waits for word that it is complete. */
export interface UnfinishedObject {
  readonly key: string
  /** Of the multipart upload. */
  readonly id: string
  /** In bytes. */
  readonly size: number
  readonly parts: readonly DonePart[]
}

/** What has become of one attempt, for people and metrics. */
export interface S3Attempt {
  readonly operation: string
  readonly result: 'ok' | 'absent' | 'conflict' | 'throttled' | 'timeout' | 'refused' | 'fault'
  readonly durationMs: number
  readonly isRetry: boolean
  /** By it its client has begun to leave the bucket alone, or ended that. */
  readonly circuit?: 'opened' | 'closed'
}
