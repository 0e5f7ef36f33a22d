// Makes new names durable: one fsync of a directory serves all who asked before it began.

import { closeSync, constants, fsync, openSync } from 'node:fs'
import { fileCall } from './file-call.ts'

interface DirectoryState {
  running: Promise<void>
  /** Begins when `running` is over; whoever asks meanwhile shares it. */
  next: Promise<void> | undefined
}

export class DirectorySync {
  readonly #states = new Map<string, DirectoryState>()
  readonly #syncOne: (path: string) => Promise<void>

  constructor(syncOne: (path: string) => Promise<void> = syncDirectory) {
    this.#syncOne = syncOne
  }

  /** Resolves when every name made in `path` before this call is durable. Errors: the system's own. */
  sync(path: string): Promise<void> {
    const state = this.#states.get(path)
    if (!state) return this.#begin(path)
    // The one that runs may have begun before the caller's name was made.
    state.next ??= state.running.catch(() => undefined).then(() => this.#begin(path))
    return state.next
  }

  /** Resolves when nothing runs. */
  async idle(): Promise<void> {
    while (this.#states.size > 0) {
      await Promise.allSettled([...this.#states.values()].map(({ running }) => running))
    }
  }

  #begin(path: string): Promise<void> {
    const running = this.#syncOne(path)
    const state: DirectoryState = { running, next: undefined }
    this.#states.set(path, state)
    const forget = (): void => {
      if (this.#states.get(path) === state && !state.next) this.#states.delete(path)
    }
    running.then(forget, forget)
    return running
  }
}

// What was changed a moment before is in memory, so that only the sync itself has to wait for the disk.
/** Errors: the system's own. */
export async function syncDirectory(path: string): Promise<void> {
  const flags = constants.O_RDONLY | constants.O_DIRECTORY
  const fd = openSync(path, flags)
  try {
    await fileCall((settle) => fsync(fd, (error) => settle(error, undefined)))
  } finally {
    closeSync(fd)
  }
}
