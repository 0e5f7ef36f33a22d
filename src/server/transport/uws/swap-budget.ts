// How often a listener may change who accepts its connections: each time costs a socket, and where
// connections come and go at the limit it could be at each of them.

const burst = 20
const refillMs = 50

export class SwapBudget {
  readonly #now: () => number
  #left = burst
  #refilledAt: number

  /** `now`: a clock that never goes back, in ms. */
  constructor(now: () => number) {
    this.#now = now
    this.#refilledAt = now()
  }

  take(): boolean {
    const now = this.#now()
    const refills = Math.floor((now - this.#refilledAt) / refillMs)
    this.#refilledAt += refills * refillMs
    this.#left = Math.min(burst, this.#left + refills)
    if (this.#left === 0) return false
    this.#left -= 1
    return true
  }
}
