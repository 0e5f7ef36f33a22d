// What tracing is to the rest of the process. Everything else of it is loaded only where it is configured.

import type { RequestRecord } from '../telemetry/request-record.ts'

/** Told of requests: whether it wants one, right before the reply, and of each that is over. */
export interface TraceWatcher {
  picks(record: RequestRecord): boolean
  finished(record: RequestRecord): void
}

/** What of the people behind requests is left out: values of `log.mask`. */
export type TraceMask = ReadonlySet<string>

/** Since the start, but for what waits at the moment. */
export interface TraceFigures {
  readonly sent: number
  /** Refused by the collector, or without a place to wait. */
  readonly dropped: number
  readonly waiting: number
  /** Batches that were not taken; they may have been later. */
  readonly failures: number
}

export interface Tracing {
  watcher(mask: TraceMask): TraceWatcher
  readonly figures: TraceFigures
  /** Sends what waits, once, and ends. */
  close(): Promise<void>
}
