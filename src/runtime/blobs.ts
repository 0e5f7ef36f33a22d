// Which blob store a configuration asks for, opened, and proved to be that of the records.

import type { Config, S3Config } from '../config/schema.ts'
import type { Digest } from '../oci/digest.ts'
import { createPullRedirects, type PullRedirects } from '../operation/pull-redirects.ts'
import type { BlobStore } from '../storage/blob/contract.ts'
import { openFsBlobStore } from '../storage/blob/fs/store.ts'
import { MemoryBlobStore } from '../storage/blob/memory/store.ts'
import type { S3BlobStore } from '../storage/blob/s3/store.ts'
import type { MaintenanceStore } from '../storage/metadata/maintenance.ts'
import type { Logger } from '../telemetry/log.ts'
import { S3Counts } from '../telemetry/s3-metrics.ts'
import { openKeys, requireNotAdopted } from './encryption.ts'
import { requirePaired } from './pairing.ts'

export interface OpenBlobs {
  readonly blobs: BlobStore
  /** Undefined where blobs are elsewhere. */
  readonly s3: S3Counts | undefined
  /** Undefined where all blobs are served here. */
  readonly redirects?: PullRedirects | undefined
  /** Whoever looks after blobs that are not what their digest says; undefined until there is somebody. */
  readonly damage: { onFound: ((digest: Digest) => void) | undefined }
}

/** Errors: StorageError; Error with a message for the operator. */
export async function openBlobs(
  config: Config,
  metadata: MaintenanceStore,
  log: Logger,
): Promise<OpenBlobs> {
  const { blobStore } = config
  const damage: OpenBlobs['damage'] = { onFound: undefined }
  if (blobStore.kind !== 's3') {
    const pair = await requirePaired(config, metadata)
    await requireNotAdopted(config, metadata)
    const blobs = await openHere(config, log, damage)
    return paired({ blobs, s3: undefined, damage }, pair)
  }
  const s3 = new S3Counts((change, operation) => {
    if (change === 'opened') log.warn({ operation }, 'the bucket is left alone for a while')
    else log.info({ operation }, 'the bucket answers again')
  })
  const blobs = await openBucket(blobStore, config, log, s3, damage)
  try {
    const redirects = redirectsOf(blobStore, blobs, s3)
    return await paired(
      { blobs, s3, damage, redirects },
      await requirePaired(config, metadata, blobs),
    )
  } catch (error) {
    await blobs.close()
    throw error
  }
}

async function paired(open: OpenBlobs, pair: () => Promise<void>): Promise<OpenBlobs> {
  try {
    await pair()
    return open
  } catch (error) {
    await open.blobs.close()
    throw error
  }
}

function redirectsOf(
  { redirectMinSizeBytes: sizeMin, redirectRanges: ranges, redirectNetworks: networks }: S3Config,
  { addresses }: S3BlobStore,
  counts: S3Counts,
): PullRedirects | undefined {
  if (addresses === undefined) return undefined
  return createPullRedirects({ sizeMin, ranges, networks }, addresses, () => {
    counts.redirects += 1
  })
}

async function openHere(
  config: Config,
  log: Logger,
  damage: OpenBlobs['damage'],
): Promise<BlobStore> {
  const { blobStore, storage } = config
  if (blobStore.kind !== 'fs') return new MemoryBlobStore()
  const keys = await openKeys(config)
  return openFsBlobStore({
    ...{ rootDir: blobStore.rootDir, durability: storage.durability, ...(keys && { keys }) },
    onForged: (digest) => {
      log.error({ digest }, 'the encrypted file of a blob is not what was written')
      damage.onFound?.(digest)
    },
  })
}

async function openBucket(
  blobStore: S3Config,
  { ingest }: Config,
  log: Logger,
  counts: S3Counts,
  damage: OpenBlobs['damage'],
): Promise<S3BlobStore> {
  // Loaded here, so that a server without a bucket starts without its client.
  const { openS3BlobStore } = await import('../storage/blob/s3/open.ts')
  return openS3BlobStore(blobStore, ingest.workers, {
    onAttempt: (attempt) => counts.add(attempt),
    onMismatch: (digest) => {
      counts.wrongBlobs += 1
      log.error({ digest }, 'the bucket has other bytes for a blob than its digest says')
      damage.onFound?.(digest)
    },
    onFault: (what, error) => log.warn({ err: error }, `${what}: failed`),
  })
}
