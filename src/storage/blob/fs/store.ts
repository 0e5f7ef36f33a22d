// Blobs as files in Docker Distribution's tree, published by hard link.

import { randomUUID } from 'node:crypto'
import {
  close,
  fdatasync,
  link,
  lstat,
  lstatSync,
  open,
  rename,
  rmdir,
  type Stats,
  unlink,
  write,
} from 'node:fs'
import { join, resolve } from 'node:path'
import type { Digest } from '../../../oci/digest.ts'
import type { UploadId } from '../../../oci/upload-id.ts'
import type { SealingKeys } from '../../../sealing/keys.ts'
import { StorageError } from '../../error.ts'
import type { BlobAudit, BlobMark } from '../audit.ts'
import type { BlobReader, BlobStore, Erased, StagingTarget } from '../contract.ts'
import {
  blobKey,
  dataKey,
  erasingKey,
  prefixKey,
  quarantineKey,
  uploadKey,
  uploadsKey,
} from '../keys.ts'
import { FsBlobAudit } from './audit.ts'
import { DirectorySync } from './directory-sync.ts'
import { eraseAll } from './erase.ts'
import { fileCall, storageError, systemCode, unlessCode } from './file-call.ts'
import type { FileForm } from './file-form.ts'
import { openRaw, openReader } from './file-reader.ts'
import { requireOwnTree } from './foreign-tree.ts'
import { listNow, requireKeys } from './key-list.ts'
import { KeylessForm } from './keyless-form.ts'
import { listBlobs, listUploads } from './list-tree.ts'
import { mkdirOne, prepareTree } from './prepare-tree.ts'
import { FsSealing } from './sealed-files.ts'
import { SealedForm } from './sealed-form.ts'
import { markSetAside, setAside } from './set-aside.ts'

export interface FsBlobStoreOptions {
  /** Docker Distribution's `…/docker/registry/v2`, or an empty directory; made where absent. */
  readonly rootDir: string
  /** `none`: names may be lost with the power; data too, as the ingest pool is told. */
  readonly durability: 'fsync' | 'none'
  /** What is new is encrypted. Absent: nothing is, and nothing may be from before. */
  readonly keys?: SealingKeys
  /** An encrypted file is not that of this blob, or not what was written. Must not throw. */
  readonly onForged?: (digest: Digest) => void
}

/**
 * Open or make the store under `rootDir`.
 * Errors: StorageError 'unavailable' where the file system has no hard links or cannot be written; Error for the
 * operator where a key is missing, or where what is encrypted would be another registry's, too.
 */
export async function openFsBlobStore(options: FsBlobStoreOptions): Promise<BlobStore> {
  const rootDir = resolve(options.rootDir)
  // Before anything is made there.
  await requireKeys(rootDir, options.keys)
  if (options.keys !== undefined) await requireOwnTree(rootDir)
  await prepareTree(rootDir, options.durability === 'fsync')
  if (options.keys !== undefined) listNow(rootDir, options.keys.active.id)
  return new FsBlobStore({ ...options, rootDir })
}

// A reclaimer may remove a blob's directory between our mkdir and our link.
const linkAttemptsMax = 8

class FsBlobStore implements BlobStore {
  readonly audit: BlobAudit
  readonly sealing?: FsSealing
  readonly #root: string
  readonly #form: FileForm
  readonly #isDurable: boolean
  readonly #directories = new DirectorySync()

  constructor({ rootDir, durability, keys, onForged }: FsBlobStoreOptions) {
    if (keys === undefined) this.#form = new KeylessForm(rootDir)
    else {
      const sealing = new FsSealing(rootDir, keys, onForged, (...of) => form.isPlainAt(...of))
      const form = new SealedForm(rootDir, keys, sealing, openRaw)
      this.sealing = sealing
      this.#form = form
    }
    this.audit = new FsBlobAudit(rootDir, this.#form)
    this.#root = rootDir
    this.#isDurable = durability === 'fsync'
  }

  open(digest: Digest): Promise<BlobReader | undefined> {
    return openReader(this.#path(dataKey(digest)), this.#form, digest)
  }

  size(digest: Digest): Promise<number | undefined> {
    return this.#sizeOf(this.#path(dataKey(digest)), digest)
  }

  staging(upload: UploadId): StagingTarget {
    this.sealing?.keepActive()
    return this.stagedTarget(upload)
  }

  stagedTarget(upload: UploadId): StagingTarget {
    return this.#target(uploadKey(upload), this.#form.terms())
  }

  // At once: its inode is in memory, since it was written a moment before, and a thread of libuv would
  // cost ten times as much.
  async stagedSize(upload: UploadId): Promise<number | undefined> {
    const path = this.#path(uploadKey(upload))
    const size = sizeNow(path)
    return size === undefined ? undefined : this.#form.stagedSizeNow(path, size)
  }

  openStaged(upload: UploadId): Promise<BlobReader | undefined> {
    return openReader(this.#path(uploadKey(upload)), this.#form)
  }

  async publish(
    upload: UploadId,
    digest: Digest,
    size: number,
    { replace }: { readonly replace: boolean } = { replace: false },
  ): Promise<void> {
    const wraps = await this.sealing?.sealStaged(upload, digest, size)
    if (replace) await this.#replace(upload, digest, size)
    let end = await this.#tryPublish(upload, digest, size)
    for (let attempt = 1; end === 'taken-away'; attempt++) {
      if (attempt === linkAttemptsMax) {
        throw new StorageError('unavailable', `publish ${digest}: it is removed again and again`)
      }
      end = await this.#tryPublish(upload, digest, size)
    }
    const isLinked = end === 'linked'
    if ((await this.sealing?.keepListed(digest, isLinked ? wraps : undefined)) !== false) return
    // Whether it can be read, before anybody is told that it is here.
    const reader = await this.open(digest)
    reader?.close()
  }

  async discard(upload: UploadId): Promise<void> {
    await this.#unlink(this.#path(uploadKey(upload)))
  }

  async remove(
    digest: Digest,
    {
      overwrite,
      isSyncedLater = false,
    }: { readonly overwrite: boolean; readonly isSyncedLater?: boolean } = { overwrite: false },
  ): Promise<boolean> {
    const isRemoved = overwrite
      ? (await this.#moveAway(digest, erasingKey)) !== undefined
      : await this.#unlink(this.#path(dataKey(digest)))
    const directory = this.#path(blobKey(digest))
    const emptied = fileCall((settle) => rmdir(directory, (error) => settle(error, undefined)))
    try {
      // A foreign file keeps its directory.
      await unlessCode(emptied, 'ENOENT', 'ENOTEMPTY', 'EEXIST')
      if (isRemoved && !isSyncedLater) await this.#syncRemoval(digest)
    } catch (error) {
      throw storageError(`remove ${digest}`, error)
    }
    return isRemoved
  }

  async syncRemoved(digests: readonly Digest[]): Promise<void> {
    if (!this.#isDurable) return
    // Those of a kept directory, and their common ones once.
    const own = digests.map((digest) => this.#path(blobKey(digest)))
    const shared = new Set(digests.map((digest) => this.#path(prefixKey(digest))))
    try {
      // One after the other: what the first one writes, the others mostly need not.
      for (const path of own) await unlessCode(this.#directories.sync(path), 'ENOENT')
      for (const path of shared) await this.#directories.sync(path)
    } catch (error) {
      throw storageError('sync what was removed', error)
    }
  }

  async *eraseRemoved(mayGoOn: (bytes: number) => Promise<void>): AsyncGenerator<Erased> {
    const directory = this.#path(erasingKey)
    let hasRemoved = false
    try {
      for await (const erased of eraseAll(directory, mayGoOn)) {
        hasRemoved ||= erased.kind !== 'failed'
        yield erased
      }
    } finally {
      if (hasRemoved) await this.#syncMoves(directory)
    }
  }

  isThereNow(digest: Digest): boolean {
    try {
      return lstatSync(this.#path(dataKey(digest)), { throwIfNoEntry: false })?.isFile() === true
    } catch (error) {
      throw storageError(`look at ${digest}`, error)
    }
  }

  readingTarget(digest: Digest): StagingTarget {
    return this.#target(dataKey(digest), this.#form.terms(digest))
  }

  async quarantine(digest: Digest, seen?: BlobMark): Promise<string | undefined> {
    const place = await this.#moveAway(digest, quarantineKey, seen)
    try {
      if (place !== undefined) {
        await markSetAside(place)
        await this.#syncRemoval(digest)
      }
    } catch (error) {
      throw storageError(`quarantine ${digest}`, error)
    }
    return place
  }

  listStaged(): AsyncIterable<UploadId> {
    return listUploads(this.#path(uploadsKey))
  }

  list(): AsyncIterable<{ readonly digest: Digest; readonly size: number }> {
    return listBlobs(this.#root, (path, digest) => this.#sizeOf(path, digest))
  }

  async probe(): Promise<void> {
    this.sealing?.requireActiveNow()
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

  async #sizeOf(path: string, digest: Digest): Promise<number | undefined> {
    const size = await sizeOf(path)
    return size === undefined ? undefined : this.#form.sizeOf(path, size, digest)
  }

  #target(key: string, terms: ReturnType<FileForm['terms']>): StagingTarget {
    return { kind: 'fs', path: this.#path(key), ...terms }
  }

  #path(key: string): string {
    return join(this.#root, key)
  }

  /** 'taken-away': by a reclaimer at the same time. */
  async #tryPublish(
    upload: UploadId,
    digest: Digest,
    size: number,
  ): Promise<'linked' | 'there' | 'taken-away'> {
    const staged = await this.stagedSize(upload)
    const isLinked = staged === size && (await this.#link(upload, digest))
    const published = isLinked ? size : await this.size(digest)
    if (published === undefined) {
      if (staged === size) return 'taken-away'
      const found = staged === undefined ? 'nothing' : `${staged} bytes`
      throw new StorageError('conflict', `${found} staged where ${size} bytes were to be published`)
    }
    if (published !== size) {
      throw new StorageError('corrupt', `${digest} has ${published} bytes instead of ${size}`)
    }
    // Also where the blob was there before: whoever linked it may not have synced it yet.
    if (!(await this.#syncNames(digest))) return 'taken-away'
    return isLinked ? 'linked' : 'there'
  }

  /** In one step, so that readers have the one or the other. Nothing where nothing is there. */
  async #replace(upload: UploadId, digest: Digest, size: number): Promise<void> {
    const isStaged = (await this.stagedSize(upload)) === size
    if (!isStaged || !this.isThereNow(digest)) return
    const source = this.#path(uploadKey(upload))
    const target = this.#path(dataKey(digest))
    const moved = fileCall<true>((settle) => rename(source, target, (error) => settle(error, true)))
    try {
      // Without its directory it is published like any other.
      await unlessCode(moved, 'ENOENT')
    } catch (error) {
      throw storageError(`replace ${digest}`, error)
    }
  }

  /** False where there is a blob already, which is not replaced. */
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

  /** The blob's own directory and the one that holds it, where both may be new; false where its own is gone. */
  async #syncNames(digest: Digest): Promise<boolean> {
    if (!this.#isDurable) return true
    const own = this.#directories.sync(this.#path(blobKey(digest))).then(() => true)
    const prefix = this.#directories.sync(this.#path(prefixKey(digest)))
    try {
      const [isThere] = await Promise.all([unlessCode(own, 'ENOENT'), prefix])
      return isThere === true
    } catch (error) {
      throw storageError(`sync the directory of ${digest}`, error)
    }
  }

  /** Answers where it is now, durably; undefined where there was none. */
  async #moveAway(digest: Digest, to: string, seen?: BlobMark): Promise<string | undefined> {
    const directory = this.#path(to)
    const place = join(directory, `${digest.replace(':', '-')}.${randomUUID()}`)
    try {
      await mkdirOne(directory)
      if (!(await setAside(this.#path(dataKey(digest)), place, seen))) return undefined
    } catch (error) {
      throw storageError(`move ${digest} to ${directory}`, error)
    }
    await this.#syncMoves(directory)
    return place
  }

  async #syncMoves(directory: string): Promise<void> {
    if (!this.#isDurable) return
    try {
      await this.#directories.sync(directory)
      // It may have been made just now.
      await this.#directories.sync(join(directory, '..'))
    } catch (error) {
      throw storageError(`sync ${directory}`, error)
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
    return sizeOfFile(path, await unlessCode(found, 'ENOENT'))
  } catch (error) {
    throw storageError(`look at ${path}`, error)
  }
}

function sizeNow(path: string): number | undefined {
  try {
    return sizeOfFile(path, lstatSync(path, { throwIfNoEntry: false }))
  } catch (error) {
    throw storageError(`look at ${path}`, error)
  }
}

function sizeOfFile(path: string, stats: Stats | undefined): number | undefined {
  if (stats && !stats.isFile()) throw new StorageError('corrupt', `${path} is not a file`)
  return stats?.size
}
