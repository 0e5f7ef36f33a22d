// A histogram that others count: its buckets are read when somebody asks.

import { Histogram, type Registry } from 'prom-client'

/** How often each bucket was met, not cumulated, and one more for what is beyond the last bound. */
export interface HistogramReading {
  /** Value of the label. */
  readonly label: string
  readonly counts: ArrayLike<number>
  readonly sum: number
}

interface ReadHistogramOptions {
  readonly name: string
  readonly help: string
  readonly labelName: string
  readonly bounds: readonly number[]
  readonly read: () => readonly HistogramReading[]
}

interface Bucket {
  readonly metricName: string
  readonly labels: Readonly<Record<string, string | number>>
  /** Those that the library adds to `labels`, where somebody asks for data rather than text. */
  readonly sharedLabels: Readonly<Record<string, never>>
  readonly value: number
}

interface Rendered {
  readonly name: string
  readonly help: string
  readonly type: 'histogram'
  readonly aggregator: 'sum'
  values: readonly Bucket[]
}

class ReadHistogram extends Histogram<string> {
  readonly #options: ReadHistogramOptions

  constructor(options: ReadHistogramOptions) {
    const { name, help, labelName, bounds } = options
    super({ name, help, labelNames: [labelName], buckets: [...bounds], registers: [] })
    this.#options = options
  }

  /** What the library asks for text, and what its own `get` asks. */
  async getForPromString(): Promise<Rendered> {
    const { name, help, read } = this.#options
    const values = read().flatMap((reading) => this.#values(reading))
    return { name, help, type: 'histogram', aggregator: 'sum', values }
  }

  #values({ label, counts, sum }: HistogramReading): readonly Bucket[] {
    const { name, labelName, bounds } = this.#options
    const labels = { [labelName]: label }
    const sharedLabels = {}
    let total = 0
    const buckets = Array.from(counts, (count, index) => {
      total += count
      const le = bounds[index] ?? '+Inf'
      return { metricName: `${name}_bucket`, labels: { le, ...labels }, sharedLabels, value: total }
    })
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, sharedLabels, value: sum },
      { metricName: `${name}_count`, labels, sharedLabels, value: total },
    ]
  }
}

export function registerHistogram(registry: Registry, options: ReadHistogramOptions): void {
  registry.registerMetric(new ReadHistogram(options))
}
