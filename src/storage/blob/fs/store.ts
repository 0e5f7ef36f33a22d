// Blobs as files in Docker Distribution's tree, published by hard link.

import { randomUUID } from 'node:crypto'
import { close, fdatasync, link, lstat, open, rmdir, type Stats, unlink, write } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Digest } from '../../../oci/digest.ts'
import type { UploadId } from '../../../oci/upload-id.ts'
import { StorageError } from '../../error.ts'
import type { BlobReader, BlobStore, StagingTarget } from '../contract.ts'
import { blobKey, dataKey, prefixKey, uploadKey, uploadsKey } from '../keys.ts'
import { DirectorySync } from './directory-sync.ts'
import { fileCall, storageError, systemCode, unlessCode } from './file-call.ts'
import { openReader } from './file-reader.ts'
import { listBlobs, listUploads } from './list-tree.ts'
import { mkdirOne, prepareTree } from './prepare-tree.ts'

export interface FsBlobStoreOptions {
  /** Docker Distribution's `…/docker/registry/v2`, or an empty directory; made where absent. */
  readonly rootDir: string
  /** `none`: names may be lost with the power; data too, as the ingest pool is told. */
  readonly durability: 'fsync' | 'none'
}

/**
 * Open or make the store under `rootDir`.
 * Errors: StorageError 'unavailable' where the file system has no hard links or cannot be written.
 */
export async function openFsBlobStore(options: FsBlobStoreOptions): Promise<BlobStore> {
  const rootDir = resolve(options.rootDir)
  await prepareTree(rootDir, options.durability === 'fsync')
  return new FsBlobStore({ ...options, rootDir })
}

// A reclaimer may remove a blob's directory between our mkdir and our link.
const linkAttemptsMax = 8

class FsBlobStore implements BlobStore {
  readonly #root: string
  readonly #isDurable: boolean
  readonly #directories = new DirectorySync()

  constructor({ rootDir, durability }: FsBlobStoreOptions) {
    this.#root = rootDir
    this.#isDurable = durability === 'fsync'
  }

  open(digest: Digest): Promise<BlobReader | undefined> {
    return openReader(this.#path(dataKey(digest)))
  }

  size(digest: Digest): Promise<number | undefined> {
    return sizeOf(this.#path(dataKey(digest)))
  }

  staging(upload: UploadId): StagingTarget {
    return { kind: 'fs', path: this.#path(uploadKey(upload)) }
  }

  stagedSize(upload: UploadId): Promise<number | undefined> {
    return sizeOf(this.#path(uploadKey(upload)))
  }

  openStaged(upload: UploadId): Promise<BlobReader | undefined> {
    return openReader(this.#path(uploadKey(upload)))
  }

  async publish(upload: UploadId, digest: Digest, size: number): Promise<void> {
    const staged = await this.stagedSize(upload)
    const isLinked = staged === size && (await this.#link(upload, digest))
    const published = isLinked ? size : await this.size(digest)
    if (published === undefined) {
      const found = staged === undefined ? 'nothing' : `${staged} bytes`
      throw new StorageError('conflict', `${found} staged where ${size} bytes were to be published`)
    }
    if (published !== size) {
      throw new StorageError('corrupt', `${digest} has ${published} bytes instead of ${size}`)
    }
    // Also where the blob was there before: whoever linked it may not have synced it yet.
    await this.#syncNames(digest)
  }

  async discard(upload: UploadId): Promise<void> {
    await this.#unlink(this.#path(uploadKey(upload)))
  }

  async remove(digest: Digest): Promise<boolean> {
    const isRemoved = await this.#unlink(this.#path(dataKey(digest)))
    const directory = this.#path(blobKey(digest))
    const emptied = fileCall((settle) => rmdir(directory, (error) => settle(error, undefined)))
    try {
      // A foreign file keeps its directory.
      await unlessCode(emptied, 'ENOENT', 'ENOTEMPTY', 'EEXIST')
      if (isRemoved) await this.#syncRemoval(digest)
    } catch (error) {
      throw storageError(`remove ${digest}`, error)
    }
    return isRemoved
  }

  listStaged(): AsyncIterable<UploadId> {
    return listUploads(this.#path(uploadsKey))
  }

  list(): AsyncIterable<{ readonly digest: Digest; readonly size: number }> {
    return listBlobs(this.#root, sizeOf)
  }

  async probe(): Promise<void> {
    const path = this.#path(`${uploadsKey}/.probe-${randomUUID()}`)
    try {
      const fd = await fileCall<number>((settle) => open(path, 'wx', 0o600, settle))
      try {
        await fileCall<number>((settle) => write(fd, 'ready', settle))
        await fileCall((settle) => fdatasync(fd, (error) => settle(error, undefined)))
      } finally {
        await fileCall((settle) => close(fd, (error) => settle(error ?? null, undefined)))
        await this.#unlink(path)
      }
    } catch (error) {
      throw storageError(`write to ${this.#root}`, error)
    }
  }

  close(): Promise<void> {
    return this.#directories.idle()
  }

  #path(key: string): string {
    return join(this.#root, key)
  }

  /** False where there is a blob already, which is never replaced. */
  async #link(upload: UploadId, digest: Digest): Promise<boolean> {
    const source = this.#path(uploadKey(upload))
    const directory = this.#path(blobKey(digest))
    const target = this.#path(dataKey(digest))
    for (let attempt = 1; ; attempt++) {
      try {
        await mkdirOne(directory)
        await fileCall((settle) => link(source, target, (error) => settle(error, undefined)))
        return true
      } catch (error) {
        const code = systemCode(error)
        if (code === 'EEXIST') return false
        if (code === 'ENOENT' && attempt < linkAttemptsMax) continue
        throw storageError(`publish ${digest}`, error)
      }
    }
  }

  /** The blob's own directory and the one that holds it, where both may be new. */
  async #syncNames(digest: Digest): Promise<void> {
    if (!this.#isDurable) return
    const own = this.#directories.sync(this.#path(blobKey(digest)))
    const prefix = this.#directories.sync(this.#path(prefixKey(digest)))
    try {
      await Promise.all([own, prefix])
    } catch (error) {
      throw storageError(`sync the directory of ${digest}`, error)
    }
  }

  async #syncRemoval(digest: Digest): Promise<void> {
    if (!this.#isDurable) return
    await unlessCode(this.#directories.sync(this.#path(blobKey(digest))), 'ENOENT')
    await this.#directories.sync(this.#path(prefixKey(digest)))
  }

  async #unlink(path: string): Promise<boolean> {
    const unlinked = fileCall<true>((settle) => unlink(path, (error) => settle(error, true)))
    try {
      return (await unlessCode(unlinked, 'ENOENT')) ?? false
    } catch (error) {
      throw storageError(`remove ${path}`, error)
    }
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  const found = fileCall<Stats>((settle) => lstat(path, settle))
  try {
    const stats = await unlessCode(found, 'ENOENT')
    if (stats && !stats.isFile()) throw new StorageError('corrupt', `${path} is not a file`)
    return stats?.size
  } catch (error) {
    throw storageError(`look at ${path}`, error)
  }
}
