// Answers for time in tests of jobs: it stands until it is moved, and what waits for it wakes in order.
import type { JobClock } from '../../../src/maintain/job/clock.ts'

interface Timer {
  readonly atMs: number
  readonly action: () => void
}

export const startMs: number = Date.UTC(2026, 5, 1)

export class FakeClock implements JobClock {
  /** Of this many ms the wall clock is ahead of the others. */
  aheadMs = 0
  /** The host slept so long: monotonic time stood still. */
  sleptMs = 0
  /** What was slept for, in ms. */
  readonly slept: number[] = []
  yields = 0
  #elapsedMs = 0
  #timers: Timer[] = []

  now = (): number => startMs + this.#elapsedMs + this.sleptMs + this.aheadMs
  elapsed = (): number => this.#elapsedMs
  sinceBoot = (): number => 1_000_000 + this.#elapsedMs + this.sleptMs

  after = (delayMs: number, action: () => void): (() => void) => {
    const timer = { atMs: this.#elapsedMs + delayMs, action }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((each) => each !== timer)
    }
  }

  sleep = (delayMs: number, signal: AbortSignal): Promise<void> => {
    this.slept.push(delayMs)
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const cancel = this.after(delayMs, () => {
        signal.removeEventListener('abort', abort)
        resolve()
      })
      const abort = (): void => {
        cancel()
        reject(signal.reason)
      }
      signal.addEventListener('abort', abort, { once: true })
    })
  }

  yield = async (): Promise<void> => {
    this.yields += 1
  }

  get waiting(): number {
    return this.#timers.length
  }

  /** The time goes by without a turn for anybody: something holds the event loop. */
  hold(ms: number): void {
    this.#elapsedMs += ms
  }

  /** What wakes in this time does what it does until it waits again. */
  async pass(ms: number): Promise<void> {
    const untilMs = this.#elapsedMs + ms
    for (;;) {
      await settled()
      const [next] = this.#timers.toSorted((one, other) => one.atMs - other.atMs)
      if (next === undefined || next.atMs > untilMs) break
      this.#timers = this.#timers.filter((each) => each !== next)
      this.#elapsedMs = Math.max(this.#elapsedMs, next.atMs)
      next.action()
    }
    this.#elapsedMs = Math.max(this.#elapsedMs, untilMs)
    await settled()
  }
}

/** All promises that wait for nothing else. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
