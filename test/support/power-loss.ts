// Answers for what a power cut leaves of a recording: all that was synced, and of the rest whatever
// a seed decides. SIGKILL cannot show this, since the page cache outlives a process.
//
// Rules: a write or a new name is certain once a sync of its file or directory began after it ended,
// and ended before the cut. Anything else may or may not be there, block by block for data.

import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import type { FileEvent, FileOperation } from './file-events.ts'

const blockBytes = 4096

interface Span {
  readonly begin: number
  /** Index of its end in the log; absent where the cut came first. */
  end?: number
}

interface DataChange extends Span {
  readonly position: number
  /** Absent for a truncation to `position`. */
  readonly bytes?: Buffer
}

interface NameChange extends Span {
  readonly name: string
  /** Absent where the name goes. */
  readonly inode?: Inode
}

interface Inode {
  readonly data: DataChange[]
  readonly syncs: Span[]
  /** Only of directories. */
  readonly names?: NameChange[]
}

/** A seeded source of numbers in [0, 1). Source: mulberry32, public domain. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export function parseRecording(text: string): readonly FileEvent[] {
  const events = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as FileEvent)
  for (const event of events) {
    if (event.at !== 'begin' || event.operation.kind !== 'unknown') continue
    assert.fail(`the recorder has no model of ${event.operation.name} ${event.operation.path}`)
  }
  return events
}

/** Replays a recording up to a cut. The directory `root` is there and empty at the start. */
class Replay {
  readonly root: Inode = { data: [], syncs: [], names: [] }
  readonly #rootPath: string
  readonly #open = new Map<number, Inode>()
  readonly #pending = new Map<string, { operation: FileOperation; span: Span; inode?: Inode }>()

  constructor(rootPath: string) {
    this.#rootPath = rootPath
  }

  apply(event: FileEvent, index: number): void {
    if (event.at === 'begin') this.#begin(event.id, event.operation, index)
    if (event.at === 'end') this.#end(event, index)
  }

  // A call takes its effect on the names when it ends, but may have reached the device before.
  #begin(id: string, operation: FileOperation, index: number): void {
    const span: Span = { begin: index }
    const pending: { operation: FileOperation; span: Span; inode?: Inode } = { operation, span }
    this.#pending.set(id, pending)
    if (operation.kind === 'write' || operation.kind === 'truncate' || operation.kind === 'sync') {
      const inode = this.#open.get(operation.fd)
      if (inode === undefined) return
      pending.inode = inode
      if (operation.kind === 'write') {
        const change = Object.assign(span, {
          position: operation.position,
          bytes: Buffer.from(operation.bytes, 'base64'),
        })
        inode.data.push(change)
      } else if (operation.kind === 'truncate') {
        inode.data.push(Object.assign(span, { position: operation.length }))
      }
    } else if (operation.kind === 'close') {
      this.#open.delete(operation.fd)
    }
  }

  #end(event: Extract<FileEvent, { at: 'end' }>, index: number): void {
    const pending = this.#pending.get(event.id)
    assert.ok(pending, `the end of ${event.id} has no begin`)
    this.#pending.delete(event.id)
    if (event.error !== undefined) {
      this.#undo(pending)
      return
    }
    const { operation, span, inode } = pending
    span.end = index
    switch (operation.kind) {
      case 'open':
        this.#endOpen(operation, span, event.value ?? -1)
        break
      case 'sync':
        inode?.syncs.push(span)
        break
      case 'write':
        assert.equal(
          event.value,
          (span as DataChange).bytes?.length,
          'a short write is not modelled',
        )
        break
      case 'link':
        this.#name(operation.path, span, this.#find(operation.from))
        break
      case 'unlink':
      case 'rmdir':
        this.#name(operation.path, span, undefined)
        break
      case 'mkdir':
        this.#makeDirectory(operation.path, operation.recursive, span)
        break
      default:
        break
    }
  }

  // A failed write may have changed bytes, which stay uncertain; other failed calls change nothing.
  #undo({ operation, span, inode }: { operation: FileOperation; span: Span; inode?: Inode }): void {
    if (operation.kind !== 'truncate' || inode === undefined) return
    inode.data.splice(inode.data.indexOf(span as DataChange), 1)
  }

  #endOpen(operation: Extract<FileOperation, { kind: 'open' }>, span: Span, fd: number): void {
    let inode = this.#find(operation.path)
    if (inode === undefined) {
      inode = { data: [], syncs: [] }
      this.#name(operation.path, span, inode)
    } else if ((operation.flags & 0o1000) !== 0) {
      inode.data.push(Object.assign(span, { position: 0 }))
    }
    this.#open.set(fd, inode)
  }

  #makeDirectory(path: string, recursive: boolean, span: Span): void {
    if (path === this.#rootPath || this.#find(path) !== undefined) return
    if (recursive) this.#makeDirectory(dirname(path), true, { ...span })
    this.#name(path, span, { data: [], syncs: [], names: [] })
  }

  #name(path: string, span: Span, inode: Inode | undefined): void {
    const parent = this.#find(dirname(path))
    if (parent?.names === undefined) return
    const name = relative(dirname(path), path)
    parent.names.push(Object.assign(span, { name, ...(inode === undefined ? {} : { inode }) }))
  }

  #find(path: string): Inode | undefined {
    let inode: Inode | undefined = this.root
    for (const name of relative(this.#rootPath, path).split(sep)) {
      if (name === '') continue
      inode = inode?.names?.findLast((change) => change.name === name)?.inode
    }
    return inode
  }
}

/** True where a sync covers the change for certain. */
function isCertain(change: Span, syncs: readonly Span[]): boolean {
  const { end } = change
  return end !== undefined && syncs.some((sync) => sync.end !== undefined && sync.begin > end)
}

function bytesOf(inode: Inode, random: () => number): Buffer {
  let bytes: Buffer = Buffer.alloc(0)
  for (const change of inode.data) {
    const certain = isCertain(change, inode.syncs)
    if (change.bytes === undefined) {
      if (!certain && random() < 0.5) continue
      bytes = resized(bytes, change.position)
      continue
    }
    for (let from = 0; from < change.bytes.length; from += blockBytes) {
      if (!certain && random() < 0.5) continue
      const block = change.bytes.subarray(from, from + blockBytes)
      const position = change.position + from
      if (position + block.length > bytes.length) bytes = resized(bytes, position + block.length)
      block.copy(bytes, position)
    }
  }
  return bytes
}

function resized(bytes: Buffer, length: number): Buffer {
  const other = Buffer.alloc(length)
  bytes.copy(other)
  return other
}

function entriesOf(inode: Inode, random: () => number): Map<string, Inode> {
  const entries = new Map<string, Inode>()
  for (const change of inode.names ?? []) {
    if (!isCertain(change, inode.syncs) && random() < 0.5) continue
    if (change.inode === undefined) entries.delete(change.name)
    else entries.set(change.name, change.inode)
  }
  return entries
}

async function write(inode: Inode, path: string, random: () => number): Promise<void> {
  for (const [name, entry] of entriesOf(inode, random)) {
    const below = join(path, name)
    if (entry.names === undefined) {
      await writeFile(below, bytesOf(entry, random), { mode: 0o600 })
    } else {
      await mkdir(below, { mode: 0o700 })
      await write(entry, below, random)
    }
  }
}

/**
 * Write to the empty directory `into` what a power cut before event `cut` leaves of `root`.
 * Answers what was promised till then.
 */
export async function writePowerCut(
  events: readonly FileEvent[],
  cut: number,
  root: string,
  into: string,
  random: () => number,
): Promise<readonly string[]> {
  const replay = new Replay(root)
  const promises: string[] = []
  for (const [index, event] of events.slice(0, cut).entries()) {
    replay.apply(event, index)
    if (event.at === 'promise') promises.push(event.text)
  }
  await write(replay.root, into, random)
  return promises
}
