// Staged files whose fdatasync runs since their last request ended, so that the next can join it.

import { close, constants, fdatasync, lstat, open } from 'node:fs'
import { promisify } from 'node:util'
import type { FileMark } from '../../workers/tasks.ts'
import { StorageError } from '../storage/error.ts'

interface Entry {
  readonly mark: FileMark
  /** Detail of a failure, or undefined. */
  readonly synced: Promise<string | undefined>
}

const entriesMax = 4096
const openFile = promisify(open)
const syncFile = promisify(fdatasync)
const closeFile = promisify(close)
const statFile = promisify(lstat)

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

  /** A sync of `path` runs. The answer settles it: detail of a failure, or undefined. */
  begin(path: string, mark: FileMark): (detail: string | undefined) => void {
    let settle: (detail: string | undefined) => void = () => undefined
    const synced = new Promise<string | undefined>((resolve) => {
      settle = resolve
    })
    this.forget(path)
    this.#entries.set(path, { mark, synced })
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= entriesMax) break
      this.#entries.delete(oldest)
    }
    return settle
  }

  /** The file is about to be written again. */
  forget(path: string): void {
    this.#entries.delete(path)
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
      if (entry && isSame(entry.mark, await statFile(path))) return
      await this.#syncStaged(path)
    } catch (error) {
      throw new StorageError('unavailable', 'staged bytes could not be synced', error)
    }
  }
}

function isSame(mark: FileMark, stats: { ino: number; size: number; mtimeMs: number }): boolean {
  return mark.inode === stats.ino && mark.size === stats.size && mark.mtimeMs === stats.mtimeMs
}
