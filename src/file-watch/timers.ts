// Timers that tests can move by hand.

/** Both functions answer how to cancel. */
export interface Timers {
  after(delayMs: number, action: () => void): () => void
  every(intervalMs: number, action: () => void): () => void
}

/** They keep no process alive. */
export const systemTimers: Timers = {
  after: (delayMs, action) => {
    const timer = setTimeout(action, delayMs).unref()
    return () => clearTimeout(timer)
  },
  every: (intervalMs, action) => {
    const timer = setInterval(action, intervalMs).unref()
    return () => clearInterval(timer)
  },
}
