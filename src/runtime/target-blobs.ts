// The blob store of a configuration, opened to be filled: by a restore, or by a migration.

import { availableParallelism } from 'node:os'
import type { Config, S3Config } from '../config/schema.ts'
import type { BlobStore } from '../storage/blob/contract.ts'
import { openFsBlobStore } from '../storage/blob/fs/store.ts'
import type { S3BlobStore } from '../storage/blob/s3/store.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Closers } from './closers.ts'
import { openKeys } from './encryption.ts'

/** Of those that fill it: one hashes as fast as disks read; the other half reads, and serves. */
export const targetThreads: number = Math.max(1, Math.ceil(availableParallelism() / 2))

/** Durable, whatever the configuration says of durability. Errors: Error with a message for the operator; StorageError. */
export async function openTargetBlobs(
  config: Config,
  log: Logger,
  closers: Closers,
): Promise<BlobStore> {
  const { blobStore } = config
  if (blobStore.kind === 'memory') {
    throw new Error('a store in memory is gone with this command: configure one on disk')
  }
  if (blobStore.kind === 's3') return openTargetBucket(blobStore, log, closers)
  const { rootDir } = blobStore
  const keys = await openKeys(config)
  const blobs = await openFsBlobStore({ rootDir, durability: 'fsync', ...(keys && { keys }) })
  closers.add(() => blobs.close())
  return blobs
}

/** Errors: as `openTargetBlobs`. */
export async function openTargetBucket(
  blobStore: S3Config,
  log: Logger,
  closers: Closers,
): Promise<S3BlobStore> {
  // Loaded here, so that a server without a bucket starts without its client.
  const { openS3BlobStore } = await import('../storage/blob/s3/open.ts')
  const bucket = await openS3BlobStore(blobStore, targetThreads, {
    onAttempt: () => undefined,
    // Whoever reads it is told.
    onMismatch: () => undefined,
    onFault: (what, error) => log.warn({ err: error }, `${what}: failed`),
  })
  closers.add(() => bucket.close())
  return bucket
}
