// Blobs as objects of a bucket that speaks S3, under the keys of Docker Distribution.

import { randomUUID } from 'node:crypto'
import { type Digest, parseDigest } from '../../../oci/digest.ts'
import { parseUploadId, type UploadId } from '../../../oci/upload-id.ts'
import type { S3Bucket } from '../../../s3/client.ts'
import type { S3Credentials, S3Object, S3StagingLimits } from '../../../s3/contract.ts'
import { abortMultipart, listMultiparts } from '../../../s3/multipart.ts'
import { deleteObject, listFolders, listObjects, lookAt, putObject } from '../../../s3/objects.ts'
import { type Piece, stagedBytes, stagedSegments } from '../../../s3/pieces.ts'
import { listPieces, StagedReader } from '../../../s3/staged-reader.ts'
import { StorageError } from '../../error.ts'
import type { BlobMark } from '../audit.ts'
import type {
  BlobAddresses,
  BlobReader,
  BlobStore,
  Erased,
  StagingTarget,
  UnfinishedBlob,
} from '../contract.ts'
import {
  blobsKey,
  dataKey,
  dataName,
  erasingKey,
  quarantineKey,
  uploadKey,
  uploadsKey,
} from '../keys.ts'
import { guarded, storageFault } from './fault.ts'
import { hasOtherRecords, readId, writeId } from './place.ts'
import { copyWhole } from './publish.ts'
import { Publisher, type PublishOptions } from './publisher.ts'
import { ObjectReader } from './reader.ts'
import { inLanes } from './turns.ts'

const removalsAtOnce = 8
const probeKey = '_keelson/probe'
// A bucket refuses what was signed 15 minutes before (AWS "RequestTimeTooSkewed"), by its own clock.
const removalsLateMs = 20 * 60 * 1000
// Longer than any body and its publishing take.
const forgottenMs = 24 * 60 * 60 * 1000

export interface S3StoreOptions {
  readonly bucket: S3Bucket
  /** The same, for transfers that last as long as their clients. */
  readonly reads: S3Bucket
  /** Ends in a slash. */
  readonly root: string
  readonly limits: S3StagingLimits
  /** Those that staging targets carry; undefined until the first are known. */
  readonly credentials: () => S3Credentials
  /** A blob was read whose bytes have another digest. */
  readonly onMismatch: (digest: Digest) => void
  /** What does not keep the store from working. */
  readonly onFault: (what: string, error: unknown) => void
  /** Undefined: clients get no bytes but from here. */
  readonly addresses?: BlobAddresses | undefined
  /** Milliseconds since 1970. */
  readonly now: () => number
}

export class S3BlobStore implements BlobStore {
  readonly spansHosts = true
  readonly removalsLateMs: number = removalsLateMs
  readonly #bucket: S3Bucket
  readonly #root: string
  readonly #options: S3StoreOptions
  readonly #onClose: () => void
  readonly #publisher: Publisher

  constructor(options: S3StoreOptions, onClose: () => void = () => undefined) {
    this.#bucket = options.bucket
    this.#root = options.root
    this.#options = options
    this.#onClose = onClose
    const { bucket, limits, root } = options
    this.#publisher = new Publisher({ bucket, limits, root }, (upload, fence) =>
      this.#pieces(upload, fence),
    )
  }

  /** For people: bucket and what keys begin with. */
  get name(): string {
    return `${this.#bucket.connection.bucket}/${this.#root}`
  }

  get addresses(): BlobAddresses | undefined {
    return this.#options.addresses
  }

  /** An id that a key of the store holds, none of a blob. Errors: StorageError 'unavailable', 'corrupt'. */
  readId(key: string): Promise<string | undefined> {
    return readId(this.#bucket, `${this.#root}${key}`)
  }

  /** Where there is one it stays, unless it is `replaced`. Answers what there is afterwards. Errors: as `readId`, 'full'. */
  writeId(key: string, id: string, options: { readonly replaced: boolean }): Promise<string> {
    return writeId(this.#bucket, `${this.#root}${key}`, id, options)
  }

  /** Idempotent. Errors: StorageError 'unavailable'. */
  forgetId(key: string): Promise<void> {
    return guarded(`remove ${key}`, () => deleteObject(this.#bucket, `${this.#root}${key}`))
  }

  async open(digest: Digest): Promise<BlobReader | undefined> {
    const object = await this.#look(dataKey(digest))
    if (object === undefined) return undefined
    const { onMismatch, reads } = this.#options
    return new ObjectReader({ bucket: reads, object, digest, onMismatch })
  }

  async size(digest: Digest): Promise<number | undefined> {
    return (await this.#look(dataKey(digest)))?.size
  }

  async look(
    digest: Digest,
  ): Promise<{ readonly size: number; readonly mark: BlobMark } | undefined> {
    const object = await this.#look(dataKey(digest))
    if (object === undefined) return undefined
    const { size, etag, modifiedMs = 0 } = object
    // Equal bytes have equal tags, whenever they came.
    return { size, mark: `${size} ${etag} ${modifiedMs}` }
  }

  staging(
    upload: UploadId,
    fence?: number,
    whole?: { readonly digest: Digest; readonly bytes: number },
  ): StagingTarget {
    // More is to come than what an earlier publish has found.
    if (fence !== undefined) this.#publisher.takeStaged(upload)
    return {
      ...this.stagedTarget(upload, fence),
      // A multipart upload has at least one byte.
      ...(whole === undefined || whole.bytes === 0
        ? {}
        : { whole: { key: `${this.#root}${dataKey(whole.digest)}`, bytes: whole.bytes } }),
    }
  }

  stagedTarget(upload: UploadId, fence?: number): StagingTarget & { readonly kind: 's3' } {
    const target = this.#target(this.#folder(upload))
    return { ...target, ...(fence === undefined ? {} : { fence }) }
  }

  readingTarget(digest: Digest): StagingTarget {
    return this.#target(`${this.#root}${dataKey(digest)}`)
  }

  async stagedSize(upload: UploadId, fence?: number): Promise<number | undefined> {
    return stagedBytes(await this.#pieces(upload, fence))
  }

  async openStaged(upload: UploadId): Promise<BlobReader | undefined> {
    const folder = this.#folder(upload)
    const pieces = await this.#pieces(upload)
    const size = stagedBytes(pieces)
    if (size === undefined) return undefined
    const reader = new StagedReader(this.#bucket, stagedSegments(pieces))
    return {
      size,
      read: (position, target) => guarded(`read ${folder}`, () => reader.read(position, target)),
      close: () => reader.close(),
    }
  }

  publish(
    upload: UploadId,
    digest: Digest,
    size: number,
    options: PublishOptions = { replace: false },
  ): Promise<void> {
    return this.#publisher.publish(upload, digest, size, options)
  }

  abandon(unfinished: UnfinishedBlob): Promise<void> {
    return this.#publisher.abandon(unfinished)
  }

  async discard(upload: UploadId): Promise<void> {
    const folder = this.#folder(upload)
    await guarded(`remove ${folder}`, async () => {
      // What an older body sends late is found by whoever looks for sessions without a record.
      const published = this.#publisher.takeStaged(upload)
      const keys: string[] = [...(published ?? [])]
      if (published === undefined) {
        for await (const { key } of listObjects(this.#bucket, folder)) keys.push(key)
      }
      await inLanes(removalsAtOnce, keys, (key) => deleteObject(this.#bucket, key))
    })
  }

  async remove(
    digest: Digest,
    {
      overwrite,
      requireHeld,
    }: { readonly overwrite: boolean; readonly requireHeld?: () => void } = { overwrite: false },
  ): Promise<boolean> {
    const object = await this.#look(dataKey(digest))
    if (object === undefined) return false
    if (overwrite) await this.#move(object, digest, erasingKey)
    else await guarded(`remove ${digest}`, () => this.#remove(object.key, requireHeld))
    return true
  }

  /** Nothing to be done: what a bucket has answered is durable. */
  async syncRemoved(): Promise<void> {}

  /** An empty object takes the place of each before it goes; what becomes of the old bytes is up to the bucket. */
  async *eraseRemoved(mayGoOn: (bytes: number) => Promise<void>): AsyncGenerator<Erased> {
    for await (const { key, size } of this.#list(`${erasingKey}/`)) {
      if (size > 0) await mayGoOn(size)
      try {
        await putObject(this.#bucket, key, new Uint8Array(0))
        await deleteObject(this.#bucket, key)
      } catch (cause) {
        const error = storageFault(`overwrite ${key}`, cause)
        if (!(error instanceof StorageError)) throw error
        yield { kind: 'failed', place: key, error }
        continue
      }
      yield { kind: 'overwritten', size }
    }
  }

  async quarantine(digest: Digest): Promise<string | undefined> {
    const object = await this.#look(dataKey(digest))
    return object && this.#move(object, digest, quarantineKey)
  }

  isShared(): Promise<boolean> {
    return hasOtherRecords(this.#bucket, this.#root)
  }

  async *listStaged(): AsyncGenerator<UploadId> {
    const prefix = `${this.#root}${uploadsKey}/`
    try {
      for await (const folder of listFolders(this.#bucket, prefix)) {
        const upload = parseUploadId(folder.replace(/\/$/, ''))
        if (upload !== undefined) yield upload
      }
    } catch (cause) {
      throw storageFault(`list ${prefix}`, cause)
    }
    await this.#abortForgotten().catch((error: unknown) =>
      this.#options.onFault('abort forgotten multipart uploads', error),
    )
  }

  async *list(): AsyncGenerator<{ readonly digest: Digest; readonly size: number }> {
    for await (const { key, size } of this.#list(`${blobsKey}/`)) {
      const digest = digestOfKey(key.slice(this.#root.length))
      if (digest !== undefined) yield { digest, size }
    }
  }

  async probe(): Promise<void> {
    const key = `${this.#root}${probeKey}`
    await guarded(`write ${key}`, () => putObject(this.#bucket, key, new Uint8Array(0)))
  }

  async close(): Promise<void> {
    this.#onClose()
    this.#options.reads.close()
    this.#bucket.close()
  }

  #pieces(upload: UploadId, fence?: number): Promise<readonly Piece[]> {
    const folder = this.#folder(upload)
    return guarded(`list ${folder}`, () => listPieces(this.#bucket, folder, fence))
  }

  #folder(upload: UploadId): string {
    return `${this.#root}${uploadKey(upload)}/`
  }

  #target(key: string): Extract<StagingTarget, { kind: 's3' }> {
    const { credentials, limits } = this.#options
    const connection = { ...this.#bucket.connection, credentials: credentials() }
    return { kind: 's3', key, connection, limits }
  }

  #look(key: string): Promise<S3Object | undefined> {
    return guarded(`look at ${key}`, () => lookAt(this.#bucket, `${this.#root}${key}`))
  }

  async *#list(prefix: string): AsyncGenerator<S3Object> {
    try {
      yield* listObjects(this.#bucket, `${this.#root}${prefix}`)
    } catch (cause) {
      throw storageFault(`list ${prefix}`, cause)
    }
  }

  // Once: an attempt without an answer may happen when a later one has long been answered, and the blob been pushed again.
  #remove(key: string, requireHeld?: () => void): Promise<void> {
    return deleteObject(this.#bucket, key, {
      isOnce: true,
      ...(requireHeld === undefined ? {} : { onSigned: requireHeld }),
    })
  }

  /** Answers where it is now. */
  async #move(object: S3Object, digest: Digest, to: string): Promise<string> {
    const key = `${this.#root}${to}/${digest.replace(':', '-')}.${randomUUID()}`
    await guarded(`move ${digest} to ${to}`, async () => {
      await copyWhole(this.#bucket, object, key)
      await this.#remove(object.key)
    })
    return key
  }

  async #abortForgotten(): Promise<void> {
    const prefix = `${this.#root}${blobsKey}/`
    for (const { key, id, startedAtMs } of await listMultiparts(this.#bucket, prefix)) {
      if (this.#options.now() - startedAtMs < forgottenMs) continue
      await abortMultipart(this.#bucket, key, id)
    }
  }
}

function digestOfKey(key: string): Digest | undefined {
  const [blobs, algorithm, prefix, hex, name, ...rest] = key.split('/')
  if (blobs !== blobsKey || name !== dataName || rest.length > 0) return undefined
  const digest = parseDigest(`${algorithm}:${hex}`)
  return digest !== undefined && hex?.startsWith(prefix ?? '/') === true && prefix?.length === 2
    ? digest
    : undefined
}
