// A directory of somebody else's that is only read: no link leads out of it, and nothing in it is too large.

import { constants } from 'node:fs'
import { lstat, open, opendir, realpath } from 'node:fs/promises'
import { join, sep } from 'node:path'

export interface SmallFile {
  readonly bytes: Uint8Array
  /** Milliseconds since 1970. */
  readonly changedAtMs: number
}

export interface Entry {
  readonly name: string
  readonly isDirectory: boolean
}

const absentCodes: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR'])
const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOATIME
// O_NOATIME is for the owner of a file alone.
const plainFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** Of every method: paths are relative to the root. Errors: Error with the path; absent is `undefined`, nothing else. */
export class SourceTree {
  /** Without symbolic links. */
  readonly root: string

  private constructor(root: string) {
    this.root = root
  }

  /** Errors: Error for the operator where it is no directory, or cannot be read. */
  static async open(path: string): Promise<SourceTree> {
    const root = await realpath(path).catch((error: unknown) => {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      throw new Error(`${path} ${code === 'ENOENT' ? 'is not there' : `cannot be read (${code})`}`)
    })
    if (!(await lstat(root)).isDirectory()) throw new Error(`${path} is not a directory`)
    return new SourceTree(root)
  }

  /** The same for a directory below. Undefined where there is none. */
  async below(path: string): Promise<SourceTree | undefined> {
    const whole = await this.#within(path)
    if (whole === undefined || !(await lstat(whole)).isDirectory()) return undefined
    return new SourceTree(whole)
  }

  async has(path: string): Promise<boolean> {
    return (await this.#within(path)) !== undefined
  }

  /** Undefined where there is none. Limits: `bytesMax`. */
  async readSmall(path: string, bytesMax: number): Promise<SmallFile | undefined> {
    const whole = await this.#within(path)
    if (whole === undefined) return undefined
    const file = await openUnseen(whole)
    try {
      const { size, mtimeMs, isFile } = await shape(file)
      if (!isFile) throw new Error(`${path} is not a file`)
      if (size > bytesMax) throw new Error(`${path} has ${size} bytes, more than ${bytesMax}`)
      const buffer = new Uint8Array(size)
      let length = 0
      while (length < buffer.length) {
        const { bytesRead } = await file.read(buffer, length, buffer.length - length, length)
        if (bytesRead === 0) break
        length += bytesRead
      }
      return { bytes: buffer.subarray(0, length), changedAtMs: Math.max(0, Math.floor(mtimeMs)) }
    } finally {
      await file.close()
    }
  }

  /** A file that is not opened yet. */
  async findFile(
    path: string,
  ): Promise<{ readonly path: string; readonly size: number } | undefined> {
    const whole = await this.#within(path)
    if (whole === undefined) return undefined
    const stats = await lstat(whole)
    if (!stats.isFile()) throw new Error(`${path} is not a file`)
    return { path: whole, size: stats.size }
  }

  /** In no order, not all at once; symbolic links and special files are left out. Nothing where there is none. */
  async *entries(path: string): AsyncGenerator<Entry> {
    const whole = await this.#within(path)
    if (whole === undefined) return
    for await (const entry of await opendir(whole)) {
      const isDirectory = entry.isDirectory()
      if (isDirectory || entry.isFile()) yield { name: entry.name, isDirectory }
    }
  }

  /** Names of what is directly below, sorted by their bytes; those of one directory fit in memory. */
  async directories(path: string): Promise<string[]> {
    const names: string[] = []
    for await (const { name, isDirectory } of this.entries(path)) if (isDirectory) names.push(name)
    return names.sort(byCode)
  }

  async #within(path: string): Promise<string | undefined> {
    let whole: string
    try {
      whole = await realpath(join(this.root, path))
    } catch (error) {
      if (absentCodes.has(codeOf(error))) return undefined
      throw error
    }
    if (whole === this.root || whole.startsWith(this.root === sep ? sep : this.root + sep)) {
      return whole
    }
    throw new Error(`${path} is a link out of ${this.root}, which is not followed`)
  }
}

/** Names may come from anybody: as JSON shows them, cut where they are long. */
export function shownName(name: string): string {
  const text = JSON.stringify(name.length > 300 ? `${name.slice(0, 300)}…` : name)
  return /^"[\w./:@-]*"$/.test(text) ? name : text
}

export function byCode(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

type OpenFile = Awaited<ReturnType<typeof open>>

async function openUnseen(path: string): Promise<OpenFile> {
  try {
    return await open(path, flags)
  } catch (error) {
    if (codeOf(error) !== 'EPERM') throw error
    return open(path, plainFlags)
  }
}

async function shape(
  file: OpenFile,
): Promise<{ readonly size: number; readonly mtimeMs: number; readonly isFile: boolean }> {
  const stats = await file.stat()
  return { size: stats.size, mtimeMs: stats.mtimeMs, isFile: stats.isFile() }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? ''
}
