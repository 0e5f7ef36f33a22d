// One blob to a backup directory: copied, cloned or linked, then read again and hashed before it counts.

import { createHash, type Hash } from 'node:crypto'
import {
  chmod,
  constants,
  copyFile,
  type FileHandle,
  link,
  open,
  stat,
  unlink,
} from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestAlgorithm, digestFromHex } from '../../oci/digest.ts'
import type { BlobReader } from '../../storage/blob/contract.ts'
import { StorageError } from '../../storage/error.ts'
import type { DumpedBlob } from '../../storage/metadata/dump.ts'
import type { JobContext } from '../job/contract.ts'
import { moveInto, type NewNames, syncFile } from './durable-files.ts'
import { BackupError, explainedFault, systemCode, unlessAbsent } from './error.ts'
import { fileMode } from './layout.ts'

/** Where blobs are put. */
export interface CopyPlace {
  /** For messages. */
  readonly root: string
  /** A directory on the same file system for what is being written. */
  readonly temporary: string
  /** The directory of the answer is made where its own parent is there. */
  blob(digest: Digest): string
  /** Default: for the owner alone. */
  readonly fileMode?: number
}

type CopiedBlob = Pick<DumpedBlob, 'digest' | 'size'>

/** Why a blob is not in the backup. */
export interface Lack {
  readonly reason: string
}

/** `hash` where the bytes were hashed on their way: few, or where no thread can read them again. */
type Placed = { readonly hash: Hash | undefined } | Lack

type CopyContext = Pick<JobContext, 'blobs' | 'ingest' | 'pace' | 'randomUuid' | 'signal'>

const chunkBytes = 1 << 20

// Some 0.1 ms of hashing, less than what asking a thread for it takes.
const hashedHereBytesMax = 128 << 10

/** Of the store, and not of the directory. */
class SourceFault extends Error {}

// What file systems say that share no extents, or not between these two places.
const noCloneCodes: ReadonlySet<string> = new Set([
  ...['ENOTSUP', 'EOPNOTSUPP', 'EXDEV', 'EINVAL', 'ENOTTY', 'ENOSYS', 'EPERM', 'EBADF'],
])

export class BlobCopier {
  readonly #layout: CopyPlace
  readonly #context: CopyContext
  readonly #names: NewNames
  readonly #isLinking: boolean
  #mayClone = true

  /** What it has put in its place is durable once `names` are. */
  constructor(layout: CopyPlace, context: CopyContext, names: NewNames, isLinking: boolean) {
    this.#layout = layout
    this.#context = context
    this.#names = names
    this.#isLinking = isLinking
  }

  /** Errors: BackupError; the system's own of the directory; StorageError 'unavailable'; AbortError. */
  async copy(blob: CopiedBlob): Promise<Lack | undefined> {
    const { pace, randomUuid } = this.#context
    await pace({ items: 1, bytes: 0 })
    const temporary = join(this.#layout.temporary, randomUuid())
    let isMoved = false
    try {
      const placed = await this.#place(blob, temporary)
      const lack = 'reason' in placed ? placed : await this.#check(blob, temporary, placed.hash)
      if (lack !== undefined) return lack
      await moveInto(temporary, this.#layout.blob(blob.digest), this.#names)
      isMoved = true
      return undefined
    } catch (error) {
      if (error instanceof SourceFault) return { reason: error.message }
      throw explainedFault(error, this.#layout.root)
    } finally {
      if (!isMoved) await unlessAbsent(unlink(temporary))
    }
  }

  async #place(blob: CopiedBlob, temporary: string): Promise<Placed> {
    const source = this.#context.blobs.readingTarget?.(blob.digest)
    const isHere = source?.kind === 'fs'
    if (isHere && source.sealing !== undefined && this.#isLinking) {
      throw new BackupError(
        'the files of a store that encrypts cannot be linked: copy instead, which decrypts them',
      )
    }
    const path = isHere && source.sealing === undefined ? source.path : undefined
    if (this.#isLinking) return this.#link(path, temporary)
    const cloned = path === undefined ? 'impossible' : await this.#clone(path, temporary)
    const isHashedLater = isHere && blob.size > hashedHereBytesMax
    return cloned === 'impossible' ? this.#write(blob, temporary, isHashedLater) : cloned
  }

  async #link(path: string | undefined, temporary: string): Promise<Placed> {
    if (path === undefined) throw new BackupError('a store that is not in files cannot be linked')
    try {
      await link(path, temporary)
    } catch (error) {
      const code = systemCode(error)
      if (code === 'ENOENT') return { reason: 'it is not in the store' }
      if (code !== 'EXDEV' && code !== 'EPERM' && code !== 'EMLINK') throw error
      throw new BackupError(
        `${this.#layout.root} cannot have hard links to the store: copy instead (${code})`,
      )
    }
    await syncFile(temporary)
    return { hash: undefined }
  }

  async #clone(path: string, temporary: string): Promise<Placed | 'impossible'> {
    if (!this.#mayClone) return 'impossible'
    try {
      await copyFile(path, temporary, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE)
    } catch (error) {
      const code = systemCode(error)
      if (code === 'ENOENT') return { reason: 'it is not in the store' }
      // It is the same for all of them.
      if (noCloneCodes.has(code)) this.#mayClone = false
      await unlessAbsent(unlink(temporary))
      return 'impossible'
    }
    await chmod(temporary, this.#layout.fileMode ?? fileMode)
    await syncFile(temporary)
    return { hash: undefined }
  }

  async #write(blob: CopiedBlob, temporary: string, isHashedLater: boolean): Promise<Placed> {
    const reader = await ofSource(this.#context.blobs.open(blob.digest))
    if (reader === undefined) return { reason: 'it is not in the store' }
    const hash = isHashedLater ? undefined : createHash(digestAlgorithm(blob.digest))
    try {
      if (reader.size !== blob.size) return otherSize(reader.size, blob.size)
      await this.#writeAll(reader, temporary, hash)
    } finally {
      reader.close()
    }
    return { hash }
  }

  async #writeAll(reader: BlobReader, temporary: string, hash: Hash | undefined): Promise<void> {
    const buffer = Buffer.allocUnsafe(Math.min(chunkBytes, reader.size))
    const file = await open(temporary, 'wx', this.#layout.fileMode ?? fileMode)
    // Where each read by itself would be a request.
    const pass = reader.pass?.(0, reader.size)
    try {
      for (let position = 0; position < reader.size; ) {
        await this.#context.pace({ items: 0, bytes: Math.min(chunkBytes, reader.size - position) })
        this.#context.signal.throwIfAborted()
        const count = await ofSource(pass?.read(buffer) ?? reader.read(position, buffer))
        const bytes = buffer.subarray(0, count)
        hash?.update(bytes)
        await writeAll(file, bytes)
        position += count
      }
      await file.datasync()
    } finally {
      pass?.close()
      await file.close()
    }
  }

  /** What is on the disk of the backup now, and not what was meant to be there. */
  async #check(
    { digest, size }: CopiedBlob,
    temporary: string,
    hash: Hash | undefined,
  ): Promise<Lack | undefined> {
    const { ingest, pace } = this.#context
    const found = await stat(temporary)
    if (found.size !== size) return otherSize(found.size, size)
    const algorithm = digestAlgorithm(digest)
    const is =
      hash === undefined
        ? await ingest.rehash({ kind: 'fs', path: temporary }, size, algorithm, (bytes) =>
            pace({ items: 0, bytes }),
          )
        : digestFromHex(algorithm, hash.digest('hex'))
    return is === digest ? undefined : { reason: 'its bytes do not have its digest' }
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done)
    done += bytesWritten
  }
}

function otherSize(found: number, expected: number): Lack {
  return { reason: `it has ${found} bytes instead of ${expected}` }
}

/** What keeps one blob from being read does not keep the others from being saved. */
async function ofSource<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading
  } catch (error) {
    if (error instanceof StorageError) throw new SourceFault(`it cannot be read: ${error.message}`)
    throw error
  }
}
