// What a store in files does about those that are encrypted, beside reading them.

import { closeSync, constants, fdatasync, fstatSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, digestAlgorithm, digestHex } from '../../../oci/digest.ts'
import type { UploadId } from '../../../oci/upload-id.ts'
import { SealingFault } from '../../../sealing/fault.ts'
import { openKey, readSeal, rewrap, wrapIdAt, writeSeal } from '../../../sealing/header.ts'
import { findKey, type SealingKeys, type SealingTerms } from '../../../sealing/keys.ts'
import {
  fileLength,
  headerBytes,
  isSealed,
  sealPositions,
  wrapBytes,
  wrapPositions,
} from '../../../sealing/layout.ts'
import { StorageError } from '../../error.ts'
import type { BlobSealing, Rewrapped } from '../contract.ts'
import { dataKey, uploadKey } from '../keys.ts'
import { fileCall, storageError, systemCode } from './file-call.ts'
import { readHeader } from './header-file.ts'
import { isRetiredNow, keepListedNow, markOthers, retireMarked } from './key-list.ts'
import { RecentParts, type SealedReading } from './sealed-reader.ts'

const { O_NOFOLLOW, O_RDONLY, O_RDWR } = constants

export class FsSealing implements BlobSealing {
  readonly #root: string
  readonly #keys: SealingKeys
  readonly #isPlainAt: (path: string, digest: Digest) => Promise<boolean>
  readonly #onForged: ((digest: Digest) => void) | undefined
  readonly #parts = new RecentParts()

  /** `isPlainAt`: whether a blob that looks encrypted is none; reads all of it. */
  constructor(
    root: string,
    keys: SealingKeys,
    onForged?: (digest: Digest) => void,
    isPlainAt: (path: string, digest: Digest) => Promise<boolean> = async () => false,
  ) {
    this.#root = root
    this.#onForged = onForged
    this.#isPlainAt = isPlainAt
    this.#keys = keys
  }

  get activeKey(): string {
    return this.#keys.active.id
  }

  terms(digest?: Digest): SealingTerms {
    return { keys: this.#keys, ...(digest === undefined ? {} : { digest }) }
  }

  reading(digest?: Digest): SealedReading {
    const onForged = (): void => {
      if (digest !== undefined) this.#onForged?.(digest)
    }
    return { terms: this.terms(digest), parts: this.#parts, onForged }
  }

  /**
   * Staged bytes of this size are about to get the name of the digest: their file says so, durably, and its keys are listed;
   * where one was retired, it gets the active one. Answers the ids of the keys that it may need, none where it is not encrypted.
   * Errors: StorageError; 'conflict' where they are those of another blob already.
   */
  async sealStaged(upload: UploadId, digest: Digest, size: number): Promise<readonly string[]> {
    const wraps = await this.#requireSeal(upload, digest, size)
    if (this.#areListed(wraps)) return wraps
    this.keepActive()
    await this.rewrapStaged(upload)
    return [this.#keys.active.id]
  }

  /**
   * Staged bytes of this size are about to get the name of the digest: their file says so, durably.
   * Answers the ids of the keys that it may need, none where it is not encrypted.
   * Errors: StorageError; 'conflict' where they are those of another blob already.
   */
  async #requireSeal(upload: UploadId, digest: Digest, size: number): Promise<readonly string[]> {
    const path = join(this.#root, uploadKey(upload))
    // What is not encrypted may be for reading only.
    if (withFile(path, O_RDONLY, headerOf) === undefined) return []
    const fd = openThere(path, O_RDWR)
    if (fd === undefined) return []
    try {
      // Of the file that is written to, whatever was there a moment before.
      const header = headerOf(fd)
      if (header === undefined) return []
      const stats = fstatSync(fd)
      // A kill at the border of two segments leaves more than was committed, or less: never a blob.
      if (stats.size !== fileLength(size)) {
        const found = `${stats.size} bytes of an encrypted file`
        throw new StorageError(
          'conflict',
          `${found} staged where ${fileLength(size)} were to be published`,
        )
      }
      const { key } = openKey(header, this.#keys)
      const algorithm = digestAlgorithm(digest)
      const seal = readSeal(header, key, algorithm)
      const hex = digestHex(digest)
      if (seal?.hex === hex && seal.length === size) return wrapIdsOf(header)
      if (seal !== undefined && stats.nlink > 1) {
        throw new StorageError('conflict', 'the staged bytes are those of another blob')
      }
      writeAt(fd, writeSeal(key, { algorithm, hex, length: size }), sealPositions[algorithm])
      await synced(fd)
      return wrapIdsOf(header)
    } catch (error) {
      throw fault(path, error)
    } finally {
      closeSync(fd)
    }
  }

  async rewrap(digest: Digest): Promise<Rewrapped> {
    const path = join(this.#root, dataKey(digest))
    try {
      return await this.#rewrapFile(path, digest)
    } catch (error) {
      // Its header names keys that nobody has, or none: it was pushed so, or is damaged.
      const isDoubtful = error instanceof StorageError && error.cause instanceof SealingFault
      if (isDoubtful && (await this.#isPlainAt(path, digest))) return 'plain'
      throw error
    }
  }

  rewrapStaged(upload: UploadId): Promise<Rewrapped> {
    return this.#rewrapFile(join(this.#root, uploadKey(upload)))
  }

  keepActive(): void {
    const { id } = this.#keys.active
    if (!keepListedNow(this.#root, id)) throw retired(id)
  }

  /** Lists nothing. Errors: as `keepActive`. */
  requireActiveNow(): void {
    const { id } = this.#keys.active
    if (isRetiredNow(this.#root, id)) throw retired(id)
  }

  /**
   * What is there is about to be acknowledged: the keys that it needs stay listed, whoever has put it there and perhaps died
   * before it listed them. One that was retired meanwhile is replaced by the active one. `wraps`: the ids that its header
   * names, where they are known. False where none of its keys is here. Errors: StorageError.
   */
  async keepListed(digest: Digest, wraps?: readonly string[]): Promise<boolean> {
    // What was linked a moment before without a header needs no key.
    if (wraps?.length === 0) return true
    const named = wraps ?? (await this.#wrapsAt(digest))
    if (named === undefined) return true
    if (this.#areListed(named)) return named.some((id) => findKey(this.#keys, id) !== undefined)
    this.keepActive()
    await this.rewrap(digest)
    // As after every use of a key.
    this.keepActive()
    return true
  }

  /** Those that are here; others are their own processes' to keep. */
  #areListed(ids: readonly string[]): boolean {
    const own = ids.filter((id) => findKey(this.#keys, id) !== undefined)
    return own.every((id) => keepListedNow(this.#root, id))
  }

  // Else the key that was retired would take the place of the one that is in use.
  async beginRetiring(run: string): Promise<void> {
    this.keepActive()
    await markOthers(this.#root, this.#keys.active.id, run)
  }

  async endRetiring(run: string): Promise<readonly string[]> {
    // Another run may have retired it since, or want to.
    this.keepActive()
    return retireMarked(this.#root, run)
  }

  /** Undefined where it is not encrypted, or gone. */
  async #wrapsAt(digest: Digest): Promise<readonly string[] | undefined> {
    const header = await readHeader(join(this.#root, dataKey(digest)))
    return header !== undefined && isSealed(header) ? wrapIdsOf(header) : undefined
  }

  #isOf(header: Uint8Array, digest: Digest): boolean {
    const { key } = openKey(header, this.#keys)
    return readSeal(header, key, digestAlgorithm(digest))?.hex === digestHex(digest)
  }

  // The wrap that is in use is not touched before the other one is on the disk, in a block of its own.
  async #rewrapFile(path: string, digest?: Digest): Promise<Rewrapped> {
    // By a thread: it may lie on the disk alone. From then on it is in memory.
    const found = await readHeader(path)
    if (found === undefined) return 'absent'
    if (!isSealed(found)) return 'plain'
    const fd = openThere(path, O_RDWR)
    if (fd === undefined) return 'absent'
    try {
      // Of the file that is written to, whatever was there a moment before.
      const header = headerOf(fd)
      if (header === undefined) return 'plain'
      // Bytes of an encrypted file that were pushed as a blob: not one byte of them may change.
      if (digest !== undefined && !this.#isOf(header, digest)) return 'plain'
      const wrap = rewrap(header, this.#keys, this.#keys.active)
      if (wrap === 'current') return 'current'
      const [from, to] = wrap.from === 0 ? ([0, 1] as const) : ([1, 0] as const)
      writeAt(fd, wrap.bytes, wrapPositions[to])
      await synced(fd)
      writeAt(fd, Buffer.alloc(wrapBytes), wrapPositions[from])
      await synced(fd)
      return 'rewrapped'
    } catch (error) {
      throw fault(path, error)
    } finally {
      closeSync(fd)
    }
  }
}

/** Ids of the keys that its wraps name; undefined where it is not encrypted, or gone. */
export function wrapIdsNow(path: string): readonly string[] | undefined {
  const header = withFile(path, O_RDONLY, headerOf)
  return header && wrapIdsOf(header)
}

function wrapIdsOf(header: Buffer): readonly string[] {
  return ([0, 1] as const).flatMap((slot) => wrapIdAt(header, slot) ?? [])
}

/** Undefined where the file is not encrypted. */
function headerOf(fd: number): Buffer | undefined {
  const header = Buffer.alloc(headerBytes)
  readSync(fd, header, 0, headerBytes, 0)
  return isSealed(header) ? header : undefined
}

function writeAt(fd: number, bytes: Uint8Array, position: number): void {
  const count = writeSync(fd, bytes, 0, bytes.length, position)
  if (count !== bytes.length) throw new StorageError('full', 'a header could not be written whole')
}

function synced(fd: number): Promise<void> {
  return fileCall((settle) => fdatasync(fd, (error) => settle(error, undefined)))
}

function withFile<T>(path: string, flags: number, action: (fd: number) => T): T | undefined {
  const fd = openThere(path, flags)
  if (fd === undefined) return undefined
  try {
    return action(fd)
  } catch (error) {
    throw storageError(`read ${path}`, error)
  } finally {
    closeSync(fd)
  }
}

function openThere(path: string, flags: number): number | undefined {
  try {
    return openSync(path, flags | O_NOFOLLOW)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw storageError(`open ${path}`, error)
  }
}

function retired(id: string): StorageError {
  const text = `blobs rewrap has retired the key ${id}, with which this process encrypts`
  return new StorageError('unavailable', `${text}: restart it with the keys of the others`)
}

function fault(path: string, error: unknown): unknown {
  if (!(error instanceof SealingFault)) return storageError(`seal ${path}`, error)
  const kind = error.kind === 'unknown-key' ? 'unavailable' : 'corrupt'
  return new StorageError(kind, `${path}, which is encrypted: ${error.message}`, error)
}
