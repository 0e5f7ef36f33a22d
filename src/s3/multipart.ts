// Objects that are put together of parts, one function or method for each request. All throw S3Fault.

import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import type { S3Bucket } from './client.ts'
import type { DonePart, S3Object, UnfinishedObject } from './contract.ts'
import { S3Fault, wrongBytes } from './fault.ts'
import { bytesType, copiedPerMs, sentPerMs, sourceOf } from './objects.ts'

/** An object that is put together of parts; it is there, whole, once `complete` resolves. */
export class Multipart {
  readonly #bucket: S3Bucket
  readonly #key: string
  readonly #id: string
  #bytes = 0

  private constructor(bucket: S3Bucket, key: string, id: string) {
    this.#bucket = bucket
    this.#key = key
    this.#id = id
  }

  /** One that another thread has begun and filled. */
  static of(bucket: S3Bucket, { key, id, size }: UnfinishedObject): Multipart {
    const multipart = new Multipart(bucket, key, id)
    multipart.#bytes = size
    return multipart
  }

  static async begin(bucket: S3Bucket, key: string, signal?: AbortSignal): Promise<Multipart> {
    const { bucket: Bucket } = bucket.connection
    const { UploadId } = await bucket.call(
      'CreateMultipartUpload',
      (client, abortSignal) =>
        client.send(
          new CreateMultipartUploadCommand({ Bucket, Key: key, ContentType: bytesType }),
          { abortSignal },
        ),
      { signal },
    )
    if (UploadId === undefined) throw wrongBytes(`begin ${key}`, 'the answer has no upload id')
    return new Multipart(bucket, key, UploadId)
  }

  /**
   * Bytes of another object of the bucket, `end` exclusive. Limits: up to 5 GiB; a part of an object only where that has
   * more than 5 MiB. Source: Amazon S3 API, UploadPartCopy.
   */
  async copyPart(number: number, from: S3Object, start: number, end: number): Promise<DonePart> {
    const isWhole = start === 0 && end === from.size
    const { bucket: Bucket } = this.#bucket.connection
    const { CopyPartResult } = await this.#bucket.call(
      'UploadPartCopy',
      (client, abortSignal) =>
        client.send(
          new UploadPartCopyCommand({
            ...{ Bucket, Key: this.#key, UploadId: this.#id, PartNumber: number },
            ...{ CopySource: sourceOf(Bucket, from.key), CopySourceIfMatch: from.etag },
            ...(isWhole ? {} : { CopySourceRange: `bytes=${start}-${end - 1}` }),
          }),
          { abortSignal },
        ),
      { extraMs: Math.ceil((end - start) / copiedPerMs) },
    )
    this.#bytes += end - start
    return partOf(number, CopyPartResult?.ETag)
  }

  async putPart(number: number, body: Uint8Array, signal?: AbortSignal): Promise<DonePart> {
    const { bucket: Bucket } = this.#bucket.connection
    const { ETag } = await this.#bucket.call(
      'UploadPart',
      (client, abortSignal) =>
        client.send(
          new UploadPartCommand({
            ...{ Bucket, Key: this.#key, UploadId: this.#id, PartNumber: number },
            ...{ Body: body, ContentLength: body.length },
          }),
          { abortSignal },
        ),
      { signal, extraMs: Math.ceil(body.length / sentPerMs) },
    )
    this.#bytes += body.length
    return partOf(number, ETag)
  }

  /** Errors: S3Fault, 'exists' with `isNew` where there is an object, 'absent' where it was completed before. */
  async complete(
    parts: readonly DonePart[],
    { isNew }: { readonly isNew: boolean },
  ): Promise<void> {
    const { bucket: Bucket } = this.#bucket.connection
    await this.#bucket.call(
      'CompleteMultipartUpload',
      (client, abortSignal) =>
        client.send(
          new CompleteMultipartUploadCommand({
            ...{ Bucket, Key: this.#key, UploadId: this.#id },
            MultipartUpload: { Parts: [...parts] },
            ...(isNew ? { IfNoneMatch: '*' } : {}),
          }),
          { abortSignal },
        ),
      { extraMs: Math.ceil(this.#bytes / copiedPerMs) },
    )
  }

  /** What it is so far, for whoever is to complete it. */
  unfinished(parts: readonly DonePart[]): UnfinishedObject {
    return { key: this.#key, id: this.#id, size: this.#bytes, parts }
  }

  /** Idempotent. */
  abort(): Promise<void> {
    return abortMultipart(this.#bucket, this.#key, this.#id)
  }
}

/** Idempotent. */
export async function abortMultipart(bucket: S3Bucket, key: string, id: string): Promise<void> {
  const { bucket: Bucket } = bucket.connection
  try {
    await bucket.call('AbortMultipartUpload', (client, abortSignal) =>
      client.send(new AbortMultipartUploadCommand({ Bucket, Key: key, UploadId: id }), {
        abortSignal,
      }),
    )
  } catch (error) {
    if (!(error instanceof S3Fault && error.kind === 'absent')) throw error
  }
}

export interface UnfinishedMultipart {
  readonly key: string
  readonly id: string
  readonly startedAtMs: number
}

/** Those whose key begins so, that were neither completed nor aborted; at most 1,000. */
export async function listMultiparts(
  bucket: S3Bucket,
  prefix: string,
): Promise<readonly UnfinishedMultipart[]> {
  const { bucket: Bucket } = bucket.connection
  const { Uploads = [] } = await bucket.call('ListMultipartUploads', (client, abortSignal) =>
    client.send(new ListMultipartUploadsCommand({ Bucket, Prefix: prefix }), { abortSignal }),
  )
  return Uploads.flatMap(({ Key, UploadId, Initiated }) =>
    Key === undefined || UploadId === undefined || Initiated === undefined
      ? []
      : [{ key: Key, id: UploadId, startedAtMs: Initiated.getTime() }],
  )
}

function partOf(PartNumber: number, ETag: string | undefined): DonePart {
  if (ETag === undefined) throw wrongBytes(`part ${PartNumber}`, 'the answer has no ETag')
  return { PartNumber, ETag }
}
