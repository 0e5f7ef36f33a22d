// A fault that nothing caught: what it left half done nobody knows. It is told, what is under way gets a
// moment to end, and the process ends with a code by which a service manager starts it anew.

import type { Logger } from '../telemetry/log.ts'

/** How much of `process` it needs. */
interface Faults {
  on(event: 'uncaughtException', tell: (error: unknown, origin: string) => void): unknown
}

// Replies and commits under way take far less; a part that the fault has stopped never ends.
const graceMs = 5_000
// A fault that happens again with every tick must not fill the disk of the log.
const toldMax = 10

/** Watches from now on; before that node itself ends the process, with the stack on standard error. */
export class CrashWatch {
  /** Resolves at the first fault. */
  readonly first: Promise<'uncaught fault'>
  readonly #graceMs: number
  #happened = 0

  constructor(log: Pick<Logger, 'fatal'>, faults: Faults = process, grace: number = graceMs) {
    this.#graceMs = grace
    this.first = new Promise((resolve) => {
      faults.on('uncaughtException', (error, origin) => {
        this.#happened += 1
        if (this.#happened > toldMax) return
        log.fatal({ err: error, origin }, 'a fault that nothing caught: the process ends')
        resolve('uncaught fault')
      })
    })
  }

  get hasHappened(): boolean {
    return this.#happened > 0
  }

  /** What `work` resolves with; undefined where a fault happens, or has, and it takes longer than a moment. */
  async during<T>(work: Promise<T>): Promise<T | undefined> {
    let timer: NodeJS.Timeout | undefined
    const late = this.first.then(
      () =>
        new Promise<undefined>((resolve) => {
          timer = setTimeout(() => resolve(undefined), this.#graceMs)
        }),
    )
    return Promise.race([work, late]).finally(() => clearTimeout(timer))
  }
}
