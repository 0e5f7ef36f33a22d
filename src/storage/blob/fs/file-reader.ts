// One open file as a BlobReader.

import { close, constants, fstat, fstatSync, open, read, readSync, type Stats } from 'node:fs'
import type { Digest } from '../../../oci/digest.ts'
import { StorageError } from '../../error.ts'
import type { BlobFate, BlobReader } from '../contract.ts'
import { isErasing } from './erase.ts'
import { fileCall, storageError, systemCode } from './file-call.ts'
import type { FileForm, OpenFile } from './file-form.ts'
import { isSetAside } from './set-aside.ts'

const flags = constants.O_RDONLY | constants.O_NOFOLLOW

/**
 * The blob in a file, or what is staged there; undefined where there is no such file.
 * Errors: StorageError 'unavailable', also where its key is not known; 'corrupt'.
 */
export async function openReader(
  path: string,
  form: FileForm,
  digest?: Digest,
): Promise<BlobReader | undefined> {
  const opened = await openRaw(path, digest)
  if (opened === undefined) return undefined
  try {
    const reader = form.read(opened)
    return reader instanceof Promise ? await reader : reader
  } catch (error) {
    opened.file.close()
    throw storageError(`look at ${path}`, error)
  }
}

/** A file as it lies there; undefined where there is none. Errors: StorageError 'unavailable', 'corrupt'. */
export async function openRaw(path: string, digest?: Digest): Promise<OpenFile | undefined> {
  let fd: number
  try {
    fd = await fileCall<number>((settle) => open(path, flags, settle))
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw storageError(`open ${path}`, error)
  }
  try {
    const stats = await fileCall<Stats>((settle) => fstat(fd, settle))
    if (!stats.isFile()) throw new StorageError('corrupt', `${path} is not a file`)
    return { file: new FileReader(path, fd, stats.size), path, stats, digest }
  } catch (error) {
    closeQuietly(fd)
    throw storageError(`look at ${path}`, error)
  }
}

class FileReader implements BlobReader {
  readonly size: number
  readonly #path: string
  readonly #fd: number
  #reads = 0
  #isClosed = false

  constructor(path: string, fd: number, size: number) {
    this.#path = path
    this.#fd = fd
    this.size = size
  }

  async read(position: number, target: Uint8Array): Promise<number> {
    const length = this.#lengthAt(position, target)
    this.#reads += 1
    try {
      for (let done = 0; done < length; ) {
        const from = done
        const count = await fileCall<number>((settle) =>
          read(this.#fd, target, from, length - from, position + from, settle),
        )
        if (count === 0) throw this.#shorter()
        done += count
      }
    } catch (error) {
      throw storageError(`read ${this.#path}`, error)
    } finally {
      this.#reads -= 1
      if (this.#isClosed && this.#reads === 0) closeQuietly(this.#fd)
    }
    return length
  }

  readNow(position: number, target: Uint8Array): number {
    const length = this.#lengthAt(position, target)
    try {
      for (let done = 0; done < length; ) {
        const count = readSync(this.#fd, target, done, length - done, position + done)
        if (count === 0) throw this.#shorter()
        done += count
      }
    } catch (error) {
      throw storageError(`read ${this.#path}`, error)
    }
    return length
  }

  fateNow(): BlobFate {
    try {
      const { mode, nlink } = fstatSync(this.#fd)
      if (isErasing(mode) || isSetAside(mode)) return 'overwritten'
      return nlink === 0 ? 'removed' : 'kept'
    } catch (error) {
      throw storageError(`look at ${this.#path}`, error)
    }
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    // A read in a thread of libuv still uses the descriptor, whose number another file could get.
    if (this.#reads === 0) closeQuietly(this.#fd)
  }

  #lengthAt(position: number, target: Uint8Array): number {
    if (this.#isClosed) throw new Error(`${this.#path} is read after its reader was closed`)
    return Math.max(0, Math.min(target.length, this.size - position))
  }

  #shorter(): StorageError {
    return new StorageError('corrupt', `${this.#path} is shorter than its ${this.size} bytes`)
  }
}

// Nothing was written through it, so its close has nothing to tell.
function closeQuietly(fd: number): void {
  close(fd, () => undefined)
}
