// What this process tells of itself on the public listener: the same as on the admin socket, less the
// reasons.

import type { ReadinessChecker } from '../health/readiness.ts'
import type { SelfAnswers } from '../operation/self-report.ts'
import type { Metrics } from '../telemetry/metrics.ts'

/** Whoever answers for all processes; undefined: not in time. */
interface Asked {
  ask(
    path: string,
  ): Promise<
    { readonly status: number; readonly contentType: string; readonly text: string } | undefined
  >
}

interface SelfParts {
  readonly readiness: ReadinessChecker
  readonly metrics: Metrics
  /** Undefined where this process is the only one. */
  readonly link: Asked | undefined
}

export function selfAnswers({ readiness, metrics, link }: SelfParts): SelfAnswers {
  return {
    metrics: shared(async () => {
      if (link === undefined) return metrics.render()
      const answer = await link.ask('/metrics')
      if (answer?.status !== 200) throw new Error('the supervising process told no metrics')
      return answer
    }),
    isReady: async () => (await readiness.check()).ready,
  }
}

// Whoever asks meanwhile gets the same answer, so that many who ask cost no more than one.
function shared<T>(ask: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<T> | undefined
  return () => {
    underWay ??= ask().finally(() => {
      underWay = undefined
    })
    return underWay
  }
}
