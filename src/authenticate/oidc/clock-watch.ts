// Whether the wall clock can be trusted: a jump makes good tokens expire, or expired ones good.

import type { OidcLog } from './contract.ts'

export interface ClockWatchOptions {
  /** Wall clock, in ms since the epoch. */
  readonly now: () => number
  /** Monotonic, in ms. */
  readonly elapsed: () => number
  /** A smaller step is none. */
  readonly toleranceMs: number
  readonly log: OidcLog
}

export class ClockWatch {
  readonly #options: ClockWatchOptions
  #offsetMs: number
  #jumps = 0

  constructor(options: ClockWatchOptions) {
    this.#options = options
    this.#offsetMs = options.now() - options.elapsed()
  }

  get jumps(): number {
    return this.#jumps
  }

  /** To be called often: a clock that is slowly set right moves little between two looks. */
  observe(): void {
    const { now, elapsed, toleranceMs, log } = this.#options
    const offsetMs = now() - elapsed()
    const stepMs = offsetMs - this.#offsetMs
    this.#offsetMs = offsetMs
    if (Math.abs(stepMs) <= toleranceMs) return
    this.#jumps += 1
    log.warn({ stepMs: Math.round(stepMs) }, 'the wall clock jumped; tokens are judged by it')
  }
}
