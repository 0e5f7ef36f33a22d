// The metrics endpoint's content: figures that others count, read when somebody asks.

import { collectDefaultMetrics, Registry } from 'prom-client'
import type { MetricFigures, RenderedMetrics } from './aggregate.ts'
import { type EdgeSources, registerEdgeMetrics } from './edge-metrics.ts'
import { type LoginSources, registerLoginMetrics } from './login-metrics.ts'
import { counter, gauge, type MetricPart, readingFaults, single } from './readings.ts'
import { registerUseMetrics, type UseSources } from './use-metrics.ts'

export type { PolicyCounts } from './login-metrics.ts'

export interface MetricSources extends EdgeSources, LoginSources, UseSources {
  readonly gauges: () => Readonly<Record<GaugeName, number>>
  /** Others that have metrics of their own. */
  readonly parts?: readonly MetricPart[]
}

const gauges = {
  requests_in_flight: 'Requests begun and not yet answered',
  uploads_open: 'Upload sessions that this process writes at the moment',
} as const

export type GaugeName = keyof typeof gauges

// Gauges of the library with the names of counters; those by type tell more.
const misnamed = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
] as const

export interface Metrics {
  /** In the text format of Prometheus. */
  render(): Promise<RenderedMetrics>
  /** For `aggregateMetrics`, in this process or another. */
  figures(): Promise<MetricFigures>
}

/** Names: https://prometheus.io/docs/practices/naming/ – units in the name, counters end in `_total`. */
export function createMetrics(sources: MetricSources): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  for (const name of misnamed) registry.removeSingleMetric(name)
  registerEdgeMetrics(registry, sources)
  registerLoginMetrics(registry, sources)
  registerUseMetrics(registry, sources)
  for (const [name, help] of Object.entries(gauges) as [GaugeName, string][]) {
    gauge(registry, {
      name: `keelson_${name}`,
      help,
      aggregator: 'sum',
      read: single(() => sources.gauges()[name]),
    })
  }
  for (const part of sources.parts ?? []) part.register(registry)
  counter(registry, {
    name: 'keelson_metric_read_errors_total',
    help: 'Figures that could not be read for this page, and were left out',
    read: single(() => readingFaults.count),
  })
  return {
    render: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
    figures: () => registry.getMetricsAsJSON(),
  }
}
