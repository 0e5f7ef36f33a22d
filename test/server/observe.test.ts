// Goal: however a reply ends, its request is told of once, with what was really sent. Method: a transport
// of the test that reads a reply's source as real ones do, and may stop anywhere.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BodySink, RequestBody } from '../../src/http/body.ts'
import { HeaderBlock } from '../../src/http/header-block.ts'
import type { ByteSource, Reply } from '../../src/http/reply.ts'
import { OciError } from '../../src/oci/error.ts'
import { Observer, type RequestWatcher } from '../../src/server/observe.ts'
import { ObservedRequest } from '../../src/server/observed-request.ts'
import type { Exchange } from '../../src/server/transport/exchange.ts'
import { StorageError } from '../../src/storage/error.ts'
import { AccessCounts } from '../../src/telemetry/access-log.ts'
import type { Logger } from '../../src/telemetry/log.ts'
import { RequestMetrics } from '../../src/telemetry/request-metrics.ts'
import type { RequestRecord } from '../../src/telemetry/request-record.ts'

const length = 1000
const headers = new HeaderBlock([])

interface Scene {
  readonly request: ObservedRequest
  readonly told: readonly RequestRecord[]
  /** As if the client had gone. */
  leave(): void
}

function scene(body?: RequestBody): Scene {
  const told: RequestRecord[] = []
  const watcher: RequestWatcher = { picks: () => true, finished: (record) => told.push(record) }
  const observer = new Observer({
    config: { access: 'none', accessSample: 1 },
    ...{ log: {} as Logger, metrics: new RequestMetrics(), accessCounts: new AccessCounts() },
    ...{ trusts: () => false, clientAddress: ({ remoteAddress }) => remoteAddress, watcher },
    randomUuid: () => 'the id 1234',
  })
  let aborted = false
  const exchange = {
    ...{ method: 'GET', path: '/v2/', query: '', isSecure: false, remoteAddress: '192.0.2.1' },
    ...{ body: body ?? { length: 0 }, header: () => '' },
    get aborted(): boolean {
      return aborted
    },
  } as unknown as Exchange
  return {
    request: new ObservedRequest(exchange, observer),
    told,
    leave: () => {
      aborted = true
    },
  }
}

/** Fails where it is asked for anything from `failsAt` on. */
function sourceOf(
  failsAt = Number.POSITIVE_INFINITY,
  error: unknown = new Error('gone'),
): ByteSource {
  const give = (position: number, target: Uint8Array): number => {
    if (position >= failsAt) throw error
    return Math.min(target.length, length - position)
  }
  return { length, readNow: give, read: async (at, target) => give(at, target), close: () => {} }
}

function streamed({ request }: Scene, source: ByteSource): ByteSource {
  const reply = request.answered({ kind: 'stream', status: 200, headers, source })
  assert.ok(reply.kind === 'stream')
  request.sent()
  return reply.source
}

const part = new Uint8Array(300)

test('a reply that is sent at once is told of at once, and once', () => {
  const { request, told } = scene()
  const reply: Reply = { kind: 'whole', status: 200, headers, body: part }
  assert.equal(request.answered(reply), reply)
  assert.equal(told.length, 0)
  request.sent()
  request.sent()
  request.lost()
  assert.equal(told.length, 1)
  const { status, bytesOut, aborted, isAtOnce, requestId } = told[0]!
  assert.deepEqual([status, bytesOut, aborted, isAtOnce], [200, 300, false, true])
  assert.equal(requestId, 'the id 0000')
})

test('a stream is told of when it is closed, however often that is', async () => {
  const it = scene()
  const source = streamed(it, sourceOf())
  for (let at = 0; at < length; at += 300) await source.read(at, part)
  assert.equal(it.told.length, 0)
  source.close()
  source.close()
  it.request.sent()
  assert.equal(it.told.length, 1)
  const { status, bytesOut, aborted, isAtOnce } = it.told[0]!
  assert.deepEqual([status, bytesOut, aborted, isAtOnce], [200, length, false, false])
})

test('of a stream whose client left, what the connection had surely taken is told', () => {
  const it = scene()
  const source = streamed(it, sourceOf())
  source.readNow(0, part)
  source.readNow(300, part)
  it.leave()
  source.close()
  const { status, bytesOut, aborted } = it.told[0]!
  assert.deepEqual([status, bytesOut, aborted], [200, 300, true])
})

test('a client that left with the last bytes still to be taken did not get all', () => {
  const it = scene()
  const source = streamed(it, sourceOf())
  for (let at = 0; at < length; at += 300) source.readNow(at, part)
  it.leave()
  source.close()
  const { bytesOut, aborted } = it.told[0]!
  assert.deepEqual([bytesOut, aborted], [900, true])
})

test('a fault before the first byte has the status of its answer, one behind it cuts the reply', () => {
  for (const [error, status] of [
    [new Error('unheard of'), 500],
    [new StorageError('unavailable', 'no disk'), 503],
    [new OciError('BLOB_UNKNOWN'), 404],
  ] as const) {
    const it = scene()
    const source = streamed(it, sourceOf(0, error))
    assert.throws(() => source.readNow(0, part), error)
    source.close()
    const told = it.told[0]!
    assert.deepEqual([told.status, told.bytesOut, told.aborted], [status, 0, false])
  }
  const it = scene()
  const source = streamed(it, sourceOf(300))
  source.readNow(0, part)
  assert.throws(() => source.readNow(300, part))
  source.close()
  const told = it.told[0]!
  assert.deepEqual([told.status, told.aborted], [200, true])
})

test('a client that left before its reply has none', () => {
  const it = scene()
  it.leave()
  it.request.answered({ kind: 'whole', status: 201, headers, body: part })
  it.request.sent()
  const { status, bytesOut, aborted } = it.told[0]!
  assert.deepEqual([status, bytesOut, aborted], [499, 0, true])
})

test('a reply that could not be handed over is told of', () => {
  const it = scene()
  it.request.answered({ kind: 'whole', status: 200, headers, body: part })
  it.request.lost()
  it.request.lost()
  assert.equal(it.told.length, 1)
  assert.equal(it.told[0]!.aborted, true)
})

test('of a body what was taken counts, also when the client leaves within it', () => {
  let given: BodySink | undefined
  const body = {
    length: 500,
    consume: (sink: BodySink) => {
      given = sink
    },
    pause: () => {},
    resume: () => {},
  }
  const it = scene(body)
  const heard: string[] = []
  it.request.body.consume({
    onChunk: (chunk, last) => heard.push(`${chunk.length} ${last}`),
    onAbort: () => heard.push('gone'),
  })
  given?.onChunk(new Uint8Array(200), false)
  given?.onAbort()
  it.leave()
  it.request.answered({ kind: 'whole', status: 202, headers, body: undefined })
  it.request.sent()
  assert.equal(it.told[0]!.bytesIn, 200)
  assert.deepEqual(heard, ['200 false', 'gone'])
})
