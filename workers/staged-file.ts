// A staged file in an ingest thread: positional asynchronous I/O, failures as data.

import {
  close,
  closeSync,
  constants,
  fdatasync,
  fstatSync,
  ftruncate,
  open,
  openSync,
  read,
  rename,
  type Stats,
  statSync,
  unlink,
  writeSync,
  writev,
} from 'node:fs'
import { isSealed, magic } from '../src/sealing/layout.ts'
import type { ContinuedBytes, CopyOfStaged, StagedBytes } from './staged-bytes.ts'
import type { FileMark, IngestFailureCode } from './tasks.ts'

/** A failure on its way to the border, where it becomes data. */
export class IngestFailure extends Error {
  readonly code: IngestFailureCode
  readonly systemCode: string | undefined

  constructor(code: IngestFailureCode, message: string, systemCode?: string) {
    super(message)
    this.code = code
    this.systemCode = systemCode
  }
}

const noRoomCodes: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

/** An error of a file call, or one that is an IngestFailure already. */
export function ingestFailure(error: unknown): IngestFailure {
  if (error instanceof IngestFailure) return error
  const { code, message } = error as NodeJS.ErrnoException
  const text = String(message ?? error)
  return new IngestFailure(noRoomCodes.has(code) ? 'full' : 'unavailable', text, code)
}

type Settle<Value> = (error: NodeJS.ErrnoException | null, value: Value) => void

// The callback forms cost about half of what node:fs/promises does, per call.
function call<Value = void>(start: (settle: Settle<Value>) => void): Promise<Value> {
  return new Promise((resolve, reject) => {
    start((error, value) => (error === null ? resolve(value) : reject(ingestFailure(error))))
  })
}

// Closed at once rather than by a thread of libuv, which would cost more than the call itself.
const shortFileBytes = 1 << 20

// Written at once, for the same reason: a copy of 20 µs, which waits for the disk only where the kernel
// lets nobody write faster.
const shortWriteBytes = 128 << 10

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR, O_WRONLY } = constants

async function openFlags(path: string, flags: number): Promise<StagedFile> {
  return new StagedFile(
    await call<number>((settle) => open(path, flags | O_NOFOLLOW, 0o600, settle)),
  )
}

/**
 * Open for the first byte on, always a new file: the remains of an earlier request may be linked as a
 * published blob, or another process may still write to them.
 */
export async function openFresh(path: string): Promise<StagedFile> {
  for (;;) {
    try {
      return new StagedFile(openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600))
    } catch (cause) {
      const error = ingestFailure(cause)
      if (error.systemCode !== 'EEXIST') throw error
      await removeFile(path)
    }
  }
}

function removeFile(path: string): Promise<void> {
  return call((settle) => unlink(path, settle as Settle<void>)).catch(unlessAbsent)
}

function unlessAbsent(error: unknown): void {
  if (!(error instanceof IngestFailure && error.systemCode === 'ENOENT')) throw error
}

/**
 * Open to append after the first `offset` bytes, and cut off what follows them. `keyList`: where it is, the file may be
 * encrypted. Errors: IngestFailure 'unavailable' where it is.
 */
export async function openContinued(
  path: string,
  offset: number,
  keyList?: string,
): Promise<ContinuedBytes> {
  const file = await openExisting(path, offset, O_RDWR, keyList)
  try {
    const { nlink } = file.stat()
    if (nlink > 1) return await openCopy(path, file)
    await file.truncate(offset)
    return { file }
  } catch (error) {
    await file.close()
    throw error
  }
}

async function openCopy(path: string, from: StagedFile): Promise<ContinuedBytes> {
  const copy = copyNames(path)
  const file = await openFresh(copy.path)
  return { file, copy: { from, keep: copy.keep, drop: copy.drop } }
}

/** Where a copy of staged bytes stands till it takes their place. */
export function copyNames(path: string): Pick<CopyOfStaged, 'keep' | 'drop'> & {
  readonly path: string
} {
  const copyPath = `${path}.copy`
  return {
    path: copyPath,
    keep: () => call((settle) => rename(copyPath, path, settle as Settle<void>)),
    drop: () => removeFile(copyPath),
  }
}

/** Open what is there. Errors: IngestFailure 'corrupt' where nothing is. */
export function openThere(path: string, use: 'read' | 'change'): Promise<StagedFile> {
  return openExisting(path, 0, use === 'read' ? O_RDONLY : O_RDWR)
}

/** Open to read the first `length` bytes. Errors: as `openContinued`; IngestFailure 'corrupt' where they are fewer. */
export function openWhole(path: string, length: number, keyList?: string): Promise<StagedFile> {
  return openExisting(path, length, O_RDONLY, keyList)
}

async function openExisting(
  path: string,
  length: number,
  flags: number,
  keyList?: string,
): Promise<StagedFile> {
  const file = await openFlags(path, flags).catch((error: unknown) => {
    const isAbsent = error instanceof IngestFailure && error.systemCode === 'ENOENT'
    throw isAbsent ? new IngestFailure('corrupt', error.message) : error
  })
  try {
    const { size } = file.stat()
    // Of the file that is open: the list is there before anything is encrypted.
    if (keyList !== undefined && isThere(keyList) && (await isEncrypted(file, size))) {
      throw new IngestFailure('unavailable', 'it is encrypted, and this process has no keys')
    }
    if (size < length) throw new IngestFailure('corrupt', `${size} of ${length} bytes are staged`)
  } catch (error) {
    await file.close()
    throw error
  }
  return file
}

function isThere(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined
  } catch (error) {
    throw ingestFailure(error)
  }
}

async function isEncrypted(file: StagedFile, size: number): Promise<boolean> {
  if (size < magic.length) return false
  const beginning = Buffer.alloc(magic.length)
  await file.read(beginning, 0)
  return isSealed(beginning)
}

export class StagedFile implements StagedBytes {
  readonly #fd: number

  constructor(fd: number) {
    this.#fd = fd
  }

  /** Write all of `parts`, one after the other. */
  async write(parts: readonly Uint8Array[], position: number): Promise<void> {
    const [only] = parts
    if (parts.length === 1 && only && only.length <= shortWriteBytes) {
      this.#writeNow(only, position)
      return
    }
    let left = parts
    for (let at = position; left.length > 0; ) {
      const views = left
      const count = await call<number>((settle) => writev(this.#fd, views, at, settle))
      at += count
      left = withoutFirst(left, count)
    }
  }

  // The last close of a removed file gives its blocks back, which takes time where they are many.
  #isShort(): boolean {
    try {
      return this.stat().size <= shortFileBytes
    } catch {
      return false
    }
  }

  #writeNow(bytes: Uint8Array, position: number): void {
    try {
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(this.#fd, bytes, done, bytes.length - done, position + done)
      }
    } catch (error) {
      throw ingestFailure(error)
    }
  }

  /** Fills `target`. Errors: IngestFailure 'corrupt' where the file ends before. */
  async read(target: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < target.length; ) {
      const from = done
      const count = await call<number>((settle) =>
        read(this.#fd, target, from, target.length - from, position + from, settle),
      )
      if (count === 0) throw new IngestFailure('corrupt', 'the staged file has become shorter')
      done += count
    }
  }

  truncate(length: number): Promise<void> {
    return call((settle) => ftruncate(this.#fd, length, settle as Settle<void>))
  }

  /**
   * Give back the room of bytes that will not be committed. Not where the file has a second name: then
   * it is a blob already, whoever published it.
   */
  async cutBack(length: number): Promise<void> {
    const { nlink } = this.stat()
    if (nlink === 1) await this.truncate(length)
  }

  sync(): Promise<void> {
    return call((settle) => fdatasync(this.#fd, settle as Settle<void>))
  }

  /** At once: the inode of an open file is in memory. */
  stat(): Stats {
    try {
      return fstatSync(this.#fd)
    } catch (error) {
      throw ingestFailure(error)
    }
  }

  mark(): FileMark {
    const { ino, size, mtimeMs } = this.stat()
    return { inode: ino, size, mtimeMs }
  }

  async close(): Promise<void> {
    if (!this.#isShort()) return call((settle) => close(this.#fd, settle as Settle<void>))
    try {
      closeSync(this.#fd)
    } catch (error) {
      throw ingestFailure(error)
    }
  }
}

// What a short write has left over.
function withoutFirst(parts: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let skip = count
  let index = 0
  for (const part of parts) {
    if (skip < part.length) break
    skip -= part.length
    index += 1
  }
  const rest = parts.slice(index)
  const first = rest[0]
  if (first && skip > 0) rest[0] = first.subarray(skip)
  return rest
}
