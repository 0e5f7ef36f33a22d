// Metrics whose figures are kept elsewhere: they are read when somebody asks.

import { Counter, Gauge, type Registry } from 'prom-client'

export type Sample = readonly [labels: Readonly<Record<string, string>>, value: number]

/** What several processes make of one figure, where each tells its own. */
export type Aggregator = 'sum' | 'min' | 'max' | 'average' | 'first'

/** `labelNames` default: none. A figure that cannot be read is left out and counted. */
export interface Reading {
  readonly name: string
  readonly help: string
  readonly labelNames?: readonly string[]
  readonly read: () => readonly Sample[] | Promise<readonly Sample[]>
}

/** Default `sum`. */
export interface CounterReading extends Reading {
  readonly aggregator?: Aggregator
}

/** There is no default: only its meaning tells what its values make together. */
export interface GaugeReading extends Reading {
  readonly aggregator: Aggregator
}

/** Something that has metrics of its own. */
export interface MetricPart {
  register(registry: Registry): void
}

// A store that hangs must not hide the figures that would tell of it.
const readTimeMaxMs = 2_000

/** Readings that failed or hung, since start; for a metric of their own. */
export const readingFaults: { count: number } = { count: 0 }

export function counter(registry: Registry, reading: CounterReading): void {
  const { name, help, labelNames = [], aggregator = 'sum' } = reading
  new Counter({
    ...{ name, help, labelNames: [...labelNames], registers: [registry], aggregator },
    async collect() {
      const samples = await readWithin(reading)
      this.reset()
      if (samples.length === 0 && labelNames.length === 0) this.remove()
      for (const [labels, value] of samples) this.inc(labels, value)
    },
  })
}

export function gauge(registry: Registry, reading: GaugeReading): void {
  const { name, help, labelNames = [], aggregator } = reading
  new Gauge({
    ...{ name, help, labelNames: [...labelNames], registers: [registry], aggregator },
    async collect() {
      const samples = await readWithin(reading)
      this.reset()
      // Without labels a reset leaves a zero.
      if (samples.length === 0 && labelNames.length === 0) this.remove()
      for (const [labels, value] of samples) this.set(labels, value)
    },
  })
}

/** One figure without labels; undefined where there is none at the moment. */
export function single(read: () => number | undefined): () => readonly Sample[] {
  return () => {
    const value = read()
    return value === undefined ? [] : [[{}, value]]
  }
}

async function readWithin({ read }: Reading): Promise<readonly Sample[]> {
  try {
    const samples = read()
    return samples instanceof Promise ? await within(samples) : samples
  } catch {
    readingFaults.count += 1
    return []
  }
}

function within<T>(value: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('it takes too long')), readTimeMaxMs)
    value.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
