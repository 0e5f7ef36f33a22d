// Goal: requests of a real server become spans of their caller's trace at a real receiver, whatever that one
// does, and clients feel none of it. Method: a product with [tracing], and a collector of the test's.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { Product, poll } from '../http/product.ts'
import { assertStatus } from '../support/registry-client.ts'
import { openRudeService, type RudeService } from '../support/rude-service.ts'
import { type ReceivedSpan, readTraces } from './otlp.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const parentId = '00f067aa0ba902b7'
const accept = { status: 200, headers: { 'content-type': 'application/json' }, body: '{}' }

function parent(flags: string, trace = traceId): { readonly traceparent: string } {
  return { traceparent: `00-${trace}-${parentId}-${flags}` }
}

function spansOf(collector: RudeService): readonly ReceivedSpan[] {
  return collector.requests.flatMap(({ body }) => readTraces(body).spans)
}

function traced(collector: RudeService, more = ''): string {
  return `[tracing]\nendpoint = "${collector.url}/v1/traces"\nsample = 1000000\n${more}`
}

function figure(text: string, name: string): number {
  return Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1])
}

describe('a registry that is traced', () => {
  const product = new Product()
  let collector: RudeService
  before(async () => {
    collector = await openRudeService(accept)
    collector.behave(accept)
    await product.start({ toml: traced(collector, 'bearer_token = "tell-nobody"\n') })
  })
  after(async () => {
    await product.stop()
    await collector.close()
  })

  test('sends a span of each request whose caller samples it, as a part of its trace', async () => {
    const blob = Buffer.from('traced bytes')
    const digest = await product.client.pushBlob('team/app', blob)
    const beganMs = Date.now()
    const pulled = await product.client.get(`/v2/team/app/blobs/${digest}?x=secret`, {
      ...parent('01'),
      'user-agent': 'crane/1',
    })
    assertStatus(pulled, 200)
    const [span] = await poll('the span', async () => {
      const spans = spansOf(collector)
      return spans.length > 0 ? spans : undefined
    })
    assert.ok(span)
    const { startNano, endNano, spanId, ...told } = span
    assert.notEqual(spanId, parentId)
    assert.ok(startNano <= endNano && endNano - startNano < 60_000_000_000n)
    assert.ok(Number(endNano / 1_000_000n) >= beganMs - 1000)
    const { 'keelson.request_id': requestId, ...attributes } = told.attributes
    assert.match(String(requestId), /^[\da-f-]{36}$/)
    assert.deepEqual(
      { ...told, attributes },
      {
        ...{ traceId, parentSpanId: parentId, kind: 2, statusCode: 0 },
        name: 'GET /v2/{name}/blobs/{digest}',
        attributes: {
          'http.request.method': 'GET',
          'http.route': '/v2/{name}/blobs/{digest}',
          'http.response.status_code': 200,
          'http.request.body.size': 0,
          'http.response.body.size': blob.length,
          'url.scheme': 'http',
          'url.path': `/v2/team/app/blobs/${digest}`,
          'client.address': '127.0.0.1',
          'user_agent.original': 'crane/1',
          'keelson.action': 'get-blob',
          'keelson.repository': 'team/app',
          'keelson.digest': digest,
          'keelson.auth_method': 'anonymous',
        },
      },
    )
    const [request] = collector.requests
    assert.equal(request?.target, '/v1/traces')
    assert.equal(request?.method, 'POST')
    const headers = new Map(request?.headers)
    assert.equal(headers.get('content-type'), 'application/json')
    assert.equal(headers.get('authorization'), 'Bearer tell-nobody')
    const { resource } = readTraces(request?.body ?? '')
    assert.equal(resource['service.name'], 'keelson')
    const version = JSON.parse(readFileSync('package.json', 'utf8')).version as string
    assert.equal(resource['service.version'], version)
  })

  test('traces nothing that its caller does not want traced, nor what has no valid parent', async () => {
    const before = spansOf(collector).length
    for (const headers of [
      parent('00'),
      parent('01', '0'.repeat(32)),
      { traceparent: 'ff-x' },
      {},
    ]) {
      assertStatus(await product.client.get('/v2/', headers), 200)
    }
    const marked = 'a'.repeat(32)
    assertStatus(await product.client.get('/v2/none/tags/list', parent('03', marked)), 404)
    const spans = await poll('the last span', async () => {
      const all = spansOf(collector).slice(before)
      return all.some((span) => span.traceId === marked) ? all : undefined
    })
    assert.deepEqual(
      spans.map(({ name }) => name),
      ['GET /v2/{name}/tags/list'],
    )
    // That nothing is there is no fault.
    assert.equal(spans[0]?.statusCode, 0)
    assert.equal(spans[0]?.attributes['error.type'], undefined)
  })

  test('counts what was sent', async () => {
    const { body } = await product.admin('/metrics')
    assert.equal(figure(body, 'keelson_trace_spans_sent_total'), spansOf(collector).length)
    assert.equal(figure(body, 'keelson_trace_spans_dropped_total'), 0)
    assert.ok(!product.server.log.join('\n').includes('tell-nobody'))
  })
})

describe('a collector that is away', () => {
  test('gets what waits when it is back, and is told of once in the log', async () => {
    const collector = await openRudeService(accept)
    after(() => collector.close())
    collector.behave({ status: 503 })
    const product = new Product()
    await product.start({ toml: traced(collector) })
    assertStatus(await product.client.get('/v2/', parent('01')), 200)
    await poll('two attempts', async () => collector.requests.length >= 2 || undefined)
    collector.behave(accept)
    const count = collector.requests.length
    const bodies = await poll('another attempt', async () => {
      const later = collector.requests.slice(count)
      return later.length > 0 ? later : undefined
    })
    assert.equal(readTraces(bodies[0]?.body ?? '').spans[0]?.traceId, traceId)
    await poll(
      'the line of the log',
      async () =>
        product.server.log.some((line) => line.includes('traces are taken again')) || undefined,
    )
    const warned = product.server.log.filter((line) => line.includes('traces cannot be sent'))
    assert.equal(warned.length, 1)
    const { body } = await product.admin('/metrics')
    assert.equal(figure(body, 'keelson_trace_spans_sent_total'), 1)
    assert.ok(figure(body, 'keelson_trace_send_failures_total') >= 2)
    product.client.close()
    await product.server.stop()
  })

  for (const [what, behave] of [
    ['never answers', (collector: RudeService) => collector.behave('never answers')],
    ['is gone', (collector: RudeService) => void collector.stop()],
    ['resets connections', (collector: RudeService) => collector.behave('resets the connection')],
  ] as const) {
    test(`and ${what} keeps nobody waiting, not even the end`, async () => {
      const collector = await openRudeService(accept)
      after(() => collector.close())
      const product = new Product()
      await product.start({ toml: traced(collector, 'timeout = "1m"\n') })
      behave(collector)
      for (let index = 0; index < 20; index += 1) {
        assertStatus(await product.client.get('/v2/', parent('01')), 200)
      }
      product.client.close()
      // It would be killed after 15 s, which shows as another end.
      assert.deepEqual(await product.server.stop(), { code: 0, signal: null })
    })
  }
})

describe('what the log does not name', () => {
  test('is not in spans', async () => {
    const collector = await openRudeService(accept)
    after(() => collector.close())
    collector.behave(accept)
    const product = new Product()
    const mask = '[log]\nmask = ["address", "repository", "reference", "user_agent"]\n'
    await product.start({ toml: `${traced(collector)}${mask}` })
    const headers = { ...parent('01'), 'user-agent': 'somebody' }
    assertStatus(await product.client.get('/v2/hidden/name/manifests/secret', headers), 404)
    await product.stop()
    const [request] = collector.requests
    assert.ok(request)
    for (const text of ['hidden', 'secret', '127.0.0.1', 'somebody']) {
      assert.ok(!request.body.includes(text), text)
    }
    assert.equal(readTraces(request.body).spans[0]?.attributes['keelson.action'], 'get-manifest')
  })
})
