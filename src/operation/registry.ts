// What operations work on: the stores, the ingest pool, the limits, and what this process remembers.

import type { RequestBody } from '../http/body.ts'
import type { IngestPool } from '../offload/contract.ts'
import type { BlobStore } from '../storage/blob/contract.ts'
import type { MaybePromise, MetadataStore } from '../storage/metadata/contract.ts'
import type { BlobReaders } from './blob-readers.ts'
import type { BodyRoom } from './body-room.ts'
import type { DamageReport } from './damage.ts'
import type { DiskRoom } from './disk-room.ts'
import type { PullRedirects } from './pull-redirects.ts'
import type { PullTimes } from './pull-times.ts'
import type { ReplyCache } from './reply-cache.ts'
import type { RepositoryRules } from './repository-rules.ts'
import type { SelfReport } from './self-report.ts'
import type { UploadTable } from './upload-table.ts'

export interface OperationLimits {
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
  /** Of the client; undefined where somebody who is not trusted says that it speaks for another one. */
  provenClientIp(): string | undefined
}

export interface Registry {
  readonly blobs: BlobStore
  readonly metadata: MetadataStore
  readonly ingest: IngestPool
  readonly limits: OperationLimits
  readonly rules: RepositoryRules
  readonly uploads: UploadTable
  readonly bodies: BodyRoom
  readonly replies: ReplyCache
  readonly pulls: PullTimes
  readonly readers: BlobReaders
  /** Absent where all blobs are served here. */
  readonly redirects?: PullRedirects | undefined
  readonly report: SelfReport
  /** Where reads tell of blobs that are not what their records say. Absent where nobody would look. */
  readonly damage?: DamageReport
  /** Without it only a disk that is really full refuses pushes. */
  readonly diskRoom?: DiskRoom | undefined
  /** Other processes write to the same store, so nothing mutable may be remembered. */
  readonly shared: boolean
  /** This process, in session records; asked each time, since it may change. */
  readonly owner: () => string
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
