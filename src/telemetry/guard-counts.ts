// How the services answered that are asked about requests.

import { Counter, Histogram, type Registry } from 'prom-client'

/** By service. `unavailable` answered otherwise than agreed, or was not asked; `transport_error` not at all. */
export const guardResults = [
  'allow',
  'deny',
  'unavailable',
  'transport_error',
  'cached_allow',
  'cached_deny',
] as const

export type GuardResult = (typeof guardResults)[number]

/** Plain numbers, since most verdicts are remembered ones on the hot path. */
export type GuardTally = Record<GuardResult, number>

export type GuardKind = 'webhook' | 'opa'

const bucketsSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** For all services of a kind. */
export class GuardCounts {
  readonly #kind: GuardKind
  readonly #tallies = new Map<string, GuardTally>()
  readonly #durations: Histogram

  constructor(kind: GuardKind) {
    this.#kind = kind
    this.#durations = new Histogram({
      name: `${kind}_authorization_duration_seconds`,
      help: 'How long it took to ask about a request; remembered answers do not count',
      labelNames: [kind],
      buckets: bucketsSeconds,
      registers: [],
    })
  }

  /** The figures of one service, to be counted up in place. */
  tally(name: string): GuardTally {
    const known = this.#tallies.get(name)
    if (known !== undefined) return known
    const tally: GuardTally = {
      allow: 0,
      deny: 0,
      unavailable: 0,
      transport_error: 0,
      cached_allow: 0,
      cached_deny: 0,
    }
    this.#tallies.set(name, tally)
    return tally
  }

  observe(name: string, durationMs: number): void {
    this.#durations.observe({ [this.#kind]: name }, durationMs / 1000)
  }

  register(registry: Registry): void {
    const kind = this.#kind
    const tallies = this.#tallies
    registry.registerMetric(this.#durations)
    new Counter({
      name: `${kind}_authorization_requests_total`,
      help: 'Requests that a service was asked about, and how that ended',
      labelNames: [kind, 'result'],
      registers: [registry],
      collect() {
        this.reset()
        for (const [name, tally] of tallies) {
          for (const result of guardResults) this.inc({ [kind]: name, result }, tally[result])
        }
      },
    })
  }
}
