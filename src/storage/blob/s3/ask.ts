// Asks a bucket once, for those who want to know whether it could be used. Nothing is written.

import type { S3Config } from '../../../config/schema.ts'
import { S3Bucket } from '../../../s3/client.ts'
import { isVersioned, listObjects } from '../../../s3/objects.ts'
import { guarded } from './fault.ts'
import { connectionOf } from './open.ts'
import { rootOf } from './root.ts'

export interface BucketFacts {
  /** It keeps what is removed; false also where it does not tell. */
  readonly isVersioned: boolean
}

/** Limits: `timeoutMs` for each of two requests. Errors: StorageError 'unavailable'; Error for the operator. */
export async function askBucket(config: S3Config, timeoutMs: number): Promise<BucketFacts> {
  const connection = await connectionOf(config)
  const attemptTimeoutMs = Math.min(timeoutMs, connection.attemptTimeoutMs)
  const bucket = new S3Bucket({ ...connection, attemptTimeoutMs, attemptsMax: 1 })
  try {
    await guarded(`list ${connection.bucket}`, async () => {
      for await (const _ of listObjects(bucket, rootOf(config.prefix), { pageSize: 1 })) break
    })
    // A right that the server itself does not need.
    return { isVersioned: await isVersioned(bucket).catch(() => false) }
  } finally {
    bucket.close()
  }
}
