// How fast a job may go: by the configured rates, slower while requests wait, and never so that the event
// loop is held up.

import type { JobClock } from './clock.ts'
import type { JobRates } from './contract.ts'

export interface PaceOptions {
  readonly clock: Pick<JobClock, 'elapsed' | 'sleep' | 'yield'>
  /** Asked each time. */
  readonly rates: () => JobRates
  /** How much stands in the way of requests, from 0 (nothing) to 1. */
  readonly load: () => number
  /** Whether there is room to tell of what is done; without, the job waits. */
  readonly hasRoom: () => boolean
  /** Throws where the job must not go on. */
  readonly check: () => void
  readonly signal: AbortSignal
}

/** What is about to be done. Units: `bytes`. */
export interface Work {
  readonly items: number
  readonly bytes: number
}

// What was not used of a rate is good for so long: what is done at once is what a client waits for.
const burstMs = 50
// A new rate is in force after so long at the latest.
const sleepMsMax = 1_000
const roomLookMs = 100
// Under full load a job works for a tenth of the time; what it does at once is never followed by a longer
// pause than this, so that it always gets on.
const idlePerActiveMax = 9
const pauseMsMax = 500
// Shorter than what a client would notice.
const turnMsMax = 4

/** Rate × time may be passed by what a twentieth of a second allows, and by one piece of work. */
export class Pacer {
  readonly #options: PaceOptions
  readonly #items: Bucket
  readonly #bytes: Bucket
  #last: Promise<void> = Promise.resolve()
  /** When the job was let go last. */
  #releasedAt: number
  #yieldedAt: number

  constructor(options: PaceOptions) {
    this.#options = options
    const { elapsed } = options.clock
    this.#items = new Bucket(() => options.rates().itemsPerSecond, elapsed)
    this.#bytes = new Bucket(() => options.rates().bytesPerSecond, elapsed)
    this.#releasedAt = elapsed()
    this.#yieldedAt = this.#releasedAt
  }

  /** Those who ask together get their turns in that order. Errors: the reason of the signal; those of `check`. */
  wait(work: Work): Promise<void> {
    const turn = this.#last.then(() => this.#turn(work))
    this.#last = turn.catch(() => undefined)
    return turn
  }

  async #turn({ items, bytes }: Work): Promise<void> {
    const { check, clock, signal } = this.#options
    signal.throwIfAborted()
    check()
    const askedAt = clock.elapsed()
    const activeMs = askedAt - this.#releasedAt
    for (let waitMs = this.#owedMs(); waitMs > 0; waitMs = this.#owedMs()) {
      await this.#sleep(Math.min(waitMs, sleepMsMax))
    }
    const pauseMs = this.#pauseMs(activeMs) - (clock.elapsed() - askedAt)
    if (pauseMs > 0) await this.#sleep(pauseMs)
    while (!this.#options.hasRoom()) await this.#sleep(roomLookMs)
    this.#items.take(items)
    this.#bytes.take(bytes)
    if (clock.elapsed() - this.#yieldedAt > turnMsMax) {
      await clock.yield()
      this.#yieldedAt = clock.elapsed()
    }
    this.#releasedAt = clock.elapsed()
  }

  #owedMs(): number {
    return Math.max(this.#items.owedMs(), this.#bytes.owedMs())
  }

  #pauseMs(activeMs: number): number {
    const load = Math.min(1, Math.max(0, this.#options.load()))
    return Math.min(pauseMsMax, activeMs * idlePerActiveMax * load)
  }

  async #sleep(ms: number): Promise<void> {
    const { check, clock, signal } = this.#options
    await clock.sleep(ms, signal)
    this.#yieldedAt = clock.elapsed()
    check()
  }
}

/** Tokens of one rate. What is taken beyond them is owed, so that a large piece of work goes at once, and is paid for. */
class Bucket {
  readonly #rate: () => number
  readonly #elapsed: () => number
  #tokens = 0
  #filledAt: number

  constructor(rate: () => number, elapsed: () => number) {
    this.#rate = rate
    this.#elapsed = elapsed
    this.#filledAt = elapsed()
  }

  take(count: number): void {
    this.#tokens -= count
  }

  /** In ms, at the present rate. */
  owedMs(): number {
    const rate = this.#rate()
    const at = this.#elapsed()
    const passedMs = at - this.#filledAt
    this.#filledAt = at
    if (rate <= 0) {
      this.#tokens = 0
      return 0
    }
    this.#tokens = Math.min((rate * burstMs) / 1000, this.#tokens + (rate * passedMs) / 1000)
    return this.#tokens >= 0 ? 0 : Math.max(1, (-this.#tokens * 1000) / rate)
  }
}
