// How this process finds out whether each of its parts works.

import { Clock } from '../health/clock.ts'
import type { Liveness } from '../health/contract.ts'
import { createLiveness } from '../health/liveness.ts'
import { lookAtOpenFiles } from '../health/open-files.ts'
import { createReadiness, type ReadinessChecker } from '../health/readiness.ts'
import type { StatusAnswer } from '../server/admin.ts'
import type { Foundation } from './foundation.ts'

export interface Health {
  readonly readiness: ReadinessChecker
  readonly clock: Clock
  /** For the operator. */
  live(): Promise<Liveness>
  ready(): Promise<StatusAnswer>
}

/** `timeoutMs` is asked each time. */
export function openHealth(foundation: Foundation, timeoutMs: () => number): Health {
  const { credentials, stores } = foundation
  const { blobs, ingest, metadata } = stores.registry
  const clock = new Clock({ now: Date.now, elapsed: () => performance.now() })
  const { disks } = stores.reserve
  const files = { look: () => lookAtOpenFiles() }
  const parts = { blobs, metadata, ingest, credentials, clock, disks, files }
  const readiness = createReadiness(parts, { timeoutMs })
  const liveness = createLiveness()
  return {
    ...{ readiness, clock },
    live: () => liveness.check(),
    ready: async () => {
      const { ready, checks } = await readiness.check()
      return {
        status: ready ? 200 : 503,
        body: { status: ready ? 'ready' : 'not ready', checks },
      }
    },
  }
}
