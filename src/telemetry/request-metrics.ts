// Figures of requests. Counting one costs a few additions; names and labels are put together when
// somebody asks.

import type { Registry } from 'prom-client'
import { registerHistogram } from './read-histogram.ts'
import { counter, type Sample } from './readings.ts'
import { RequestClock } from './request-clock.ts'
import type { RequestRecord } from './request-record.ts'

/** Upper bounds in seconds: from an answer out of memory to a large layer on a slow line. */
export const durationBounds: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  30, 60,
]

const boundsMs = durationBounds.map((seconds) => seconds * 1000)
const statusMin = 100
const statuses = 500

/** Of one action. Arrays of numbers, which are added to without a look at their type. */
class ActionFigures {
  readonly byStatus = new Float64Array(statuses)
  /** The last one is without a bound. */
  readonly byDuration = new Float64Array(boundsMs.length + 1)
  durationMs = 0
  /** Requests answered at once that the next such one which is timed will stand for. */
  untimed = 0
  bytesIn = 0
  bytesOut = 0
  aborted = 0

  add(record: RequestRecord): void {
    const at = record.status - statusMin
    this.byStatus[at] = (this.byStatus[at] ?? 0) + 1
    const { durationMs } = record
    if (durationMs === undefined) this.untimed += 1
    else this.#time(durationMs, record.isAtOnce)
    this.bytesIn += record.bytesIn
    this.bytesOut += record.bytesOut
    if (record.aborted) this.aborted += 1
  }

  #time(durationMs: number, isAtOnce: boolean): void {
    let weight = 1
    if (isAtOnce) {
      weight += this.untimed
      this.untimed = 0
    }
    let bucket = 0
    while (bucket < boundsMs.length && durationMs > (boundsMs[bucket] ?? 0)) bucket += 1
    this.byDuration[bucket] = (this.byDuration[bucket] ?? 0) + weight
    this.durationMs += durationMs * weight
  }
}

/** One per process, whatever configuration is in force. */
export class RequestMetrics {
  readonly clock: RequestClock = new RequestClock()
  // There are as many as there are kinds of actions, and two for what is none.
  readonly #actions = new Map<string, ActionFigures>()
  readonly #faults = new Map<string, number>()

  add(record: RequestRecord): void {
    const name = record.isForwarded ? 'forward-auth' : (record.action?.kind ?? 'none')
    let figures = this.#actions.get(name)
    if (figures === undefined) {
      figures = new ActionFigures()
      this.#actions.set(name, figures)
    }
    figures.add(record)
  }

  /** A request that nobody refused failed. `code`: what the client is told. */
  addFault(code: string): void {
    this.#faults.set(code, (this.#faults.get(code) ?? 0) + 1)
  }

  register(registry: Registry): void {
    counter(registry, {
      name: 'keelson_http_requests_total',
      help: 'Requests that are over, by what they asked for; 499 where the client left unanswered',
      labelNames: ['action', 'status'],
      read: () => this.#byStatus(),
    })
    registerHistogram(registry, {
      name: 'keelson_http_request_duration_seconds',
      help: 'From the head of a request to the end of its reply, transfers included',
      labelName: 'action',
      bounds: durationBounds,
      read: () =>
        [...this.#actions].map(([label, { byDuration, durationMs }]) => {
          return { label, counts: byDuration, sum: durationMs / 1000 }
        }),
    })
    for (const [name, help, value] of [
      [
        'keelson_http_request_body_bytes_total',
        'Bytes of request bodies that were taken',
        (of: ActionFigures) => of.bytesIn,
      ],
      [
        'keelson_http_response_body_bytes_total',
        'Bytes of reply bodies that were handed to connections',
        (of: ActionFigures) => of.bytesOut,
      ],
      [
        'keelson_http_requests_aborted_total',
        'Requests whose client left, or was cut off, before it had the whole reply',
        (of: ActionFigures) => of.aborted,
      ],
    ] as const) {
      counter(registry, {
        ...{ name, help, labelNames: ['action'] },
        read: () => [...this.#actions].map(([action, of]) => [{ action }, value(of)] as const),
      })
    }
    counter(registry, {
      name: 'keelson_http_faults_total',
      help: 'Requests that failed through no fault of their client, by what it was told',
      labelNames: ['code'],
      read: () => [...this.#faults].map(([code, count]) => [{ code }, count] as const),
    })
  }

  #byStatus(): readonly Sample[] {
    return [...this.#actions].flatMap(([action, { byStatus }]) =>
      [...byStatus.entries()]
        .filter(([, count]) => count > 0)
        .map(([at, count]) => [{ action, status: String(at + statusMin) }, count] as const),
    )
  }
}
