// The clocks and timers that jobs go by.

import { uptime } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'

/** Units: ms. */
export interface JobClock {
  /** Wall clock, since 1970. */
  now(): number
  /** Monotonic. */
  elapsed(): number
  /** Since the boot of the host; unlike `elapsed` it goes on while the host is suspended. */
  sinceBoot(): number
  /** Holds no process up. Answers how to cancel. */
  after(delayMs: number, action: () => void): () => void
  /** Errors: the reason of `signal`. */
  sleep(delayMs: number, signal: AbortSignal): Promise<void>
  /** Lets others have their turn of the event loop. */
  yield(): Promise<void>
}

export const systemJobClock: JobClock = {
  now: Date.now,
  elapsed: () => performance.now(),
  // CLOCK_BOOTTIME.
  sinceBoot: () => uptime() * 1000,
  after: (delayMs, action) => {
    const timer = setTimeout(action, delayMs)
    timer.unref()
    return () => clearTimeout(timer)
  },
  sleep: async (delayMs, signal) => {
    await sleep(delayMs, undefined, { signal }).catch((error: unknown) => {
      signal.throwIfAborted()
      throw error
    })
  },
  yield: () => new Promise((resolve) => setImmediate(resolve)),
}
