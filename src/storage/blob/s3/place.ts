// Where in a bucket a store lies, and the id by which it and its records know each other.

import type { S3Bucket } from '../../../s3/client.ts'
import { S3Fault } from '../../../s3/fault.ts'
import { listObjects, putObject, readSmall } from '../../../s3/objects.ts'
import { StorageError } from '../../error.ts'
import { repositoriesKey, storeIdKey } from '../keys.ts'
import { guarded } from './fault.ts'

/** What Docker Distribution has between its `rootdirectory` and its keys. */
const distributionRoot = 'docker/registry/v2'
const idBytesMax = 256
const shape = /^[0-9a-f-]{8,64}$/

/** What all keys of a store begin with; ends in a slash. `prefix`: of the configuration. */
export function rootOf(prefix: string): string {
  const plain = prefix.replace(/^\/+|\/+$/g, '')
  if (plain === distributionRoot || plain.endsWith(`/${distributionRoot}`)) return `${plain}/`
  return plain === '' ? `${distributionRoot}/` : `${plain}/${distributionRoot}/`
}

/** Undefined where there is none. Errors: StorageError 'unavailable', 'corrupt'. */
export async function readStoreId(bucket: S3Bucket, root: string): Promise<string | undefined> {
  const key = `${root}${storeIdKey}`
  const bytes = await guarded(`read ${key}`, () => readSmall(bucket, key, idBytesMax))
  if (bytes === undefined) return undefined
  const text = Buffer.from(bytes).toString('utf8').trim()
  if (!shape.test(text)) throw new StorageError('corrupt', `${key} holds no id of a store`)
  return text
}

/** Where there is one already it stays. Answers which one there is afterwards. Errors: as `readStoreId`, 'full'. */
export async function writeStoreId(bucket: S3Bucket, root: string, id: string): Promise<string> {
  const key = `${root}${storeIdKey}`
  // Asked first, since not every server knows conditions.
  const known = await readStoreId(bucket, root)
  if (known !== undefined) return known
  const body = Buffer.from(`${id}\n`)
  await guarded(`write ${key}`, async () => {
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
  return (await readStoreId(bucket, root)) ?? id
}

/** Whether another registry has records of its own beside the blobs. Errors: StorageError. */
export async function hasOtherRecords(bucket: S3Bucket, root: string): Promise<boolean> {
  const prefix = `${root}${repositoriesKey}/`
  return guarded(`list ${prefix}`, async () => {
    for await (const _ of listObjects(bucket, prefix, { pageSize: 1 })) return true
    return false
  })
}
