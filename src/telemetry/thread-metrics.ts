// Metrics of threads, by what they are for.

import type { Registry } from 'prom-client'
import { counter, gauge } from './readings.ts'

/** Threads of a kind. Times are of all of them together. */
export interface ThreadFigures {
  readonly threads: number
  readonly activeMs: number
  readonly idleMs: number
}

/** Threads with a queue in front. */
export interface QueueFigures extends ThreadFigures {
  readonly waiting: number
  readonly waitingMax: number
  readonly refused: number
  readonly completed: number
}

/** `read`: by the name of what they are for. */
export function registerThreadMetrics(
  registry: Registry,
  read: () => Readonly<Record<string, ThreadFigures>>,
): void {
  gauge(registry, {
    name: 'keelson_threads',
    help: 'Threads that run, by what they are for; those for credentials start with the first one',
    labelNames: ['pool'],
    aggregator: 'sum',
    read: () => Object.entries(read()).map(([pool, { threads }]) => [{ pool }, threads]),
  })
  counter(registry, {
    name: 'keelson_thread_busy_seconds_total',
    help: 'How long threads had something to do, all of a pool together; waiting for a disk is not',
    labelNames: ['pool'],
    read: () => Object.entries(read()).map(([pool, { activeMs }]) => [{ pool }, activeMs / 1000]),
  })
}
