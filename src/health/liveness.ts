// Whether the event loop goes round, and how busy it is.

import { performance } from 'node:perf_hooks'
import type { Liveness } from './contract.ts'

/** Costs one timer when it is asked, and nothing otherwise. */
export function createLiveness(): { check(): Promise<Liveness> } {
  let before = performance.eventLoopUtilization()
  return {
    check: async () => {
      const askedAt = performance.now()
      await new Promise((resolve) => setTimeout(resolve, 1))
      const loopDelayMs = Math.max(0, performance.now() - askedAt - 1)
      const now = performance.eventLoopUtilization()
      const { utilization } = performance.eventLoopUtilization(now, before)
      before = now
      return {
        status: 'ok',
        loopDelayMs: rounded(loopDelayMs),
        loopUtilization: rounded(utilization),
      }
    },
  }
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000
}
