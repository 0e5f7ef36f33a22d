// Reads one object of a bucket. Whatever is read of a blob from its first byte to its last is held against its digest,
// before the last bytes are given away.

import { createHash, type Hash } from 'node:crypto'
import { type Digest, digestAlgorithm, digestHex } from '../../../oci/digest.ts'
import type { S3Bucket } from '../../../s3/client.ts'
import type { S3Object } from '../../../s3/contract.ts'
import { S3Fault } from '../../../s3/fault.ts'
import { ObjectStream } from '../../../s3/object-stream.ts'
import { StorageError } from '../../error.ts'
import type { BlobPass, BlobReader } from '../contract.ts'
import { guarded } from './fault.ts'

export interface ObjectSource {
  readonly bucket: S3Bucket
  readonly object: S3Object
  readonly digest: Digest
  /** The bytes are not those of the digest. */
  readonly onMismatch: (digest: Digest) => void
}

/** What `read` gets costs a request of its own each time; `pass` one for all. */
export class ObjectReader implements BlobReader {
  readonly size: number
  readonly #source: ObjectSource
  readonly #state = { isStale: false }
  #isClosed = false

  constructor(source: ObjectSource) {
    this.#source = source
    this.size = source.object.size
  }

  isStale(): boolean {
    return this.#state.isStale
  }

  async read(position: number, target: Uint8Array): Promise<number> {
    if (this.#isClosed) throw new Error('a blob is read after its reader was closed')
    if (position >= this.size || target.length === 0) return 0
    const pass = this.pass(position, Math.min(this.size, position + target.length))
    try {
      return await pass.read(target)
    } finally {
      pass.close()
    }
  }

  pass(start: number, end: number): BlobPass {
    return new ObjectPass(this.#source, start, Math.min(end, this.size), this.#state)
  }

  close(): void {
    this.#isClosed = true
  }
}

class ObjectPass implements BlobPass {
  readonly #source: ObjectSource
  readonly #stream: ObjectStream
  readonly #end: number
  readonly #state: { isStale: boolean }
  /** Absent where it is not all of the blob. */
  readonly #hash: Hash | undefined

  constructor(source: ObjectSource, start: number, end: number, state: { isStale: boolean }) {
    this.#state = state
    const { bucket, object, digest } = source
    this.#source = source
    this.#end = end
    this.#stream = new ObjectStream(bucket, object, start, end)
    const isWhole = start === 0 && end === object.size
    this.#hash = isWhole ? createHash(digestAlgorithm(digest)) : undefined
  }

  get position(): number {
    return this.#stream.position
  }

  async read(target: Uint8Array): Promise<number> {
    const { digest, onMismatch } = this.#source
    const count = await guarded(`read ${digest}`, () => this.#readOn(target))
    if (count === 0) return 0
    const bytes = target.subarray(0, count)
    this.#hash?.update(bytes)
    if (this.#stream.position < this.#end) return count
    if (this.#hash === undefined || this.#hash.digest('hex') === digestHex(digest)) return count
    // Nobody shall find them in a buffer, either.
    bytes.fill(0)
    this.#state.isStale = true
    onMismatch(digest)
    throw new StorageError('corrupt', `the bytes of ${digest} have another digest`)
  }

  close(): void {
    this.#stream.close()
  }

  async #readOn(target: Uint8Array): Promise<number> {
    try {
      return await this.#stream.read(target)
    } catch (error) {
      const isGone =
        error instanceof S3Fault && (error.kind === 'absent' || error.kind === 'exists')
      if (isGone) this.#state.isStale = true
      throw error
    }
  }
}
