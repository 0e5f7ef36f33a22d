// Goal: a figure that cannot be read costs itself alone, and several processes make one figure as each
// metric says. Method: registries with readings of a test, and their sum.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import { aggregateMetrics } from '../../src/telemetry/aggregate.ts'
import { registerHistogram } from '../../src/telemetry/read-histogram.ts'
import {
  type Aggregator,
  counter,
  gauge,
  readingFaults,
  single,
} from '../../src/telemetry/readings.ts'

function lines(text: string): readonly string[] {
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
}

test('a reading that throws or hangs is left out and counted, and the others are told', async () => {
  const registry = new Registry()
  const aggregator = 'sum'
  const name = (last: string): string => `t_${last}`
  const bad = (): never => {
    throw new Error('the store is gone')
  }
  gauge(registry, { name: name('bad'), help: 'x', aggregator, read: bad })
  counter(registry, { name: name('bad_total'), help: 'x', read: () => Promise.reject(bad) })
  const hangs = (): Promise<never> => new Promise(() => {})
  gauge(registry, { name: name('slow'), help: 'x', labelNames: ['l'], aggregator, read: hangs })
  gauge(registry, { name: name('good'), help: 'x', aggregator, read: single(() => 7) })
  const before = readingFaults.count
  assert.deepEqual(lines(await registry.metrics()), ['t_good 7'])
  assert.equal(readingFaults.count - before, 3)
})

test('what is not there at the moment is no zero', async () => {
  const registry = new Registry()
  let value: number | undefined = 3
  gauge(registry, { name: 'g', help: 'x', aggregator: 'max', read: single(() => value) })
  counter(registry, { name: 'c_total', help: 'x', read: single(() => value) })
  assert.deepEqual(lines(await registry.metrics()), ['g 3', 'c_total 3'])
  value = undefined
  assert.deepEqual(lines(await registry.metrics()), [])
})

test('figures of several processes add up as each metric says', async () => {
  const figuresOf = (value: number): Promise<object> => {
    const registry = new Registry()
    for (const aggregator of ['sum', 'min', 'max', 'average', 'first'] as const) {
      const read = single(() => value)
      const name: Aggregator = aggregator
      gauge(registry, { name, help: 'x', aggregator, read })
    }
    counter(registry, {
      ...{ name: 'by_label_total', help: 'x', labelNames: ['kind'] },
      read: () => [[{ kind: value > 1 ? 'big' : 'small' }, value]],
    })
    return registry.getMetricsAsJSON()
  }
  // As it arrives from another process.
  const sent = JSON.parse(JSON.stringify([await figuresOf(4), await figuresOf(1)])) as object[]
  const { text, contentType } = await aggregateMetrics(sent)
  assert.match(contentType, /^text\/plain; version=0\.0\.4/)
  assert.deepEqual(lines(text), [
    ...['sum 5', 'min 1', 'max 4', 'average 2.5', 'first 4'],
    ...['by_label_total{kind="big"} 4', 'by_label_total{kind="small"} 1'],
  ])
})

test('a histogram that others count adds up as well', async () => {
  const figuresOf = (counts: readonly number[]): Promise<object> => {
    const registry = new Registry()
    registerHistogram(registry, {
      ...{ name: 'h_seconds', help: 'x', labelName: 'action', bounds: [0.1, 1] },
      read: () => [{ label: 'get-blob', counts, sum: 0.5 }],
    })
    return registry.getMetricsAsJSON()
  }
  const { text } = await aggregateMetrics([await figuresOf([1, 2, 0]), await figuresOf([1, 0, 4])])
  assert.deepEqual(lines(text), [
    'h_seconds_bucket{le="0.1",action="get-blob"} 2',
    'h_seconds_bucket{le="1",action="get-blob"} 4',
    'h_seconds_bucket{le="+Inf",action="get-blob"} 8',
    'h_seconds_sum{action="get-blob"} 1',
    'h_seconds_count{action="get-blob"} 8',
  ])
})
