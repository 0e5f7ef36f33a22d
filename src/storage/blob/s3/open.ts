// Opens the blob store of a bucket: credentials found, the bucket asked once.

import { availableParallelism } from 'node:os'
import type { S3Config } from '../../../config/schema.ts'
import type { Digest } from '../../../oci/digest.ts'
import { readCallerTls } from '../../../outbound/tls-files.ts'
import { S3Bucket } from '../../../s3/client.ts'
import type {
  S3Attempt,
  S3Connection,
  S3Credentials,
  S3Encryption,
  S3StagingLimits,
} from '../../../s3/contract.ts'
import { listObjects } from '../../../s3/objects.ts'
import { createAddresses } from './addresses.ts'
import { guarded } from './fault.ts'
import { rootOf } from './root.ts'
import { S3BlobStore } from './store.ts'

const budgetBytesMin = 128 * 1024 * 1024
// Of one upload: two on their way and one that is filled; and one for whoever waits.
const partsOfThread = 4
const partsOfThreadMin = 3
// The SDK looks for new ones five minutes before the old ones expire.
const credentialsMs = 30_000

export interface S3Watch {
  readonly onAttempt: (attempt: S3Attempt) => void
  readonly onMismatch: (digest: Digest) => void
  readonly onFault: (what: string, error: unknown) => void
}

/** Errors: an Error that names the key and the file that cannot be used. */
export async function connectionOf(config: S3Config): Promise<S3Connection> {
  const { endpoint, region, bucket, pathStyle, accessKeyId, secretAccessKey } = config
  const { ca } = await readCallerTls('blob_store.s3', config)
  const sessionToken = config.sessionToken?.reveal()
  const hasKeys = accessKeyId !== undefined && secretAccessKey !== undefined
  const credentials: S3Credentials | undefined = hasKeys
    ? {
        accessKeyId: accessKeyId.reveal(),
        secretAccessKey: secretAccessKey.reveal(),
        ...(sessionToken === undefined ? {} : { sessionToken }),
      }
    : undefined
  const encryption = encryptionOf(config)
  return {
    ...{ region, bucket, pathStyle },
    ...(encryption === undefined ? {} : { encryption }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(ca === undefined ? {} : { ca }),
    ...(credentials === undefined ? {} : { credentials }),
    attemptTimeoutMs: config.attemptTimeoutMs,
    attemptsMax: config.attemptsMax,
    breaker: { failures: config.breakerFailures, cooldownMs: config.breakerCooldownMs },
    connectionsMax: config.connectionsMax,
  }
}

function encryptionOf({ sse, sseKmsKeyId, sseCustomerKey }: S3Config): S3Encryption | undefined {
  if (sseCustomerKey !== undefined) {
    return { kind: 'customer', key: sseCustomerKey.reveal().trim() }
  }
  if (sse === undefined) return undefined
  if (sse === 'AES256') return { kind: 'aes256' }
  return { kind: 'kms', ...(sseKmsKeyId === undefined ? {} : { keyId: sseKmsKeyId }) }
}

/** Errors: an Error for the operator. */
export function limitsOf(
  { partSizeBytes, partBudgetBytes }: Pick<S3Config, 'partSizeBytes' | 'partBudgetBytes'>,
  threads: number | 'auto',
): S3StagingLimits {
  const count = threads === 'auto' ? Math.max(1, availableParallelism() - 1) : threads
  const enough = Math.max(budgetBytesMin, partsOfThread * partSizeBytes * count)
  const least = partsOfThreadMin * partSizeBytes * count
  if (partBudgetBytes !== undefined && partBudgetBytes < least) {
    // With less, pieces are sent that are too small for the bucket to put together.
    throw new Error(
      `blob_store.s3.part_budget: expected at least ${mebibytes(least)}, 3 × part_size for each of ${count} ingest threads; found ${mebibytes(partBudgetBytes)}`,
    )
  }
  const threadBudgetBytes = Math.floor((partBudgetBytes ?? enough) / count)
  return { partBytes: partSizeBytes, threadBudgetBytes }
}

/**
 * Nothing is written. `threads`: those of ingest.
 * Errors: StorageError 'unavailable' where the bucket does not answer, or there are no credentials; Error for the
 * operator.
 */
export async function openS3BlobStore(
  config: S3Config,
  threads: number | 'auto',
  watch: S3Watch,
): Promise<S3BlobStore> {
  const limits = { ...limitsOf(config, threads), equalParts: config.equalParts }
  const connection = await connectionOf(config)
  const { onAttempt, onMismatch, onFault } = watch
  const bucket = new S3Bucket(connection, { onAttempt })
  // A connection of its own for each transfer: slow clients must not keep the others waiting.
  const reads = new S3Bucket(connection, { onAttempt, beside: bucket })
  try {
    let credentials = await guarded('open the bucket', () => bucket.credentials())
    const root = rootOf(config.prefix)
    await guarded(`open the bucket ${connection.bucket}`, async () => {
      for await (const _ of listObjects(bucket, root, { pageSize: 1 })) break
    })
    const renew = (): void => {
      bucket.credentials().then(
        (renewed) => {
          credentials = renewed
        },
        (error: unknown) => onFault('renew the credentials of S3', error),
      )
    }
    const isFixed = connection.credentials !== undefined
    const timer = isFixed ? undefined : setInterval(renew, credentialsMs).unref()
    const { redirect, redirectEndpoint, redirectExpiryMs: expiryMs } = config
    const addresses = redirect
      ? createAddresses({
          ...{ bucketUrl: bucket.urlFor(redirectEndpoint), region: connection.region },
          ...{ root, expiryMs, credentials: () => credentials },
          now: () => Date.now() + bucket.clockOffsetMs,
        })
      : undefined
    return new S3BlobStore(
      {
        ...{ bucket, reads, root, limits, addresses, onMismatch, onFault },
        credentials: () => credentials,
        now: Date.now,
      },
      () => clearInterval(timer),
    )
  } catch (error) {
    reads.close()
    bucket.close()
    throw error
  }
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024 / 1024)}MiB`
}
