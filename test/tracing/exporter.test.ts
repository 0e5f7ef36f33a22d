// Goal: spans are sent in batches, tried again with growing pauses, dropped and counted where that does not
// help, and never more of them wait than there are places. Method: answers and time of the test's.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { CallResult } from '../../src/outbound/contract.ts'
import { type RandomHex, Sampler } from '../../src/tracing/context.ts'
import { Exporter, waitingMax } from '../../src/tracing/exporter.ts'
import { randomHex } from '../../src/tracing/random-hex.ts'
import { spanOf } from '../../src/tracing/span.ts'
import { record } from '../telemetry/request-records.ts'
import { readTraces } from './otlp.ts'

const random: RandomHex = (bytes) => 'ab'.repeat(bytes)
const context = { traceId: random(16), spanId: random(8), parentSpanId: undefined }
const span = spanOf(record(), context, new Set(), Date.UTC(2030, 0, 1))

function answer(status: number, body = '{}', headers = {}): CallResult {
  return { kind: 'answer', status, headers, body: Buffer.from(body) }
}

const absent: CallResult = { kind: 'failed', problem: 'transport', detail: 'ECONNREFUSED' }

/** An exporter whose timers run when the test says so. */
class Scene {
  readonly sent: number[] = []
  readonly pauses: number[] = []
  readonly problems: (string | undefined)[] = []
  readonly exporter: Exporter
  readonly #timers = new Map<number, () => void>()
  #lastTimer = 0

  constructor(answers: (call: number) => CallResult | Promise<CallResult>) {
    this.exporter = new Exporter({
      send: async (body) => {
        this.sent.push(readTraces(body).spans.length)
        return answers(this.sent.length)
      },
      resource: { attributes: [] },
      version: '1',
      random: () => 1,
      after: (delayMs, action) => {
        this.#lastTimer += 1
        const timer = this.#lastTimer
        this.pauses.push(delayMs)
        this.#timers.set(timer, action)
        return () => this.#timers.delete(timer)
      },
      onChange: (problem) => this.problems.push(problem),
    })
  }

  add(count: number): void {
    for (let index = 0; index < count; index += 1) this.exporter.add(span)
  }

  /** Lets all timers run, and what follows from it. */
  async pass(): Promise<void> {
    const due = [...this.#timers.values()]
    this.#timers.clear()
    for (const action of due) action()
    for (let turn = 0; turn < 50; turn += 1) await Promise.resolve()
  }
}

describe('an exporter', () => {
  test('gathers for a second, or until a batch is full', async () => {
    const scene = new Scene(() => answer(200))
    scene.add(3)
    assert.deepEqual([scene.sent, scene.pauses], [[], [1000]])
    await scene.pass()
    assert.deepEqual(scene.sent, [3])
    scene.add(512)
    await scene.pass()
    assert.deepEqual(scene.sent, [3, 512])
    assert.deepEqual(scene.exporter.figures, { sent: 515, dropped: 0, waiting: 0, failures: 0 })
  })

  test('tries again with growing pauses, and then gives up', async () => {
    const scene = new Scene(() => absent)
    scene.add(2)
    for (let turn = 0; turn < 10; turn += 1) await scene.pass()
    assert.deepEqual(scene.sent, [2, 2, 2, 2, 2, 2])
    assert.deepEqual(scene.pauses, [1000, 500, 1000, 2000, 4000, 8000])
    assert.deepEqual(scene.exporter.figures, { sent: 0, dropped: 2, waiting: 0, failures: 6 })
    assert.deepEqual(scene.problems, ['ECONNREFUSED'])
  })

  test('waits as long as it is told, within reason', async () => {
    const scene = new Scene((call) =>
      call === 1
        ? answer(429, '', { 'retry-after': '7' })
        : answer(503, '', { 'retry-after': '9999' }),
    )
    scene.add(1)
    for (let turn = 0; turn < 3; turn += 1) await scene.pass()
    assert.deepEqual(scene.pauses, [1000, 7000, 30_000, 30_000])
  })

  test('does not send again what is refused', async () => {
    for (const status of [400, 401, 404, 413, 500, 301]) {
      const scene = new Scene(() => answer(status))
      scene.add(4)
      for (let turn = 0; turn < 3; turn += 1) await scene.pass()
      assert.deepEqual(scene.sent, [4], `${status}`)
      assert.deepEqual(scene.exporter.figures, { sent: 0, dropped: 4, waiting: 0, failures: 1 })
    }
  })

  test('counts what a collector takes in part', async () => {
    for (const [body, rejected] of [
      ['{"partialSuccess":{"rejectedSpans":"2","errorMessage":"no"}}', 2],
      ['{"partialSuccess":{"rejectedSpans":99}}', 5],
      ['{"partialSuccess":{}}', 0],
      ['{"partialSuccess":null}', 0],
      ['not JSON', 0],
      ['', 0],
    ] as const) {
      const scene = new Scene(() => answer(200, body))
      scene.add(5)
      await scene.pass()
      const { sent, dropped } = scene.exporter.figures
      assert.deepEqual([sent, dropped], [5 - rejected, rejected], body)
    }
  })

  test('keeps as many as there are places while it waits, and the first of them', async () => {
    const scene = new Scene(() => new Promise(() => {}))
    scene.add(512)
    await scene.pass()
    scene.add(waitingMax + 7)
    const { waiting, dropped } = scene.exporter.figures
    assert.deepEqual([waiting, dropped, scene.sent], [waitingMax, 7, [512]])
  })

  test('sends what waits when it ends, once', async () => {
    const scene = new Scene(() => answer(200))
    scene.add(700)
    await scene.exporter.close()
    assert.equal(scene.exporter.figures.sent, 700)
    scene.add(1)
    assert.equal(scene.exporter.figures.dropped, 1)
    const away = new Scene(() => absent)
    away.add(700)
    await away.exporter.close()
    assert.equal(away.exporter.figures.dropped, 700)
    assert.ok(away.sent.length <= 2)
  })

  test('ends in the middle of a pause', async () => {
    const scene = new Scene((call) => (call === 1 ? absent : answer(200)))
    scene.add(1)
    await scene.pass()
    assert.deepEqual(scene.sent, [1])
    await scene.exporter.close()
    assert.deepEqual([scene.sent, scene.exporter.figures.sent], [[1, 1], 1])
  })
})

describe('whether a request is traced', () => {
  const parent = `00-${'1'.repeat(32)}-${'2'.repeat(16)}`

  test('is what its caller says, by the flag for it alone', () => {
    const sampler = new Sampler(1, random)
    const sampled = { traceId: '1'.repeat(32), parentSpanId: '2'.repeat(16), spanId: random(8) }
    for (const flags of ['01', '03', 'ff']) {
      assert.deepEqual(sampler.contextOf(record({ traceparent: `${parent}-${flags}` })), sampled)
    }
    for (const flags of ['00', '02', 'fe']) {
      assert.equal(sampler.contextOf(record({ traceparent: `${parent}-${flags}` })), undefined)
    }
  })

  test('is one in so many of the others', () => {
    const sampler = new Sampler(3, random)
    const found = Array.from({ length: 7 }, () => sampler.contextOf(record()) !== undefined)
    assert.deepEqual(found, [false, false, true, false, false, true, false])
    assert.deepEqual(new Sampler(1, random).contextOf(record()), {
      ...{ traceId: random(16), spanId: random(8), parentSpanId: undefined },
    })
  })
})

describe('a span', () => {
  const read = (parts: Parameters<typeof record>[0]) => {
    const made = spanOf(record(parts), context, new Set(), Date.UTC(2030, 0, 1))
    const resource = { attributes: [] }
    const scopeSpans = [{ scope: { name: 'keelson' }, spans: [made] }]
    return readTraces(JSON.stringify({ resourceSpans: [{ resource, scopeSpans }] })).spans[0]!
  }

  test('of a fault is an error, that of a refusal is not', () => {
    const fault = read({ status: 507 })
    assert.deepEqual([fault.statusCode, fault.attributes['error.type']], [2, '507'])
    for (const status of [200, 401, 404, 429, 499]) assert.equal(read({ status }).statusCode, 0)
  })

  test('has no name that a client made up, and no endless attribute', () => {
    const odd = read({ method: 'BREW', action: undefined, path: `/${'x'.repeat(9000)}` })
    assert.equal(odd.name, 'HTTP')
    assert.equal(odd.attributes['http.request.method'], '_OTHER')
    assert.equal(odd.attributes['http.request.method_original'], 'BREW')
    assert.equal(String(odd.attributes['url.path']).length, 1024)
    assert.equal(odd.attributes['http.route'], undefined)
  })

  test('lasts as long as the request did', () => {
    const { startNano, endNano } = read({ durationMs: 12.345 })
    assert.equal(endNano, BigInt(Date.UTC(2030, 0, 1)) * 1_000_000n)
    assert.equal(endNano - startNano, 12_345_000n)
  })
})

test('random ids are of their length, and none comes again', () => {
  const next = randomHex()
  const ids = Array.from({ length: 2000 }, (_, index) => next(index % 2 === 0 ? 16 : 8))
  for (const [index, id] of ids.entries()) {
    assert.match(id, index % 2 === 0 ? /^[\da-f]{32}$/ : /^[\da-f]{16}$/)
  }
  assert.equal(new Set(ids).size, ids.length)
})
