// Answers for recordings of file calls: preloaded into a process and all its threads by
// `--import "<this file>?log=<path>&root=<directory>"`, it logs what is done below `root`.
//
// A call begins before its system call and ends after it, so "ended before that began" is certain.
// Calls that change files and are not recorded are logged as unknown, so that they cannot hide.

import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join, resolve } from 'node:path'
import { threadId } from 'node:worker_threads'
import type { FileEvent, FileOperation } from './file-events.ts'

type Call = (...args: unknown[]) => unknown
type Callback = (error: NodeJS.ErrnoException | null, value?: unknown) => void

const query = new URL(import.meta.url).searchParams
const root = resolve(query.get('root') ?? '')
// The originals, since ours would record themselves.
const { writeSync, openSync } = fs
const log = openSync(query.get('log') ?? '', 'a')
const target = fs as unknown as Record<string, Call>
let lastId = 0

// One write of one line is atomic in a file that is opened to append, also among threads.
function put(event: FileEvent): void {
  writeSync(log, `${JSON.stringify(event)}\n`)
}

function isOurs(path: unknown): path is string {
  return typeof path === 'string' && (path === root || resolve(path).startsWith(`${root}/`))
}

type Describe = (args: readonly unknown[]) => FileOperation | undefined

/** Record `name`, and the call that does the same at once. */
function recordBoth(name: string, describe: Describe): void {
  record(name, describe)
  recordNow(`${name}Sync`, describe)
}

function recordNow(name: string, describe: Describe): void {
  const original = target[name] as Call
  target[name] = (...args) => {
    const operation = describe(args)
    if (!operation) return original(...args)
    lastId += 1
    const id = `${threadId}.${lastId}`
    put({ at: 'begin', id, operation })
    try {
      const result = original(...args)
      put({ at: 'end', id, ...(typeof result === 'number' ? { value: result } : {}) })
      return result
    } catch (error) {
      put({ at: 'end', id, error: (error as NodeJS.ErrnoException).code ?? 'unknown' })
      throw error
    }
  }
}

/** Record the call `name` where `describe` makes something of its arguments. */
function record(name: string, describe: Describe): void {
  const original = target[name] as Call
  target[name] = (...args) => {
    const operation = describe(args)
    if (!operation) return original(...args)
    lastId += 1
    const id = `${threadId}.${lastId}`
    put({ at: 'begin', id, operation })
    const callback = args[args.length - 1] as Callback
    args[args.length - 1] = (error: NodeJS.ErrnoException | null, ...values: unknown[]) => {
      const value = typeof values[0] === 'number' ? { value: values[0] } : {}
      const failure = error ? { error: error.code ?? 'unknown' } : {}
      put({ at: 'end', id, ...value, ...failure })
      callback(error, ...(values as [unknown?]))
    }
    return original(...args)
  }
}

/** Log a call without a model, by whichever of its arguments is a path of ours. */
function refuse(name: string, holder: Record<string, Call> = target): void {
  const original = holder[name] as Call
  holder[name] = (...args) => {
    const path = args.find(isOurs)
    if (path !== undefined) {
      lastId += 1
      const operation: FileOperation = { kind: 'unknown', name, path: String(path) }
      put({ at: 'begin', id: `${threadId}.${lastId}`, operation })
    }
    return original.apply(holder, args)
  }
}

function flagsOf(flags: unknown): number {
  if (typeof flags === 'number') return flags
  const { O_CREAT, O_EXCL, O_RDONLY, O_TRUNC, O_WRONLY } = fs.constants
  if (flags === 'w') return O_WRONLY | O_CREAT | O_TRUNC
  return flags === 'wx' ? O_WRONLY | O_CREAT | O_EXCL : O_RDONLY
}

function base64(parts: readonly Uint8Array[]): string {
  return Buffer.concat(parts).toString('base64')
}

function pathCall(
  kind: 'unlink' | 'rmdir',
): (args: readonly unknown[]) => FileOperation | undefined {
  return ([path]) => (isOurs(path) ? { kind, path } : undefined)
}

recordBoth('open', ([path, flags]) =>
  isOurs(path) ? { kind: 'open', path, flags: flagsOf(flags) } : undefined,
)
recordBoth('close', ([fd]) => ({ kind: 'close', fd: fd as number }))
recordBoth('write', ([fd, data, from, length, position]) => {
  const bytes = data as Uint8Array
  const start = Number(from ?? 0)
  const part = bytes.subarray(start, start + Number(length ?? bytes.length))
  return { kind: 'write', fd: fd as number, position: Number(position ?? 0), bytes: base64([part]) }
})
record('writev', ([fd, parts, position]) => ({
  kind: 'write',
  fd: fd as number,
  position: position as number,
  bytes: base64(parts as Uint8Array[]),
}))
record('ftruncate', ([fd, length]) => ({
  kind: 'truncate',
  fd: fd as number,
  length: length as number,
}))
record('fdatasync', ([fd]) => ({ kind: 'sync', fd: fd as number }))
record('fsync', ([fd]) => ({ kind: 'sync', fd: fd as number }))
record('link', ([from, path]) =>
  isOurs(path) ? { kind: 'link', from: from as string, path } : undefined,
)
record('unlink', pathCall('unlink'))
record('rmdir', pathCall('rmdir'))
record('mkdir', ([path, options]) => {
  if (!isOurs(path)) return undefined
  const recursive = typeof options === 'object' && options !== null && 'recursive' in options
  return { kind: 'mkdir', path: join(path), recursive }
})

const changing = ['appendFile', 'copyFile', 'rename', 'rm', 'symlink', 'truncate', 'writeFile']
const known = ['link', 'mkdir', 'rmdir', 'unlink']
for (const name of changing) refuse(name)
for (const name of [...changing, ...known]) refuse(`${name}Sync`)
for (const name of [...changing, ...known, 'open']) {
  refuse(name, fs.promises as unknown as Record<string, Call>)
}
syncBuiltinESMExports()
