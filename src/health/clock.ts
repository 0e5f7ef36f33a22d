// Whether the wall clock can be believed: certificates, tokens and leases are judged by it.

export interface ClockOptions {
  /** Wall clock, in ms since the epoch. */
  readonly now: () => number
  /** Monotonic, in ms. */
  readonly elapsed: () => number
  /** No true clock shows less; default: when this version was made. */
  readonly notBeforeMs?: number
}

// When this was written. A host that starts without a battery for its clock shows 1970, or its last boot.
const madeAtMs = Date.UTC(2026, 0, 1)
// A smaller step is none; a clock that is set right bit by bit moves by up to 500 ppm. Source: adjtimex(2).
const stepMsMax = 2_000
const slewPerMs = 0.001
// A clock that has jumped once may jump again, back to where it was.
const unsettledMs = 10_000

export interface ClockFigures {
  readonly jumps: number
  /** The last one, forwards or (negative) backwards; 0 before the first. */
  readonly lastJumpMs: number
}

export class Clock {
  readonly #options: ClockOptions
  #seenAtMs: number
  #offsetMs: number
  #jumps = 0
  #lastJumpMs = 0
  #jumpedAtMs = Number.NEGATIVE_INFINITY

  constructor(options: ClockOptions) {
    this.#options = options
    this.#seenAtMs = options.elapsed()
    this.#offsetMs = options.now() - this.#seenAtMs
  }

  get figures(): ClockFigures {
    return { jumps: this.#jumps, lastJumpMs: this.#lastJumpMs }
  }

  /** Resolves with what is well. Errors: Error that says what is not. */
  look(): Promise<string> {
    const { now, elapsed, notBeforeMs = madeAtMs } = this.#options
    const at = elapsed()
    const wallMs = now()
    const stepMs = wallMs - at - this.#offsetMs
    if (Math.abs(stepMs) > stepMsMax + slewPerMs * (at - this.#seenAtMs)) {
      this.#jumps += 1
      this.#lastJumpMs = Math.round(stepMs)
      this.#jumpedAtMs = at
    }
    this.#offsetMs = wallMs - at
    this.#seenAtMs = at
    const shown = new Date(wallMs).toISOString()
    if (wallMs < notBeforeMs) {
      const since = new Date(notBeforeMs).getUTCFullYear()
      return Promise.reject(new Error(`it shows ${shown}, but this version was made in ${since}`))
    }
    const agoMs = at - this.#jumpedAtMs
    if (agoMs < unsettledMs) {
      const by = `${this.#lastJumpMs > 0 ? '+' : ''}${Math.round(this.#lastJumpMs / 1000)} s`
      const ago = Math.round(agoMs / 1000)
      return Promise.reject(new Error(`it jumped by ${by} ${ago} s ago, and shows ${shown}`))
    }
    return Promise.resolve(`it shows ${shown}`)
  }
}
