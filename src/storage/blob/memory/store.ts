// Blobs in memory, for tests: nothing outlives the process.

import { type Digest, parseDigest } from '../../../oci/digest.ts'
import { parseUploadId, type UploadId } from '../../../oci/upload-id.ts'
import { StorageError } from '../../error.ts'
import type { BlobFate, BlobReader, BlobStore, Erased, StagingTarget } from '../contract.ts'

interface Held {
  readonly bytes: Uint8Array
  fate: BlobFate
}

export class MemoryBlobStore implements BlobStore {
  readonly #blobs = new Map<string, Held>()
  #aside: Held[] = []
  readonly #staged = new Map<string, Uint8Array[]>()

  async open(digest: Digest): Promise<BlobReader | undefined> {
    const held = this.#blobs.get(digest)
    return held && readerOf(held)
  }

  async size(digest: Digest): Promise<number | undefined> {
    return this.#blobs.get(digest)?.bytes.length
  }

  staging(upload: UploadId): StagingTarget {
    return { kind: 'memory', key: upload }
  }

  stagedTarget(upload: UploadId): StagingTarget {
    return this.staging(upload)
  }

  async stagedSize(upload: UploadId): Promise<number | undefined> {
    return this.#staged.get(upload)?.reduce((sum, { length }) => sum + length, 0)
  }

  async openStaged(upload: UploadId): Promise<BlobReader | undefined> {
    const chunks = this.#staged.get(upload)
    return chunks && readerOf({ bytes: Buffer.concat(chunks), fate: 'kept' })
  }

  async publish(
    upload: UploadId,
    digest: Digest,
    size: number,
    { replace }: { readonly replace: boolean } = { replace: false },
  ): Promise<void> {
    if (replace && (await this.stagedSize(upload)) === size) this.#blobs.delete(digest)
    const published = this.#blobs.get(digest)?.bytes
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
    this.#blobs.set(digest, { bytes, fate: 'kept' })
  }

  async discard(upload: UploadId): Promise<void> {
    this.#staged.delete(upload)
  }

  async remove(digest: Digest, options?: { readonly overwrite: boolean }): Promise<boolean> {
    const held = this.#blobs.get(digest)
    if (held === undefined) return false
    this.#blobs.delete(digest)
    if (options?.overwrite === true) this.#aside.push(held)
    else held.fate = 'removed'
    return true
  }

  async syncRemoved(): Promise<void> {}

  async *eraseRemoved(mayGoOn: (bytes: number) => Promise<void>): AsyncGenerator<Erased> {
    for (const held of [...this.#aside]) {
      const { length } = held.bytes
      if (length > 0) await mayGoOn(length)
      held.fate = 'overwritten'
      held.bytes.fill(0)
      this.#aside = this.#aside.filter((other) => other !== held)
      yield { kind: 'overwritten', size: length }
    }
  }

  isThereNow(digest: Digest): boolean {
    return this.#blobs.has(digest)
  }

  readingTarget(digest: Digest): StagingTarget {
    return { kind: 'memory', key: digest }
  }

  async quarantine(digest: Digest): Promise<string | undefined> {
    return this.#blobs.delete(digest) ? 'memory' : undefined
  }

  async *listStaged(): AsyncGenerator<UploadId> {
    for (const key of [...this.#staged.keys()]) {
      const upload = parseUploadId(key)
      if (upload !== undefined) yield upload
    }
  }

  async *list(): AsyncGenerator<{ readonly digest: Digest; readonly size: number }> {
    for (const [key, { bytes }] of [...this.#blobs]) {
      const digest = parseDigest(key)
      if (digest !== undefined) yield { digest, size: bytes.length }
    }
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
    const blob = this.#blobs.get(key)
    return this.#staged.get(key) ?? (blob === undefined ? [] : [blob.bytes])
  }
}

function readerOf(held: Held): BlobReader {
  const { bytes } = held
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
    fateNow: () => held.fate,
    close() {
      isClosed = true
    },
  }
}
