// What the supervisor stands on: processes that can be started, and time.

import type { FromChild, ToChild } from './messages.ts'

export interface Exit {
  readonly code: number | null
  readonly signal: string | null
}

/** A process that was started. */
export interface Child {
  readonly pid: number
  /** Lost without a word where it is gone. */
  send(message: ToChild): void
  /** SIGKILL. */
  kill(): void
}

export interface ChildEvents {
  onMessage(message: FromChild): void
  onExit(exit: Exit): void
}

/** Start one more. Errors: what the system says, to `onExit` too. */
export type Fork = (events: ChildEvents) => Child

/** Units: ms. Both timers answer how to cancel. */
export interface Clock {
  /** Never going back. */
  now(): number
  after(delayMs: number, action: () => void): () => void
  every(intervalMs: number, action: () => void): () => void
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after: (delayMs, action) => {
    const timer = setTimeout(action, delayMs)
    return () => clearTimeout(timer)
  },
  every: (intervalMs, action) => {
    const timer = setInterval(action, intervalMs)
    return () => clearInterval(timer)
  },
}
