// The file of the audit log: opened to append, found again after a rotation, and read at its end for
// where an earlier process stopped.

import { constants } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { readLine } from './chain.ts'

/** How a file ended when it was opened. */
export interface Tail {
  /** Of the last record; undefined where there is none. */
  readonly seq: number | undefined
  /** Undefined where there is no record, or it is not chained. */
  readonly hash: string | undefined
  /** What a crash left behind it, without the newline at its end. */
  readonly torn: Buffer | undefined
  /** Whether a newline has to be written before the next record. */
  readonly isOpen: boolean
}

// Not blocking, since a pipe that nobody empties would hold a thread of the process for ever.
const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK
// The first look at the end is longer than any record can be; after a loss of power there may be long
// holes behind the last one.
const windowBytes = 1024 * 1024
const windowBytesMax = 64 * 1024 * 1024
const newline = 0x0a

const nothing: Tail = { seq: undefined, hash: undefined, torn: undefined, isOpen: false }

/** One writer each. Errors: those of the file system, with their `code`. */
export class AuditFile {
  readonly path: string
  readonly tail: Tail
  readonly #handle: FileHandle
  /** Undefined where it is no regular file. */
  #size: number | undefined

  private constructor(path: string, handle: FileHandle, size: number | undefined, tail: Tail) {
    this.path = path
    this.tail = tail
    this.#handle = handle
    this.#size = size
  }

  /**
   * Made with mode 0600 where it is absent.
   * Errors: Error for the operator where it holds something else, or a pipe is to be chained.
   */
  static async open(path: string, isChained: boolean): Promise<AuditFile> {
    const handle = await open(path, flags, 0o600)
    try {
      const found = await handle.stat()
      if (!found.isFile()) {
        if (isChained) throw new Error(`${path} is no regular file, which a hash chain needs`)
        return new AuditFile(path, handle, undefined, nothing)
      }
      return new AuditFile(path, handle, found.size, await readTail(path, found.size))
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  /** How many of the bytes from `offset` on were taken; maybe not all. */
  async write(bytes: Uint8Array, offset: number): Promise<number> {
    const { bytesWritten } = await this.#handle.write(bytes, offset)
    if (this.#size !== undefined) this.#size += bytesWritten
    return bytesWritten
  }

  async sync(): Promise<void> {
    await this.#handle.datasync()
  }

  /** Whether its path has come to name another file, or none: then it was rotated. */
  async isMoved(): Promise<boolean> {
    if (this.#size === undefined) return false
    const own = await this.#handle.stat()
    const named = await stat(this.path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    return named === undefined || named.ino !== own.ino || named.dev !== own.dev
  }

  /** Its size where somebody else changed that; what is found is taken as it is from then on. */
  async changedSize(): Promise<{ readonly expected: number; readonly found: number } | undefined> {
    const expected = this.#size
    if (expected === undefined) return undefined
    const { size: found } = await this.#handle.stat()
    this.#size = found
    return found === expected ? undefined : { expected, found }
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

async function readTail(path: string, size: number): Promise<Tail> {
  if (size === 0) return nothing
  for (let window = windowBytes; window <= windowBytesMax; window *= 4) {
    const start = Math.max(0, size - window)
    const bytes = await readFrom(path, start, size - start)
    const found = lastRecord(bytes, start === 0)
    if (found !== undefined) return found
    if (start > 0) continue
    // The very first record may have been torn.
    const head = bytes.toString('latin1', 0, recordStart.length)
    if (head !== recordStart.slice(0, bytes.length) || bytes.includes(newline)) break
    return { ...nothing, ...endOf(bytes) }
  }
  throw new Error(`${path} is there, and is no audit log: move it away, or name another file`)
}

// From the end to the last line that is a record; what is behind it was torn. It may have lost no more
// than its newline.
function lastRecord(bytes: Buffer, isWholeFile: boolean): Tail | undefined {
  for (let to = bytes.length; to !== -1; ) {
    const before = to === 0 ? -1 : bytes.lastIndexOf(newline, to - 1)
    if (before === -1 && !isWholeFile) return undefined
    const line = readLine(bytes.toString('utf8', before + 1, to))
    if (line !== undefined) {
      return { seq: line.seq, hash: line.link?.hash, ...endOf(bytes, to) }
    }
    to = before
  }
  return undefined
}

const recordStart = '{"time":"'

// `to`: where the last record ends; undefined: there is none.
function endOf(bytes: Buffer, to?: number): Pick<Tail, 'torn' | 'isOpen'> {
  const isOpen = bytes.at(-1) !== newline
  const end = isOpen ? bytes.length : bytes.length - 1
  const from = to === undefined ? 0 : to + 1
  // A copy, since the whole window would stay in memory with it.
  return { torn: from < end ? Buffer.from(bytes.subarray(from, end)) : undefined, isOpen }
}

async function readFrom(path: string, start: number, length: number): Promise<Buffer> {
  const handle = await open(path, 'r')
  try {
    const bytes = Buffer.alloc(length)
    let size = 0
    for (let read = -1; read !== 0 && size < length; size += read) {
      read = (await handle.read(bytes, size, length - size, start + size)).bytesRead
    }
    return bytes.subarray(0, size)
  } finally {
    await handle.close()
  }
}
