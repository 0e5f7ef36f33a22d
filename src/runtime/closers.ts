// What has to be ended when the registry stops, in the order that it was made.

import type { Logger } from '../telemetry/log.ts'

export class Closers {
  readonly #log: Logger
  readonly #all: Array<() => unknown> = []

  constructor(log: Logger) {
    this.#log = log
  }

  add(close: () => unknown): void {
    this.#all.push(close)
  }

  /** The last made ends first. One that fails must not keep the others, least of all the store, from ending. */
  async closeAll(): Promise<void> {
    for (let close = this.#all.pop(); close !== undefined; close = this.#all.pop()) {
      try {
        await close()
      } catch (error) {
        this.#log.error({ err: error }, 'stopping: a part did not end well')
      }
    }
  }
}
