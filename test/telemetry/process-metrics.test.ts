// Goal: several processes have one page of metrics, whose sums never go back.
// Method: pages of registries made here, with processes that end and begin anew.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { type ProcessFigures, ProcessMetrics } from '../../src/telemetry/process-metrics.ts'

/** What one process tells, having counted `count`. */
async function told(count: number): Promise<object> {
  const registers = [new Registry()]
  const help = 'for the test'
  new Counter({ name: 'pushes_total', help, labelNames: ['to'], registers }).inc({ to: 'a' }, count)
  new Gauge({ name: 'open', help, registers }).set(count)
  new Gauge({ name: 'isGood', help, registers, aggregator: 'min' }).set(count)
  const took = new Histogram({ name: 'took_seconds', help, buckets: [1, 10], registers })
  for (let each = 0; each < count; each += 1) took.observe(each)
  // As it comes from another process.
  return JSON.parse(JSON.stringify(await registers[0]?.getMetricsAsJSON())) as object
}

function create(): { readonly metrics: ProcessMetrics; readonly processes: ProcessFigures[] } {
  const processes = [1, 2].map((index) => ({ index, isUp: true, restarts: 0 }))
  return { processes, metrics: new ProcessMetrics(() => processes) }
}

async function figureOf(metrics: ProcessMetrics, name: string): Promise<number | undefined> {
  const { text } = await metrics.render()
  const line = text.split('\n').find((each) => each.startsWith(`${name} `))
  return line === undefined ? undefined : Number(line.slice(name.length))
}

test('each metric adds up as it says itself', async () => {
  const { metrics } = create()
  metrics.note(1, await told(3))
  metrics.note(2, await told(5))
  assert.equal(await figureOf(metrics, 'pushes_total{to="a"}'), 8)
  assert.equal(await figureOf(metrics, 'open'), 8)
  assert.equal(await figureOf(metrics, 'isGood'), 3)
  assert.equal(await figureOf(metrics, 'took_seconds_count'), 8)
  assert.equal(await figureOf(metrics, 'took_seconds_bucket{le="1"}'), 4)
})

test('the processes are told beside it', async () => {
  const { metrics, processes } = create()
  processes[1] = { index: 2, isUp: false, restarts: 4 }
  assert.equal(await figureOf(metrics, 'keelson_processes'), 2)
  assert.equal(await figureOf(metrics, 'keelson_process_up{process="1"}'), 1)
  assert.equal(await figureOf(metrics, 'keelson_process_up{process="2"}'), 0)
  assert.equal(await figureOf(metrics, 'keelson_process_restarts_total{process="2"}'), 4)
})

test('what an ended process had counted stays, what it held does not', async () => {
  const { metrics } = create()
  metrics.note(1, await told(3))
  metrics.note(2, await told(5))
  await Promise.all([metrics.end(1), metrics.end(2)])
  assert.equal(await figureOf(metrics, 'pushes_total{to="a"}'), 8)
  assert.equal(await figureOf(metrics, 'took_seconds_count'), 8)
  assert.equal(await figureOf(metrics, 'open'), undefined)
  metrics.note(1, await told(1))
  assert.equal(await figureOf(metrics, 'pushes_total{to="a"}'), 9)
  assert.equal(await figureOf(metrics, 'open'), 1)
  await metrics.end(1)
  await metrics.end(1)
  assert.equal(await figureOf(metrics, 'pushes_total{to="a"}'), 9)
})
