// Goal: the figures of requests add up, also where only some of very many are timed, and never go back.
// Method: records of a test, and the page that an operator would see.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import { RequestClock } from '../../src/telemetry/request-clock.ts'
import { durationBounds, RequestMetrics } from '../../src/telemetry/request-metrics.ts'
import { checkedRequestId, checkedTraceparent } from '../../src/telemetry/request-record.ts'
import { record } from './request-records.ts'

function pageOf(metrics: RequestMetrics): () => Promise<Readonly<Record<string, number>>> {
  const registry = new Registry()
  metrics.register(registry)
  return async () => {
    const lines = (await registry.metrics()).split('\n').filter((line) => /^[a-z]/.test(line))
    return Object.fromEntries(
      lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]),
    )
  }
}

const seconds = 'keelson_http_request_duration_seconds'

test('requests are counted by action and status, with their bytes', async () => {
  const metrics = new RequestMetrics()
  metrics.add(record())
  metrics.add(record({ status: 404, bytesOut: 3 }))
  metrics.add(record({ action: { kind: 'put-manifest' }, status: 201, bytesIn: 7, bytesOut: 0 }))
  metrics.add(record({ action: undefined, status: 400 }))
  metrics.add(record({ isForwarded: true, status: 403 }))
  metrics.add(record({ status: 499, aborted: true, bytesOut: 0 }))
  metrics.addFault('INTERNAL')
  const page = await pageOf(metrics)()
  const count = (labels: string): unknown => page[`keelson_http_requests_total{${labels}}`]
  assert.equal(count('action="get-manifest",status="200"'), 1)
  assert.equal(count('action="get-manifest",status="404"'), 1)
  assert.equal(count('action="get-manifest",status="499"'), 1)
  assert.equal(count('action="put-manifest",status="201"'), 1)
  assert.equal(count('action="none",status="400"'), 1)
  assert.equal(count('action="forward-auth",status="403"'), 1)
  assert.equal(page['keelson_http_response_body_bytes_total{action="get-manifest"}'], 13)
  assert.equal(page['keelson_http_request_body_bytes_total{action="put-manifest"}'], 7)
  assert.equal(page['keelson_http_requests_aborted_total{action="get-manifest"}'], 1)
  assert.equal(page['keelson_http_faults_total{code="INTERNAL"}'], 1)
})

test('each duration is in its bucket and in those above', async () => {
  const metrics = new RequestMetrics()
  const times = [0.05, 0.1, 0.2, 40, 70_000]
  for (const durationMs of times) metrics.add(record({ durationMs }))
  const page = await pageOf(metrics)()
  const bucket = (le: string): unknown =>
    page[`${seconds}_bucket{le="${le}",action="get-manifest"}`]
  assert.deepEqual(
    ['0.0001', '0.00025', '0.0005', '0.025', '0.05', '60', '+Inf'].map(bucket),
    [2, 3, 3, 3, 4, 4, 5],
  )
  assert.equal(page[`${seconds}_count{action="get-manifest"}`], 5)
  const sum = page[`${seconds}_sum{action="get-manifest"}`] ?? 0
  assert.ok(Math.abs(sum - 70.04035) < 1e-9)
  assert.equal(durationBounds[0], 0.0001)
  assert.equal(durationBounds.at(-1), 60)
})

test('one that is timed stands for those answered at once before it, and for no other', async () => {
  const metrics = new RequestMetrics()
  const read = pageOf(metrics)
  const untimed = { durationMs: undefined, startMs: undefined }
  for (let i = 0; i < 16; i++) metrics.add(record(untimed))
  // A transfer says nothing of them.
  metrics.add(record({ durationMs: 5000, isAtOnce: false }))
  const before = await read()
  assert.equal(before[`${seconds}_count{action="get-manifest"}`], 1)
  assert.equal(before['keelson_http_requests_total{action="get-manifest",status="200"}'], 17)
  metrics.add(record({ durationMs: 0.01 }))
  const after = await read()
  assert.equal(after[`${seconds}_count{action="get-manifest"}`], 18)
  assert.equal(after[`${seconds}_bucket{le="0.0001",action="get-manifest"}`], 17)
  for (const [name, value] of Object.entries(before)) assert.ok((after[name] ?? 0) >= value, name)
})

test('every request is timed until there are very many', () => {
  const clock = new RequestClock()
  const times = Array.from({ length: 2000 + 17 * 10 }, () => clock.startMs())
  clock.close()
  assert.ok(times.slice(0, 2000).every((time) => time !== undefined))
  const later = times.slice(2000).flatMap((time, at) => (time === undefined ? [] : [at]))
  // Unless a second passed meanwhile, when there is time for all again.
  if (later.length < 100)
    assert.deepEqual(
      later.map((at) => at % 17),
      Array(10).fill(16),
    )
})

test('only well-formed traces and ids are taken', () => {
  const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
  const good = `00-${trace}-00f067aa0ba902b7-01`
  assert.equal(checkedTraceparent(good), good)
  assert.equal(checkedTraceparent(`cc-${trace}-00f067aa0ba902b7-01-what-else`).slice(3, 35), trace)
  for (const bad of [
    '',
    'x',
    `${good}-more`,
    good.toUpperCase(),
    good.replace('00-', 'ff-'),
    `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`,
    `00-${trace}-${'0'.repeat(16)}-01`,
    `${good}\n`,
    `cc-${trace}-00f067aa0ba902b7-01more`,
  ]) {
    assert.equal(checkedTraceparent(bad), '', bad)
  }
  assert.equal(checkedRequestId('a1:B/c+d=e@f.g_h-i'), 'a1:B/c+d=e@f.g_h-i')
  for (const bad of ['', 'two words', 'x'.repeat(129), 'a\nb', '"', 'é', '<b>']) {
    assert.equal(checkedRequestId(bad), '', bad)
  }
})
