// Puts a blob in its place, of what is staged or of parts that are there already.

import type { Digest } from '../../../oci/digest.ts'
import type { UploadId } from '../../../oci/upload-id.ts'
import type { S3Bucket } from '../../../s3/client.ts'
import type { S3StagingLimits } from '../../../s3/contract.ts'
import { S3Fault } from '../../../s3/fault.ts'
import { abortMultipart, Multipart } from '../../../s3/multipart.ts'
import { glanceAt } from '../../../s3/objects.ts'
import { type Piece, stagedBytes, stagedSegments } from '../../../s3/pieces.ts'
import { StorageError } from '../../error.ts'
import type { BlobStore, UnfinishedBlob } from '../contract.ts'
import { dataKey } from '../keys.ts'
import { guarded, storageFault } from './fault.ts'
import { putTogether } from './publish.ts'

export type PublishOptions = NonNullable<Parameters<BlobStore['publish']>[3]>

/** What is put at the key of a blob, and what is there. Units: bytes. */
interface Placing {
  readonly size: number
  readonly there: number | undefined
  readonly replace: boolean
}

export interface PublisherPlace {
  readonly bucket: S3Bucket
  /** Ends in a slash. */
  readonly root: string
  readonly limits: S3StagingLimits
}

// Mostly they are taken a moment later.
const stagedMax = 1_000

export class Publisher {
  readonly #place: PublisherPlace
  readonly #pieces: (upload: UploadId, fence?: number) => Promise<readonly Piece[]>
  readonly #completed = new WeakSet<UnfinishedBlob>()
  /** Keys of what was staged for uploads that were published, the oldest first. */
  readonly #staged = new Map<UploadId, readonly string[]>()

  /** `pieces`: those that are staged. Errors: StorageError. */
  constructor(
    place: PublisherPlace,
    pieces: (upload: UploadId, fence?: number) => Promise<readonly Piece[]>,
  ) {
    this.#place = place
    this.#pieces = pieces
  }

  /** See `BlobStore.publish`. */
  async publish(
    upload: UploadId,
    digest: Digest,
    size: number,
    { replace, fence, unfinished }: PublishOptions,
  ): Promise<void> {
    // Asked for at once, but for a second look at what was published.
    const isListed = unfinished === undefined && !this.#staged.has(upload)
    const [there, listed] = await Promise.all([
      this.#size(digest),
      isListed ? this.#pieces(upload, fence) : undefined,
    ])
    if (!replace && there !== undefined) return requireSize(digest, there, size)
    if (unfinished !== undefined) {
      return this.#complete(unfinished, digest, { size, replace, there })
    }
    const pieces = listed ?? (await this.#pieces(upload, fence))
    // More than that is what bodies that were given up have left, or send still.
    if ((stagedBytes(pieces) ?? -1) < size) {
      if (there !== undefined) return requireSize(digest, there, size)
      throw new StorageError('conflict', `not ${size} bytes are staged for ${digest}`)
    }
    const { bucket, limits, root } = this.#place
    const segments = stagedSegments(pieces, size)
    const { partBytes, equalParts = false } = limits
    await this.#put(digest, { size, replace, there }, (isNew) =>
      putTogether(bucket, segments, `${root}${dataKey(digest)}`, { isNew, partBytes, equalParts }),
    )
    this.#keep(upload, pieces)
  }

  /** See `BlobStore.abandon`. */
  async abandon(unfinished: UnfinishedBlob): Promise<void> {
    if (this.#completed.has(unfinished)) return
    const { key, id } = unfinished
    await guarded(`abort ${key}`, () => abortMultipart(this.#place.bucket, key, id))
  }

  /** Keys of all that was staged when this upload was published; undefined where it was not, or long ago. */
  takeStaged(upload: UploadId): readonly string[] | undefined {
    const keys = this.#staged.get(upload)
    this.#staged.delete(upload)
    return keys
  }

  #keep(upload: UploadId, pieces: readonly Piece[]): void {
    const [oldest] = this.#staged.keys()
    if (this.#staged.size >= stagedMax && oldest !== undefined) this.#staged.delete(oldest)
    const keys = pieces.map(({ key }) => key)
    this.#staged.set(upload, keys)
  }

  async #size(digest: Digest): Promise<number | undefined> {
    const { bucket, root } = this.#place
    const key = `${root}${dataKey(digest)}`
    return (await guarded(`look at ${key}`, () => glanceAt(bucket, key)))?.size
  }

  async #complete(unfinished: UnfinishedBlob, digest: Digest, how: Placing): Promise<void> {
    if (unfinished.size !== how.size) {
      throw new StorageError('conflict', `not ${how.size} bytes were sent for ${digest}`)
    }
    if (this.#completed.has(unfinished)) {
      if (how.there === how.size) return
      throw new StorageError('unavailable', `${digest} was removed while it was published`)
    }
    const multipart = Multipart.of(this.#place.bucket, unfinished)
    await this.#put(digest, how, async (isNew) => {
      await multipart.complete(unfinished.parts, { isNew })
      this.#completed.add(unfinished)
    })
  }

  async #put(
    digest: Digest,
    { size, replace, there }: Placing,
    put: (isNew: boolean) => Promise<void>,
  ): Promise<void> {
    const isNew = !(replace && there !== undefined)
    try {
      await put(isNew).catch((error: unknown) => {
        // One that knows no conditions: whatever another one puts there meanwhile are the same, verified bytes.
        if (!(isNew && error instanceof S3Fault && error.code === 'NotImplemented')) throw error
        return put(false)
      })
    } catch (cause) {
      // What is there then may still be what was to be replaced.
      if (replace) throw storageFault(`replace ${digest}`, cause)
      await this.#requireThere(digest, size, cause)
    }
  }

  // Another one was first, or it is there although the answer was lost.
  async #requireThere(digest: Digest, size: number, cause: unknown): Promise<void> {
    const fault = storageFault(`publish ${digest}`, cause)
    if (!(cause instanceof S3Fault) || cause.kind === 'full') throw fault
    const there = await this.#size(digest)
    if (there === undefined) throw fault
    requireSize(digest, there, size)
  }
}

/** Errors: StorageError 'corrupt'. */
function requireSize(digest: Digest, there: number, size: number): void {
  if (there === size) return
  throw new StorageError('corrupt', `${digest} has ${there} bytes instead of ${size}`)
}
