// Transport contract: clients that move too little are cut, in every phase.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Exchange, PaceLimits } from '../../src/server/transport/exchange.ts'
import { kernelBytesMax } from '../support/kernel-buffers.ts'
import { PatternSource } from '../support/pattern-source.ts'
import type { RawConnection } from '../support/raw-http.ts'
import { until } from '../support/until.ts'
import {
  amplePace,
  collector,
  endsInTime,
  later,
  plainHeaders,
  requestHead,
  silenceMaxMs,
  untilInOwnTime,
  type Way,
  whole,
  withClient,
  withTransport,
} from './transport-scene.ts'

const mebibyte = 1024 * 1024

export function paceContract(way: Way): void {
  describeSilence(way)
  describeSlowBodies(way)
  describeSlowReaders(way)
  describeUnreadReplies(way)
}

export const paced = (limits: Partial<PaceLimits>): { readonly pace: PaceLimits } => ({
  pace: { ...amplePace, ...limits },
})

/** Writes again and again until the test's end or the connection's. */
function drip(client: RawConnection, bytes: string | Uint8Array, everyMs: number): () => void {
  const timer = setInterval(() => {
    if (client.isOver) clearInterval(timer)
    else client.write(bytes)
  }, everyMs)
  return () => clearInterval(timer)
}

/** TLS alone: what may go wrong before there is a request. */
export function handshakePaceContract(way: Way): void {
  const ok = (exchange: Exchange): void => exchange.send(whole('ok'))
  for (const [how, begin] of Object.entries({
    'that never begins': '',
    'that comes too slowly': '\u0016\u0003\u0001\u0040\u0000\u0001\u0000\u003f\u00fc\u0003\u0003',
  })) {
    test(`a handshake ${how} ends the connection`, async () => {
      await withTransport(
        way,
        ok,
        async ({ open, options }) => {
          const client = await open({ tls: undefined })
          client.write(Buffer.from(begin, 'latin1'))
          const stop = begin === '' ? () => {} : drip(client, 'y', 50)
          await endsInTime(client).finally(stop)
          await until('it is gone', () => options.counts.connections === 0)
        },
        paced({ handshakeMs: 400 }),
      )
    })
  }
}

function describeSilence(way: Way): void {
  const ok = (exchange: Exchange): void => exchange.send(whole('ok'))

  test('a connection that says nothing is closed without a word', async () => {
    await withClient(
      way,
      ok,
      async (client, { handled }) => {
        await endsInTime(client)
        assert.equal(client.pendingBytes, 0)
        assert.deepEqual(handled, [])
      },
      paced({ headersMs: 200, keepAliveMs: 200 }),
    )
  })

  test('headers that come too slowly end the connection, however steadily they come', async () => {
    await withClient(
      way,
      ok,
      async (client, { handled, options }) => {
        client.write('GET / HTTP/1.1\r\nHost: test\r\nX: ')
        const stop = drip(client, 'y', 50)
        await endsInTime(client).finally(stop)
        if (client.pendingBytes > 0) assert.equal((await client.reply()).status, 408)
        assert.deepEqual(handled, [])
        if (way.can.timesSilence) assert.equal(options.counts.closedSlow.headers, 1)
      },
      paced({ headersMs: 400 }),
    )
  })

  test('the headers of a second request have no more time than those of the first', async () => {
    await withClient(
      way,
      ok,
      async (client, { handled }) => {
        client.write(requestHead('GET', '/1'))
        assert.equal((await client.reply()).status, 200)
        client.write('GET /2 HTTP/1.1\r\nHost: test\r\nX: ')
        const stop = drip(client, 'y', 50)
        await endsInTime(client).finally(stop)
        assert.deepEqual(handled, ['/1'])
      },
      paced({ headersMs: 400 }),
    )
  })

  test('a connection without a next request is closed', async () => {
    await withClient(
      way,
      ok,
      async (client, { options }) => {
        client.write(requestHead('GET', '/'))
        await client.reply()
        await endsInTime(client)
        assert.equal(client.pendingBytes, 0)
        await until('it is not counted', () => options.counts.connections === 0)
      },
      paced({ keepAliveMs: 200 }),
    )
  })
}

function describeSlowBodies(way: Way): void {
  /** The client's body is cut off: its sink and its exchange hear of it, and it is counted. */
  const isCut = async (limits: Partial<PaceLimits>, everyMs: number): Promise<void> => {
    const sink = collector()
    let aborts = 0
    const handler = (exchange: Exchange): void => {
      exchange.detach()
      exchange.onAbort(() => {
        aborts += 1
      })
      exchange.body.consume(sink)
    }
    await withClient(
      way,
      handler,
      async (client, { listener, options }) => {
        client.write(requestHead('PUT', '/', 'Content-Length: 1000000'), 'hello')
        const stop = everyMs === 0 ? () => {} : drip(client, 'a', everyMs)
        await endsInTime(client).finally(stop)
        await until('it is aborted', () => sink.aborts === 1 && aborts === 1)
        assert.equal(options.counts.closedSlow.body, 1)
        assert.equal(listener.inFlight(), 0)
      },
      paced(limits),
    )
  }

  test('a body that stalls is aborted', () => isCut({ stallMs: 300 }, 0))

  test('a body below the floor is aborted, however steadily it comes', () =>
    isCut({ receiveRateMin: 10_000, graceMs: 500 }, 20))

  test('the rest of a body that nobody reads any more is bounded too', async () => {
    const handler = (exchange: Exchange): void => exchange.send(whole('not yours', 404))
    await withClient(
      way,
      handler,
      async (client) => {
        client.write(requestHead('PUT', '/', 'Content-Length: 1000000'), 'hello')
        assert.equal((await client.reply()).status, 404)
        const stop = drip(client, 'a', 50)
        await endsInTime(client).finally(stop)
      },
      paced({ stallMs: 500, receiveRateMin: 10_000, graceMs: 500, keepAliveMs: 500 }),
    )
  })
}

function describeSlowReaders(way: Way): void {
  // More than the kernel takes off our hands.
  const length = kernelBytesMax + 64 * mebibyte

  const isCut = async (
    limits: Partial<PaceLimits>,
    read: (client: RawConnection) => () => void,
  ): Promise<void> => {
    const source = new PatternSource(length)
    let aborts = 0
    const handler = (exchange: Exchange): void => {
      exchange.detach()
      exchange.onAbort(() => {
        aborts += 1
      })
      exchange.send({ kind: 'stream', status: 200, headers: plainHeaders, source })
    }
    await withClient(
      way,
      handler,
      async (client, { listener, options }) => {
        client.write(requestHead('GET', '/'))
        const stop = read(client)
        await untilInOwnTime(
          'the source is closed',
          () => source.closes === 1,
          silenceMaxMs,
        ).finally(stop)
        await until('the exchange is aborted', () => aborts === 1)
        assert.ok(source.reach < length)
        assert.equal(options.counts.closedSlow.reply, 1)
        await until('nothing in flight', () => listener.inFlight() === 0)
      },
      paced(limits),
    )
  }

  test('a reader that stalls is cut, and the source closed', () =>
    isCut({ stallMs: 300 }, (client) => {
      client.socket.pause()
      return () => {}
    }))

  test('a reader below the floor is cut, however steadily it reads', () =>
    isCut({ sendRateMin: 50 * mebibyte, graceMs: 800 }, (client) => readInSips(client, 50)))

  test('a large whole reply to a reader that stalls is cut too', async () => {
    const bytes = new Uint8Array(length)
    const handler = (exchange: Exchange): void => exchange.send(whole(bytes))
    await withClient(
      way,
      handler,
      async (client, { listener }) => {
        client.socket.pause()
        client.write(requestHead('GET', '/'))
        await until('it is in flight', () => listener.inFlight() === 1)
        await untilInOwnTime('it is cut', () => listener.inFlight() === 0, silenceMaxMs)
      },
      paced({ stallMs: 300 }),
    )
  })
}

function describeUnreadReplies(way: Way): void {
  test('a client that asks without end and reads nothing is held back or cut', async () => {
    const reply = new Uint8Array(32 * 1024)
    const requests = 40_000
    // The kernel takes what it takes; beyond that a transport may hold some replies.
    const handledMax = (kernelBytesMax + 32 * mebibyte) / reply.length
    const handler = (exchange: Exchange): void => exchange.send(whole(reply))
    await withClient(
      way,
      handler,
      async (client, { handled, options }) => {
        client.socket.pause()
        const heads = requestHead('GET', '/').repeat(100)
        for (let sent = 0; sent < requests && !client.socket.destroyed; sent += 100) {
          client.write(heads)
          await later()
          assert.ok(handled.length <= handledMax, `${handled.length} replies for nobody`)
        }
        // A paused socket does not see its end.
        await untilInOwnTime('it is cut', () => options.counts.connections === 0, silenceMaxMs)
      },
      paced({ stallMs: 500, keepAliveMs: 500 }),
    )
  })
}

/** Lets the socket read a little now and then. */
function readInSips(client: RawConnection, everyMs: number): () => void {
  client.socket.pause()
  client.socket.on('data', () => client.socket.pause())
  const timer = setInterval(() => client.socket.resume(), everyMs)
  return () => {
    clearInterval(timer)
    client.socket.resume()
  }
}
