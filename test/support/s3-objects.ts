// Answers for what lies in the buckets of an S3 server of tests, behind the back of the product: as files, or by way of S3
// itself where the server keeps them in a form of its own.

import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  PutObjectCommand,
  paginateListObjectsV2,
  S3Client,
} from '@aws-sdk/client-s3'

export interface Objects {
  make(bucket: string): Promise<void>
  /** In order. */
  keys(bucket: string): Promise<readonly string[]>
  read(bucket: string, key: string): Promise<Buffer>
  /** Other bytes in its place. */
  overwrite(bucket: string, key: string, bytes: Uint8Array): Promise<void>
  remove(bucket: string, key: string): Promise<void>
  close(): void
}

/** Of a server that keeps each object as a file by its key; only so bytes change as on a bad disk. */
export class ObjectFiles implements Objects {
  readonly #dir: string

  constructor(dir: string) {
    this.#dir = dir
  }

  async make(bucket: string): Promise<void> {
    await mkdir(join(this.#dir, bucket))
  }

  async keys(bucket: string): Promise<readonly string[]> {
    const folder = join(this.#dir, bucket)
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
      .filter((key) => !key.startsWith('.sgwtmp'))
      .sort()
  }

  read(bucket: string, key: string): Promise<Buffer> {
    return readFile(join(this.#dir, bucket, key))
  }

  overwrite(bucket: string, key: string, bytes: Uint8Array): Promise<void> {
    return writeFile(join(this.#dir, bucket, key), bytes)
  }

  remove(bucket: string, key: string): Promise<void> {
    return rm(join(this.#dir, bucket, key))
  }

  close(): void {}
}

export class RemoteObjects implements Objects {
  readonly #client: S3Client

  constructor(
    endpoint: string,
    credentials: { readonly accessKeyId: string; readonly secretAccessKey: string },
  ) {
    this.#client = new S3Client({
      endpoint,
      credentials,
      region: 'us-east-1',
      forcePathStyle: true,
    })
  }

  async make(bucket: string): Promise<void> {
    await this.#client.send(new CreateBucketCommand({ Bucket: bucket }))
  }

  async keys(bucket: string): Promise<readonly string[]> {
    const keys: string[] = []
    for await (const page of paginateListObjectsV2({ client: this.#client }, { Bucket: bucket })) {
      for (const { Key } of page.Contents ?? []) if (Key !== undefined) keys.push(Key)
    }
    return keys.sort()
  }

  async read(bucket: string, key: string): Promise<Buffer> {
    const { Body } = await this.#client.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
    return Buffer.from((await Body?.transformToByteArray()) ?? [])
  }

  async overwrite(bucket: string, key: string, bytes: Uint8Array): Promise<void> {
    await this.#client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: bytes }))
  }

  async remove(bucket: string, key: string): Promise<void> {
    await this.#client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }))
  }

  close(): void {
    this.#client.destroy()
  }
}
