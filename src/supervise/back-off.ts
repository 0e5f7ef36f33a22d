// When a process that has ended is started again.

const windowMs = 60_000
const firstDelayMs = 250
const delayMaxMs = 15_000

/** Of one process: at once after a first end, then later and later while it goes on ending. */
export class BackOff {
  readonly #now: () => number
  #endsAtMs: readonly number[] = []

  /** `now` in ms, never going back. */
  constructor(now: () => number) {
    this.#now = now
  }

  /** It has ended: how long to wait, in ms. */
  next(): number {
    const nowMs = this.#now()
    this.#endsAtMs = [...this.#endsAtMs.filter((at) => nowMs - at < windowMs), nowMs]
    const before = this.#endsAtMs.length - 1
    return before === 0 ? 0 : Math.min(firstDelayMs * 2 ** (before - 1), delayMaxMs)
  }
}
