// Metrics of a bucket that keeps the blobs.

import type { Registry } from 'prom-client'
import { registerHistogram } from './read-histogram.ts'
import { counter, gauge, single } from './readings.ts'

/** One attempt at a request that is over. */
export interface S3AttemptFigures {
  readonly operation: string
  readonly result: string
  readonly durationMs: number
  readonly isRetry: boolean
  readonly circuit?: 'opened' | 'closed'
}

/** Upper bounds in seconds: from a server beside us to the longest attempt. */
const bounds: readonly number[] = [
  ...[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
]

interface OperationFigures {
  readonly results: Map<string, number>
  readonly durations: Float64Array
  durationMs: number
  retries: number
}

/** There are as many operations as the code names. */
export class S3Counts {
  /** Blobs that were read whole and had other bytes than their digest says. */
  wrongBlobs = 0
  /** Pulls that were answered with a URL of the bucket. */
  redirects = 0
  /** Clients that leave the bucket alone at the moment. */
  circuitsOpen = 0
  readonly #operations = new Map<string, OperationFigures>()

  readonly #onCircuit: (change: 'opened' | 'closed', operation: string) => void

  /** `onCircuit` is told when a client begins or ends to leave the bucket alone. */
  constructor(
    onCircuit: (change: 'opened' | 'closed', operation: string) => void = () => undefined,
  ) {
    this.#onCircuit = onCircuit
  }

  add({ operation, result, durationMs, isRetry, circuit }: S3AttemptFigures): void {
    if (circuit !== undefined) {
      this.circuitsOpen += circuit === 'opened' ? 1 : -1
      this.#onCircuit(circuit, operation)
    }
    let figures = this.#operations.get(operation)
    if (figures === undefined) {
      const durations = new Float64Array(bounds.length + 1)
      figures = { results: new Map(), durations, durationMs: 0, retries: 0 }
      this.#operations.set(operation, figures)
    }
    figures.results.set(result, (figures.results.get(result) ?? 0) + 1)
    const found = bounds.findIndex((bound) => durationMs <= bound * 1000)
    const at = found === -1 ? bounds.length : found
    figures.durations[at] = (figures.durations[at] ?? 0) + 1
    figures.durationMs += durationMs
    if (isRetry) figures.retries += 1
  }

  /** For `/status`. */
  get status(): Readonly<Record<'circuitsOpen' | 'redirects' | 'wrongBlobs', number>> {
    const { circuitsOpen, redirects, wrongBlobs } = this
    return { circuitsOpen, redirects, wrongBlobs }
  }

  /** By operation. */
  get figures(): ReadonlyMap<string, Readonly<OperationFigures>> {
    return this.#operations
  }
}

/** `counts`: undefined where blobs are elsewhere. */
export function registerS3Metrics(registry: Registry, counts: () => S3Counts | undefined): void {
  const operations = (): readonly (readonly [string, Readonly<OperationFigures>])[] => [
    ...(counts()?.figures ?? []),
  ]
  counter(registry, {
    name: 'keelson_s3_requests_total',
    help: 'Attempts at requests of the bucket, by what became of them',
    labelNames: ['operation', 'result'],
    read: () =>
      operations().flatMap(([operation, { results }]) =>
        [...results].map(([result, count]) => [{ operation, result }, count] as const),
      ),
  })
  counter(registry, {
    name: 'keelson_s3_retries_total',
    help: 'Those of them that followed one that had failed',
    labelNames: ['operation'],
    read: () => operations().map(([operation, { retries }]) => [{ operation }, retries] as const),
  })
  registerHistogram(registry, {
    name: 'keelson_s3_request_duration_seconds',
    help: 'From the beginning of an attempt to its answer, without the body of what is read',
    labelName: 'operation',
    bounds,
    read: () =>
      operations().map(([label, { durations, durationMs }]) => {
        return { label, counts: durations, sum: durationMs / 1000 }
      }),
  })
  gauge(registry, {
    name: 'keelson_s3_circuit_open',
    help: 'Clients of the bucket that leave it alone for a while since it does not answer',
    aggregator: 'sum',
    read: single(() => counts()?.circuitsOpen),
  })
  counter(registry, {
    name: 'keelson_s3_redirects_total',
    help: 'Pulls of blobs that were answered with a URL of the bucket',
    read: single(() => counts()?.redirects),
  })
  counter(registry, {
    name: 'keelson_s3_wrong_blobs_total',
    help: 'Blobs that were read whole and had other bytes than their digest says; none was served',
    read: single(() => counts()?.wrongBlobs),
  })
}
