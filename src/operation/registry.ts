// What operations work on: the stores, the ingest pool, the limits, and what this process remembers.

import type { RequestBody } from '../http/body.ts'
import type { IngestPool } from '../offload/contract.ts'
import type { BlobStore } from '../storage/blob/contract.ts'
import type { MaybePromise, MetadataStore } from '../storage/metadata/contract.ts'
import type { BlobReaders } from './blob-readers.ts'
import type { ReplyCache } from './reply-cache.ts'
import type { UploadTable } from './upload-table.ts'

export interface OperationLimits {
  readonly manifestBytesMax: number
  readonly blobBytesMax: number
  readonly descriptorsMax: number
  readonly allowMissingManifests: boolean
  readonly allowMissingBlobs: boolean
  /** How long an unreferenced blob is safe from garbage collection. */
  readonly graceMs: number
}

/** The part of an exchange that operations may see. */
export interface OperationRequest {
  readonly path: string
  readonly body: RequestBody
  header(name: string): string
}

export interface Registry {
  readonly blobs: BlobStore
  readonly metadata: MetadataStore
  readonly ingest: IngestPool
  readonly limits: OperationLimits
  readonly uploads: UploadTable
  readonly replies: ReplyCache
  readonly readers: BlobReaders
  /** Other processes write to the same store, so nothing mutable may be remembered. */
  readonly shared: boolean
  /** This process, in session records. */
  readonly owner: string
  readonly isOwnerAlive: (owner: string) => boolean
  readonly bootId: string
  /** Put before the path in `Location`; '' makes them relative. */
  readonly externalUrl: string
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly randomUuid: () => string
  /** Work that nobody waits for has failed; the store is still right. */
  readonly onBackgroundFault: (what: string, error: unknown) => void
}

/** Go on with a value that may not be there yet, without a promise where it is. */
export function chain<T, U>(
  value: MaybePromise<T>,
  next: (value: T) => MaybePromise<U>,
): MaybePromise<U> {
  return value instanceof Promise ? value.then(next) : next(value)
}
