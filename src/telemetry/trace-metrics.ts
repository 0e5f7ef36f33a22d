// Metrics of the traces that are sent.

import type { Registry } from 'prom-client'
import { counter, gauge, single } from './readings.ts'

/** What became of spans. */
export interface TraceReading {
  readonly sent: number
  readonly dropped: number
  readonly waiting: number
  readonly failures: number
}

/** `read`: undefined where nothing is traced. */
export function registerTraceMetrics(
  registry: Registry,
  read: () => TraceReading | undefined,
): void {
  for (const [name, help, value] of [
    ['spans_sent', 'Spans that the collector took', 'sent'],
    ['spans_dropped', 'Spans that it refused, or that had no place to wait', 'dropped'],
    ['send_failures', 'Batches of spans that were not taken at an attempt', 'failures'],
  ] as const) {
    counter(registry, {
      ...{ name: `keelson_trace_${name}_total`, help },
      read: single(() => read()?.[value]),
    })
  }
  gauge(registry, {
    ...{ name: 'keelson_trace_spans_waiting', aggregator: 'sum' },
    help: 'Spans that wait to be sent',
    read: single(() => read()?.waiting),
  })
}
