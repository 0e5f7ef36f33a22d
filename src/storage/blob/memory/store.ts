// Blobs in memory, for tests: nothing outlives the process.

import type { Digest } from '../../../oci/digest.ts'
import { parseUploadId, type UploadId } from '../../../oci/upload-id.ts'
import { StorageError } from '../../error.ts'
import type { BlobReader, BlobStore, StagingTarget } from '../contract.ts'

export class MemoryBlobStore implements BlobStore {
  readonly #blobs = new Map<Digest, Uint8Array>()
  readonly #staged = new Map<string, Uint8Array[]>()

  async open(digest: Digest): Promise<BlobReader | undefined> {
    const bytes = this.#blobs.get(digest)
    return bytes && readerOf(bytes)
  }

  async size(digest: Digest): Promise<number | undefined> {
    return this.#blobs.get(digest)?.length
  }

  staging(upload: UploadId): StagingTarget {
    return { kind: 'memory', key: upload }
  }

  async stagedSize(upload: UploadId): Promise<number | undefined> {
    return this.#staged.get(upload)?.reduce((sum, { length }) => sum + length, 0)
  }

  async openStaged(upload: UploadId): Promise<BlobReader | undefined> {
    const chunks = this.#staged.get(upload)
    return chunks && readerOf(Buffer.concat(chunks))
  }

  async publish(upload: UploadId, digest: Digest, size: number): Promise<void> {
    const published = this.#blobs.get(digest)
    if (published && published.length !== size) {
      throw new StorageError(
        'corrupt',
        `${digest} has ${published.length} bytes instead of ${size}`,
      )
    }
    if (published) return
    const bytes = Buffer.concat(this.#staged.get(upload) ?? [])
    if (!this.#staged.has(upload) || bytes.length !== size) {
      throw new StorageError('conflict', `not ${size} bytes are staged for ${digest}`)
    }
    this.#blobs.set(digest, bytes)
  }

  async discard(upload: UploadId): Promise<void> {
    this.#staged.delete(upload)
  }

  async remove(digest: Digest): Promise<boolean> {
    return this.#blobs.delete(digest)
  }

  async *listStaged(): AsyncGenerator<UploadId> {
    for (const key of [...this.#staged.keys()]) {
      const upload = parseUploadId(key)
      if (upload !== undefined) yield upload
    }
  }

  async *list(): AsyncGenerator<{ readonly digest: Digest; readonly size: number }> {
    for (const [digest, { length }] of [...this.#blobs]) yield { digest, size: length }
  }

  async probe(): Promise<void> {}

  async close(): Promise<void> {}

  /** For the ingest pool, with `append` and `chunks`: its `MemoryStaging`. */
  truncate(key: string, length: number): boolean {
    const bytes = Buffer.concat(this.#staged.get(key) ?? [])
    this.#staged.set(key, [bytes.subarray(0, length)])
    return bytes.length >= length
  }

  append(key: string, bytes: Uint8Array): void {
    const chunks = this.#staged.get(key) ?? []
    this.#staged.set(key, chunks)
    chunks.push(bytes.slice())
  }

  chunks(key: string): Iterable<Uint8Array> {
    return this.#staged.get(key) ?? []
  }
}

function readerOf(bytes: Uint8Array): BlobReader {
  let isClosed = false
  const readNow = (position: number, target: Uint8Array): number => {
    if (isClosed) throw new Error('a blob is read after its reader was closed')
    const part = bytes.subarray(position, position + target.length)
    target.set(part)
    return part.length
  }
  return {
    size: bytes.length,
    read: async (position, target) => readNow(position, target),
    readNow,
    close() {
      isClosed = true
    },
  }
}
