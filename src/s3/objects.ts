// What is asked of a bucket, one function for each request. All throw S3Fault.

import {
  CopyObjectCommand,
  DeleteObjectCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import type { S3Bucket } from './client.ts'
import type { S3Object } from './contract.ts'
import { S3Fault, wrongBytes } from './fault.ts'

// Far less than any bucket does, of bytes that are sent there, and of those that it copies itself.
export const sentPerMs = 1024
export const copiedPerMs: number = 10 * 1024

export const bytesType: string = 'application/octet-stream'

/** Undefined where there is no such object, and the bucket says so itself. */
export async function lookAt(bucket: S3Bucket, key: string): Promise<S3Object | undefined> {
  // The answer to a HEAD has no body, so it does not tell an absent key from an absent bucket or a wrong host.
  return (await glanceAt(bucket, key)) ?? lookByList(bucket, key)
}

/** The same by one request, for who is to write there next: undefined also where there is no such bucket. */
export async function glanceAt(bucket: S3Bucket, key: string): Promise<S3Object | undefined> {
  const { bucket: Bucket } = bucket.connection
  try {
    const head = await bucket.call('HeadObject', (client, abortSignal) =>
      client.send(new HeadObjectCommand({ Bucket, Key: key }), { abortSignal }),
    )
    return objectOf(key, head.ContentLength, head.ETag, head.LastModified)
  } catch (error) {
    if (!(error instanceof S3Fault && error.code === 'NotFound')) throw error
    return undefined
  }
}

async function lookByList(bucket: S3Bucket, key: string): Promise<S3Object | undefined> {
  for await (const object of listObjects(bucket, key, { pageSize: 1 })) {
    return object.key === key ? object : undefined
  }
  return undefined
}

/**
 * Put a whole object. With `isNew` only where there is none.
 * Errors: S3Fault, 'exists' with `isNew` where there is one.
 */
export async function putObject(
  bucket: S3Bucket,
  key: string,
  body: Uint8Array,
  how: { readonly isNew?: boolean; readonly crc32?: number; readonly signal?: AbortSignal } = {},
): Promise<void> {
  const { bucket: Bucket } = bucket.connection
  await bucket.call(
    'PutObject',
    (client, abortSignal) =>
      client.send(
        new PutObjectCommand({
          ...{ Bucket, Key: key, Body: body, ContentLength: body.length, ContentType: bytesType },
          ...(how.isNew === true ? { IfNoneMatch: '*' } : {}),
          ...(how.crc32 === undefined ? {} : { ChecksumCRC32: base64Of(how.crc32) }),
        }),
        { abortSignal },
      ),
    { signal: how.signal, extraMs: Math.ceil(body.length / sentPerMs) },
  )
}

/**
 * Idempotent. `onSigned` is called once the request has its date and signature, before it is sent; where it throws it is
 * not. Errors: also what `onSigned` throws.
 */
export async function deleteObject(
  bucket: S3Bucket,
  key: string,
  how: { readonly isOnce?: boolean; readonly onSigned?: () => void } = {},
): Promise<void> {
  const { bucket: Bucket } = bucket.connection
  const { isOnce = false, onSigned } = how
  let refusal: { readonly error: unknown } | undefined
  const send = (client: S3Client, abortSignal: AbortSignal): Promise<unknown> => {
    const command = new DeleteObjectCommand({ Bucket, Key: key })
    // Signing is the end of the step before.
    command.middlewareStack.add(
      (next) => (request) => {
        try {
          onSigned?.()
        } catch (error) {
          refusal = { error }
          throw error
        }
        return next(request)
      },
      { step: 'deserialize', name: 'onSigned', priority: 'low' },
    )
    return client.send(command, { abortSignal })
  }
  try {
    await bucket.call('DeleteObject', send, { isOnce })
  } catch (error) {
    throw refusal === undefined ? error : refusal.error
  }
}

/** A small object whole; undefined where there is none. Errors: also where it is longer than `bytesMax`. */
export async function readSmall(
  bucket: S3Bucket,
  key: string,
  bytesMax: number,
): Promise<Uint8Array | undefined> {
  const { bucket: Bucket } = bucket.connection
  try {
    return await bucket.call('GetObject', async (client, abortSignal) => {
      const got = await client.send(new GetObjectCommand({ Bucket, Key: key }), { abortSignal })
      const size = got.ContentLength ?? bytesMax + 1
      if (size > bytesMax) throw wrongBytes(key, `${size} bytes instead of at most ${bytesMax}`)
      const bytes = (await got.Body?.transformToByteArray()) ?? new Uint8Array(0)
      if (bytes.length !== size) throw wrongBytes(key, `${bytes.length} of ${size} bytes came`)
      return bytes
    })
  } catch (error) {
    if (error instanceof S3Fault && error.kind === 'absent') return undefined
    throw error
  }
}

/** All objects whose key begins so, in the order of their keys. One request for each `pageSize`, at most 1,000. */
export async function* listObjects(
  bucket: S3Bucket,
  prefix: string,
  how: { readonly pageSize?: number } = {},
): AsyncGenerator<S3Object> {
  const { bucket: Bucket } = bucket.connection
  for (let token: string | undefined; ; ) {
    const ContinuationToken = token
    const page = await bucket.call('ListObjectsV2', (client, abortSignal) =>
      client.send(
        new ListObjectsV2Command({
          ...{ Bucket, Prefix: prefix, MaxKeys: how.pageSize ?? 1000 },
          ...(ContinuationToken === undefined ? {} : { ContinuationToken }),
        }),
        { abortSignal },
      ),
    )
    // An answer of something else that says 200 must not be taken for absence.
    if (page.Contents === undefined && page.KeyCount === undefined && page.Prefix === undefined) {
      throw wrongBytes(`list ${prefix}`, 'the answer is no list')
    }
    for (const { Key, Size, ETag, LastModified } of page.Contents ?? []) {
      if (Key !== undefined) yield objectOf(Key, Size, ETag, LastModified)
    }
    if (page.IsTruncated !== true) return
    token = page.NextContinuationToken
    if (token === undefined)
      throw wrongBytes(`list ${prefix}`, 'a page does not say where to go on')
  }
}

/** Names of what lies directly below `prefix`, which ends in a slash; with the slash of those that are folders. */
export async function* listFolders(bucket: S3Bucket, prefix: string): AsyncGenerator<string> {
  const { bucket: Bucket } = bucket.connection
  for (let token: string | undefined; ; ) {
    const ContinuationToken = token
    const page = await bucket.call('ListObjectsV2', (client, abortSignal) =>
      client.send(
        new ListObjectsV2Command({
          ...{ Bucket, Prefix: prefix, Delimiter: '/' },
          ...(ContinuationToken === undefined ? {} : { ContinuationToken }),
        }),
        { abortSignal },
      ),
    )
    for (const { Prefix } of page.CommonPrefixes ?? []) {
      if (Prefix !== undefined) yield Prefix.slice(prefix.length)
    }
    if (page.IsTruncated !== true) return
    token = page.NextContinuationToken
    if (token === undefined)
      throw wrongBytes(`list ${prefix}`, 'a page does not say where to go on')
  }
}

/** Whether the bucket keeps old versions of objects. */
export async function isVersioned(bucket: S3Bucket): Promise<boolean> {
  const { bucket: Bucket } = bucket.connection
  const { Status } = await bucket.call('GetBucketVersioning', (client, abortSignal) =>
    client.send(new GetBucketVersioningCommand({ Bucket }), { abortSignal }),
  )
  return Status === 'Enabled'
}

/** Within the bucket, up to 5 GiB. Errors: S3Fault, 'exists' with `isNew` where there is one. */
export async function copyObject(
  bucket: S3Bucket,
  from: S3Object,
  key: string,
  { isNew }: { readonly isNew: boolean },
): Promise<void> {
  const { bucket: Bucket } = bucket.connection
  await bucket.call(
    'CopyObject',
    (client, abortSignal) =>
      client.send(
        new CopyObjectCommand({
          ...{ Bucket, Key: key, CopySource: sourceOf(Bucket, from.key) },
          ...{ CopySourceIfMatch: from.etag },
          ...(isNew ? { IfNoneMatch: '*' } : {}),
        }),
        { abortSignal },
      ),
    { extraMs: Math.ceil(from.size / copiedPerMs) },
  )
}

function objectOf(
  key: string,
  size: number | undefined,
  etag: string | undefined,
  modified?: Date,
): S3Object {
  if (size === undefined || etag === undefined) {
    throw wrongBytes(`look at ${key}`, 'the answer has no size or no ETag')
  }
  return { key, size, etag, ...(modified === undefined ? {} : { modifiedMs: modified.getTime() }) }
}

/** As `CopySource` wants it. */
export function sourceOf(bucket: string, key: string): string {
  return `${bucket}/${key}`.split('/').map(encodeURIComponent).join('/')
}

function base64Of(crc32: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc32)
  return bytes.toString('base64')
}
