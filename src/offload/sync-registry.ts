// Staged files whose fdatasync runs since their last request ended, so that the next can join it.

import { close, constants, fdatasync, lstatSync, open } from 'node:fs'
import { promisify } from 'node:util'
import type { FileMark } from '../../workers/tasks.ts'
import { StorageError } from '../storage/error.ts'

interface Entry {
  /** The file as the sync covers it; absent where one failed before. */
  readonly mark?: FileMark
  /** Resolves with `failure`. */
  readonly synced: Promise<string | undefined>
  /** Why a sync failed, as far as known. */
  failure?: string | undefined
}

const entriesMax = 4096
const openFile = promisify(open)
const syncFile = promisify(fdatasync)
const closeFile = promisify(close)

async function syncStaged(path: string): Promise<void> {
  const fd = await openFile(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  await syncFile(fd).finally(() => closeFile(fd))
}

export class SyncRegistry {
  readonly #syncStaged: (path: string) => Promise<void>
  readonly #entries = new Map<string, Entry>()

  constructor(sync: (path: string) => Promise<void> = syncStaged) {
    this.#syncStaged = sync
  }

  /** A sync of `path` runs. The answer settles it: why it failed, or undefined. */
  begin(path: string, mark: FileMark): (failure: string | undefined) => void {
    const { promise, settle } = settleable()
    // One of an earlier request may still run, and its failure is a failure of the same file.
    const earlier = this.#entries.get(path)?.synced
    const synced = Promise.all([earlier, promise]).then(([first, own]) => first ?? own)
    this.#set(path, { mark, synced })
    return settle
  }

  /** A sync of `path` failed in the middle of a body. */
  fail(path: string, failure: string): void {
    this.#set(path, { synced: Promise.resolve(failure), failure })
  }

  /**
   * The file is about to be written again from `offset` on.
   * Errors: StorageError 'corrupt' where bytes are to be kept whose sync failed.
   */
  rewrite(path: string, offset: number): void {
    if (offset === 0) this.#entries.delete(path)
    const failure = this.#entries.get(path)?.failure
    if (failure === undefined) return
    throw new StorageError('corrupt', `staged bytes could not be synced: ${failure}`)
  }

  /** Errors: StorageError 'unavailable' where a sync failed or nothing is staged. */
  async sync(path: string): Promise<void> {
    const entry = this.#entries.get(path)
    const failure = await entry?.synced
    // The kernel reports a failed write-back once: another fdatasync would wrongly succeed.
    if (failure !== undefined) {
      throw new StorageError('unavailable', `staged bytes could not be synced: ${failure}`)
    }
    try {
      // Another process may have gone on with the session since.
      if (entry?.mark && isSame(entry.mark, lstatSync(path))) return
      await this.#syncStaged(path)
    } catch (error) {
      throw new StorageError('unavailable', 'staged bytes could not be synced', error)
    }
  }

  #set(path: string, entry: Entry): void {
    this.#entries.delete(path)
    this.#entries.set(path, entry)
    void entry.synced.then((failure) => {
      entry.failure = failure
    })
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= entriesMax) break
      this.#entries.delete(oldest)
    }
  }
}

function settleable(): {
  readonly promise: Promise<string | undefined>
  readonly settle: (failure: string | undefined) => void
} {
  let settle: (failure: string | undefined) => void = () => undefined
  const promise = new Promise<string | undefined>((resolve) => {
    settle = resolve
  })
  return { promise, settle }
}

function isSame(mark: FileMark, stats: { ino: number; size: number; mtimeMs: number }): boolean {
  return mark.inode === stats.ino && mark.size === stats.size && mark.mtimeMs === stats.mtimeMs
}
