// What of a bucket is no blob: the id by which it and its records know each other, and what others have there.

import type { S3Bucket } from '../../../s3/client.ts'
import { S3Fault } from '../../../s3/fault.ts'
import { listObjects, putObject, readSmall } from '../../../s3/objects.ts'
import { StorageError } from '../../error.ts'
import { repositoriesKey } from '../keys.ts'
import { guarded } from './fault.ts'

const idBytesMax = 256
const shape = /^[0-9a-f-]{8,64}$/

/** The id at a key; undefined where there is none. Errors: StorageError 'unavailable', 'corrupt'. */
export async function readId(bucket: S3Bucket, key: string): Promise<string | undefined> {
  const bytes = await guarded(`read ${key}`, () => readSmall(bucket, key, idBytesMax))
  if (bytes === undefined) return undefined
  const text = Buffer.from(bytes).toString('utf8').trim()
  if (!shape.test(text)) throw new StorageError('corrupt', `${key} holds no id of a store`)
  return text
}

/**
 * Where there is one already it stays, unless it is `replaced`. Answers which one there is afterwards. Errors: as
 * `readId`, 'full'.
 */
export async function writeId(
  bucket: S3Bucket,
  key: string,
  id: string,
  { replaced }: { readonly replaced: boolean },
): Promise<string> {
  // Asked first, since not every server knows conditions.
  const known = replaced ? undefined : await readId(bucket, key)
  if (known !== undefined) return known
  const body = Buffer.from(`${id}\n`)
  await guarded(`write ${key}`, async () => {
    if (replaced) return putObject(bucket, key, body)
    try {
      await putObject(bucket, key, body, { isNew: true })
    } catch (error) {
      if (!(error instanceof S3Fault)) throw error
      // Another process that starts at the same time was first.
      if (error.kind === 'exists') return
      if (error.code !== 'NotImplemented') throw error
      await putObject(bucket, key, body)
    }
  })
  return (await readId(bucket, key)) ?? id
}

/** Whether another registry has records of its own beside the blobs. Errors: StorageError. */
export async function hasOtherRecords(bucket: S3Bucket, root: string): Promise<boolean> {
  const prefix = `${root}${repositoriesKey}/`
  return guarded(`list ${prefix}`, async () => {
    for await (const _ of listObjects(bucket, prefix, { pageSize: 1 })) return true
    return false
  })
}
