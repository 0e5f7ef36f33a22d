// Adds up the metrics of several processes, each figure by the aggregator that its metric names.

import { AggregatorRegistry, type PrometheusContentType, Registry } from 'prom-client'

/** What one process tells of its metrics: plain data, which can be sent to another process. */
export type MetricFigures = object

/** In the text format of Prometheus. */
export interface RenderedMetrics {
  readonly contentType: string
  readonly text: string
}

/** Those of each process, as `Metrics.figures` answers them. */
export async function aggregateMetrics(
  figures: readonly MetricFigures[],
): Promise<RenderedMetrics> {
  const registry = AggregatorRegistry.aggregate<PrometheusContentType>([...figures])
  return { contentType: Registry.PROMETHEUS_CONTENT_TYPE, text: await registry.metrics() }
}
