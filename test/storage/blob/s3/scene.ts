// Answers for S3 blob stores in tests: one in a bucket of its own, filled by real ingest threads.

import assert from 'node:assert/strict'
import type { BodySink, RequestBody } from '../../../../src/http/body.ts'
import type { Digest } from '../../../../src/oci/digest.ts'
import type { UploadId } from '../../../../src/oci/upload-id.ts'
import type { IngestOutcome, IngestPlan } from '../../../../src/offload/contract.ts'
import { createIngestPool, type RunningIngestPool } from '../../../../src/offload/ingest-pool.ts'
import { S3Bucket } from '../../../../src/s3/client.ts'
import type { S3Attempt, S3Connection } from '../../../../src/s3/contract.ts'
import { rootOf } from '../../../../src/storage/blob/s3/root.ts'
import { S3BlobStore } from '../../../../src/storage/blob/s3/store.ts'
import type { BlobStoreScene } from '../../../contract/blob-store.ts'
import { s3Keys } from '../../../support/versitygw.ts'

export const mib: number = 1024 * 1024

// Stands for the records, which give each body a higher one, on whatever host.
let fence = 0

export interface S3Scene extends BlobStoreScene {
  readonly store: S3BlobStore
  readonly bucket: S3Bucket
  readonly root: string
  readonly ingest: RunningIngestPool
  /** Of the event loop and of the threads. */
  readonly attempts: readonly S3Attempt[]
  readonly mismatches: readonly Digest[]
  receive(
    plan: Partial<IngestPlan> & { readonly upload: UploadId },
    bytes: Uint8Array,
  ): Promise<IngestOutcome>
}

export interface S3SceneOptions {
  readonly connection?: Partial<S3Connection>
  readonly partBytes?: number
  readonly equalParts?: boolean
  readonly threadBudgetBytes?: number
  readonly prefix?: string
  readonly now?: () => number
}

/** A body that is all there. */
class WholeBody implements RequestBody {
  readonly length: number
  readonly #bytes: Uint8Array
  #sink: BodySink | undefined
  #at = 0
  #isPaused = false

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.length = bytes.length
  }

  consume(sink: BodySink): void {
    this.#sink = sink
    this.#go()
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    queueMicrotask(() => this.#go())
  }

  #go(): void {
    while (!this.#isPaused && this.#sink !== undefined) {
      const chunk = this.#bytes.subarray(this.#at, this.#at + 64 * 1024)
      this.#at += chunk.length
      const sink = this.#sink
      const isLast = this.#at >= this.length
      if (isLast) this.#sink = undefined
      sink.onChunk(chunk, isLast)
    }
  }
}

export function connectionTo(
  endpoint: string,
  bucket: string,
  more: Partial<S3Connection> = {},
): S3Connection {
  return {
    ...{ endpoint, bucket, region: 'us-east-1', pathStyle: true, credentials: s3Keys },
    ...{ attemptTimeoutMs: 30_000, attemptsMax: 4, connectionsMax: 64 },
    ...more,
  }
}

export function openS3Scene(
  endpoint: string,
  bucketName: string,
  options: S3SceneOptions = {},
): S3Scene {
  const attempts: S3Attempt[] = []
  const mismatches: Digest[] = []
  const onAttempt = (attempt: S3Attempt): void => {
    attempts.push(attempt)
  }
  const connection = connectionTo(endpoint, bucketName, options.connection)
  const bucket = new S3Bucket(connection, { onAttempt })
  const { partBytes = 8 * mib, threadBudgetBytes = 64 * mib, equalParts = false } = options
  const root = rootOf(options.prefix ?? '')
  const store = new S3BlobStore({
    ...{ bucket, reads: bucket, root, limits: { partBytes, threadBudgetBytes, equalParts } },
    credentials: () => connection.credentials ?? s3Keys,
    onMismatch: (digest) => mismatches.push(digest),
    onFault: (what, error) => {
      throw new Error(what, { cause: error })
    },
    now: options.now ?? Date.now,
  })
  const ingest = createIngestPool({
    ...{ workers: 1, slabBytes: mib, slabsPerUpload: 4, memoryBudgetBytes: 16 * mib },
    ...{ durability: 'fsync', onS3: onAttempt },
  })
  const receive: S3Scene['receive'] = ({ upload, ...plan }, bytes) => {
    fence += 1
    return ingest.receive(
      {
        ...{ target: store.staging(upload, fence), offset: 0, algorithm: 'sha256', sync: true },
        ...{ hash: { kind: 'stream' }, bytesMax: Number.MAX_SAFE_INTEGER },
        ...plan,
      },
      new WholeBody(bytes),
    )
  }
  return {
    ...{ store, bucket, root, ingest, attempts, mismatches, receive, readersOutlive: false },
    stage: async (upload, bytes) => {
      assert.equal((await receive({ upload }, bytes)).kind, 'complete')
    },
    close: async () => {
      await ingest.close()
      await store.close()
    },
  }
}
