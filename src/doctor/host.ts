// How the doctor sees this machine: every answer bounded in time and length, and `undefined` for what
// cannot be read. Nothing here throws.
import { execFile } from 'node:child_process'
import { constants, type Stats, type StatsFs } from 'node:fs'
import { access, open, readdir, readlink, realpath, stat, statfs } from 'node:fs/promises'
import { isAbsolute, join, relative, resolve } from 'node:path'

export interface FileState {
  readonly kind: 'file' | 'directory' | 'socket' | 'other'
  /** Permission bits, with the sticky bit. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

export interface Space {
  readonly freeBytes: number
  readonly totalBytes: number
  /** Both 0 where the file system makes inodes as it needs them. */
  readonly freeInodes: number
  readonly totalInodes: number
}

/** Paths are absolute. */
export interface Host {
  /** As text, without the last newline. Limits: 4 MiB; regular files and those of the kernel alone. */
  text(path: string): Promise<string | undefined>
  entries(path: string): Promise<readonly string[] | undefined>
  /** Where a symbolic link points, as written. */
  target(path: string): Promise<string | undefined>
  /** Without symbolic links. */
  real(path: string): Promise<string | undefined>
  state(path: string): Promise<FileState | undefined>
  mayWrite(path: string): Promise<boolean>
  space(path: string): Promise<Space | undefined>
  /** What a program prints when it ends well. Limits: 64 KiB. */
  output(program: string, args: readonly string[]): Promise<string | undefined>
}

const textBytesMax = 4 * 1024 * 1024
// Most files of the kernel are shorter than the first; with a larger one the names of a thousand processes,
// which are read at the same time, would take a hundred MiB that the heap then keeps.
const firstChunkBytes = 1024
const chunkBytes = 64 * 1024
const outputBytesMax = 64 * 1024

export interface HostOptions {
  /** In place of `/`. */
  readonly root?: string
  /** For each answer; default 1.5 s. */
  readonly timeoutMs?: number
}

export function openHost({ root = '/', timeoutMs = 1500 }: HostOptions = {}): Host {
  const at = (path: string): string => (root === '/' ? path : join(root, path))
  const bounded = <T>(answer: Promise<T>): Promise<T | undefined> => within(answer, timeoutMs)
  return {
    text: (path) => bounded(readText(at(path))),
    entries: (path) => bounded(readdir(at(path))),
    target: (path) => bounded(readlink(at(path))),
    real: async (path) => {
      const found = await bounded(realpath(at(path)))
      return found === undefined || root === '/' ? found : join('/', relative(root, found))
    },
    state: async (path) => {
      const found = await bounded(stat(at(path)))
      return found && stateOf(found)
    },
    mayWrite: async (path) => {
      const may = access(at(path), constants.W_OK).then(() => true)
      return (await bounded(may)) === true
    },
    space: async (path) => {
      const found = await bounded(statfs(at(path)))
      return found && spaceOf(found)
    },
    output: (program, args) => bounded(run(program, args, timeoutMs)),
  }
}

/** The value, or undefined where it fails or does not come in time. Never rejects. */
export async function within<T>(answer: Promise<T>, timeoutMs: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((settle) => {
    timer = setTimeout(settle, timeoutMs, undefined)
  })
  try {
    return await Promise.race([answer, late])
  } catch {
    return undefined
  } finally {
    clearTimeout(timer)
  }
}

// Without O_NONBLOCK a fifo in the place of a file would hold a thread for ever.
async function readText(path: string): Promise<string | undefined> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    if (!(await file.stat()).isFile()) return undefined
    const chunks: Buffer[] = []
    let size = 0
    let chunk = Buffer.alloc(firstChunkBytes)
    for (;;) {
      // Files of the kernel have no length before they are read.
      const { bytesRead } = await file.read(chunk, 0, chunk.length, null)
      if (bytesRead === 0) break
      size += bytesRead
      if (size > textBytesMax) return undefined
      chunks.push(Buffer.from(chunk.subarray(0, bytesRead)))
      if (bytesRead === chunk.length && bytesRead < chunkBytes) chunk = Buffer.alloc(chunkBytes)
    }
    return Buffer.concat(chunks).toString('utf8').replace(/\n$/, '')
  } finally {
    await file.close()
  }
}

function stateOf(found: Stats): FileState {
  const kind = found.isFile()
    ? 'file'
    : found.isDirectory()
      ? 'directory'
      : found.isSocket()
        ? 'socket'
        : 'other'
  return { kind, mode: found.mode & 0o7777, uid: found.uid, gid: found.gid }
}

function spaceOf({ bavail, blocks, bsize, ffree, files }: StatsFs): Space {
  return {
    freeBytes: bavail * bsize,
    totalBytes: blocks * bsize,
    freeInodes: ffree,
    totalInodes: files,
  }
}

// Not the PATH of whoever asks: these are programs of the system.
const environment = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' } as const

function run(program: string, args: readonly string[], timeout: number): Promise<string> {
  return new Promise((settle, reject) => {
    const options = {
      timeout,
      killSignal: 'SIGKILL' as const,
      maxBuffer: outputBytesMax,
      env: environment,
    }
    const child = execFile(program, [...args], options, (error, stdout) => {
      if (error === null) settle(stdout)
      else reject(error)
    })
    child.stdin?.end()
  })
}

/** The nearest directory that is there, of a path that may not be yet. */
export async function nearestThere(host: Host, path: string): Promise<string | undefined> {
  for (let at = path; isAbsolute(at); at = resolve(at, '..')) {
    if ((await host.state(at)) !== undefined) return at
    if (at === '/') break
  }
  return undefined
}
