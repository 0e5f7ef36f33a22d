// Tells of changed files once their writer seems to be done, also on file systems that tell nothing.

import { systemTimers, type Timers } from './timers.ts'
import { FileWatch, stampOf } from './watch-files.ts'

export interface SettledWatchOptions {
  /** Asked anew after every change, since a new configuration may name other files. */
  readonly paths: () => readonly string[]
  /** Never called while the call before it is under way. */
  readonly onChange: () => Promise<unknown>
  /** Default: that of the system; its timers keep no process alive. */
  readonly clock?: Timers
}

// Editors write in several steps, and several files one after another.
const settleMs = 250
const pollMs = 10_000

export class SettledWatch {
  readonly #options: SettledWatchOptions
  readonly #clock: Timers
  readonly #watch: FileWatch
  readonly #cancelPoll: () => void
  #cancelSettle: (() => void) | undefined
  #paths: readonly string[] = []
  #stamp = ''
  #last: Promise<unknown> = Promise.resolve()
  #isClosed = false

  constructor(options: SettledWatchOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemTimers
    this.#watch = new FileWatch(() => this.#settle())
    this.#cancelPoll = this.#clock.every(pollMs, () => void this.#serially(() => this.#look()))
  }

  /** What has happened to the files before this resolves is no change. */
  async start(): Promise<void> {
    await this.#serially(() => this.#note())
  }

  /** Idempotent; waits for a call under way. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#cancelPoll()
    this.#cancelSettle?.()
    this.#watch.close()
    await this.#last
  }

  #settle(): void {
    if (this.#isClosed) return
    this.#cancelSettle?.()
    this.#cancelSettle = this.#clock.after(settleMs, () => void this.#serially(() => this.#look()))
  }

  async #look(): Promise<void> {
    if (this.#isClosed || (await stampOf(this.#paths)) === this.#stamp) return
    // Before the call: what changes during it is another change.
    await this.#note()
    const before = this.#paths.join('\0')
    await this.#options.onChange()
    // What it names now was read at some moment that nobody knows: only another call is sure to have it.
    if (this.#options.paths().join('\0') === before) return
    await this.#watch.watch(this.#options.paths())
    this.#stamp = ''
    this.#settle()
  }

  async #note(): Promise<void> {
    this.#paths = this.#options.paths()
    await this.#watch.watch(this.#paths)
    this.#stamp = await stampOf(this.#paths)
  }

  #serially(action: () => Promise<void>): Promise<void> {
    const result = this.#last.then(action)
    this.#last = result.catch(() => undefined)
    return result
  }
}
