// Transport contract: a request body that does not end well: the client leaves, the sink throws, or
// the reply comes before the end of the body.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Reply } from '../../src/http/reply.ts'
import type { Exchange } from '../../src/server/transport/exchange.ts'
import { patternBytes } from '../support/pattern-source.ts'
import { until } from '../support/until.ts'
import {
  collector,
  endsInTime,
  later,
  requestHead,
  silenceMaxMs,
  untilInOwnTime,
  type Way,
  whole,
  withClient,
} from './transport-scene.ts'

const mebibyte = 1024 * 1024

export function abortsContract(way: Way): void {
  describeAborts(way)
  describeEarlyReplies(way)
}

interface Watched {
  readonly sink: ReturnType<typeof collector>
  readonly handler: (exchange: Exchange) => void
  exchange?: Exchange
  aborts: number
}

function watch(consumesAtOnce = true): Watched {
  const watched: Watched = {
    sink: collector(),
    aborts: 0,
    handler: (exchange) => {
      watched.exchange = exchange
      exchange.detach()
      exchange.onAbort(() => {
        watched.aborts += 1
      })
      if (consumesAtOnce) exchange.body.consume(watched.sink)
    },
  }
  return watched
}

/** Where an adapter may notice by its idle timer only: cases to run at the same time. */
export function lateAbortsContract(way: Way): void {
  test('a chunk that is no chunk aborts the sink and ends the connection', async () => {
    const watched = watch()
    await withClient(way, watched.handler, async (client) => {
      client.write(`${requestHead('PATCH', '/', 'Transfer-Encoding: chunked')}5\r\nhello\r\n`)
      await until('some of it', () => watched.sink.bytes === 5)
      client.write('zzz\r\nhello\r\n')
      await untilInOwnTime('the abort', () => watched.sink.aborts === 1, silenceMaxMs)
      await endsInTime(client)
    })
  })

  test('a listener or a sink that comes after the abort hears of it at once', async () => {
    const watched = watch(false)
    await withClient(way, watched.handler, async (client) => {
      client.write(`${requestHead('PUT', '/', 'Content-Length: 10')}hello`)
      await until('the request', () => watched.exchange !== undefined)
      client.reset()
      // Nobody reads from this socket, so an adapter may learn of it from its idle timer only.
      await untilInOwnTime('the abort', () => watched.aborts === 1, silenceMaxMs)
      let heard = 0
      watched.exchange?.onAbort(() => {
        heard += 1
      })
      assert.equal(heard, 1)
      watched.exchange?.body.consume(watched.sink)
      await until('the sink hears of it', () => watched.sink.aborts === 1)
      assert.equal(watched.sink.bytes, 0)
    })
  })
}

function describeAborts(way: Way): void {
  test('a client that goes away in mid-body aborts the sink and the exchange, each once', async () => {
    for (const leave of ['reset', 'close'] as const) {
      const watched = watch()
      await withClient(way, watched.handler, async (client, { listener }) => {
        client.write(`${requestHead('PUT', '/', 'Content-Length: 10')}hello`)
        await until('half a body', () => watched.sink.bytes === 5)
        client[leave]()
        await until('the abort', () => watched.sink.aborts === 1 && watched.aborts === 1)
        assert.equal(watched.exchange?.aborted, true)
        watched.exchange?.body.pause()
        watched.exchange?.body.resume()
        watched.exchange?.send(whole('too late'))
        await until('nothing in flight', () => listener.inFlight() === 0)
        assert.deepEqual([watched.sink.aborts, watched.aborts], [1, 1])
      })
    }
  })

  test('a client that ends its side in mid-body aborts the sink', async () => {
    const watched = watch()
    await withClient(way, watched.handler, async (client) => {
      client.write(`${requestHead('PATCH', '/', 'Transfer-Encoding: chunked')}5\r\nhel`)
      await until('some of it', () => watched.sink.bytes === 3)
      client.socket.end()
      await until('the abort', () => watched.sink.aborts === 1)
      await client.over()
    })
  })

  test('a client that goes away after the body aborts the exchange and not the sink', async () => {
    const watched = watch()
    await withClient(way, watched.handler, async (client) => {
      client.write(`${requestHead('PUT', '/', 'Content-Length: 5')}hello`)
      await until('the body', () => watched.sink.lasts === 1)
      client.close()
      await until('the abort', () => watched.aborts === 1)
      assert.equal(watched.sink.aborts, 0)
    })
  })

  test('a client that goes away after the reply aborts nothing', async () => {
    const watched = watch()
    await withClient(way, watched.handler, async (client, { listener }) => {
      client.write(`${requestHead('PUT', '/', 'Content-Length: 5')}hello`)
      await until('the body', () => watched.sink.lasts === 1)
      watched.exchange?.send(whole('done'))
      assert.equal((await client.reply()).body.toString(), 'done')
      client.reset()
      const other = await withoutAnswer(listener)
      assert.deepEqual([watched.aborts, watched.sink.aborts, other], [0, 0, 0])
    })
  })

  const withoutAnswer = async (listener: { inFlight(): number }): Promise<number> => {
    for (let turn = 0; turn < 50; turn++) await later()
    return listener.inFlight()
  }

  test('a sink that throws is a fault: answered or cut, never left hanging', async () => {
    const handler = (exchange: Exchange): void => {
      exchange.detach()
      exchange.body.consume({
        onChunk: () => {
          throw new Error('planted')
        },
        onAbort: () => {},
      })
    }
    for (const body of ['hello', 'hel']) {
      await withClient(way, handler, async (client, { faults, open }) => {
        client.write(`${requestHead('PUT', '/', 'Content-Length: 5')}${body}`)
        await until('an answer or an end', () => client.pendingBytes > 0 || client.isOver)
        if (client.pendingBytes > 0) assert.equal((await client.reply()).status, 500)
        assert.equal(faults.length, 1)
        const other = await open()
        other.write(requestHead('GET', '/'))
        await until('it serves on', () => other.pendingBytes > 0)
      })
    }
  })
}

function describeEarlyReplies(way: Way): void {
  const refusal = { ...whole('too large', 413), closeConnection: true } as Reply
  const bytes = patternBytes(16 * mebibyte)
  const head = requestHead('PUT', '/', `Content-Length: ${bytes.length}`)

  test('a refusal reaches a client that is still sending, and ends the connection', async () => {
    const handler = (exchange: Exchange): void => exchange.send(refusal)
    for (let round = 0; round < 5; round++) {
      await withClient(way, handler, async (client) => {
        client.write(head, bytes)
        const reply = await client.reply()
        assert.equal(reply.status, 413)
        assert.equal(reply.body.toString(), 'too large')
        await client.over()
      })
    }
  })

  test('a refusal in mid-body reaches the client, and the sink hears no more', async () => {
    const sink = collector()
    let atRefusal = -1
    const handler = (exchange: Exchange): void => {
      exchange.detach()
      exchange.body.consume({
        onChunk: (chunk, last) => {
          sink.onChunk(chunk, last)
          if (sink.bytes < mebibyte || atRefusal >= 0) return
          atRefusal = sink.bytes
          exchange.send(refusal)
        },
        onAbort: () => sink.onAbort(),
      })
    }
    await withClient(way, handler, async (client) => {
      client.write(head, bytes)
      const reply = await client.reply()
      assert.equal(reply.body.toString(), 'too large')
      await client.over()
      await later()
      assert.equal(sink.bytes, atRefusal)
      assert.equal(sink.lasts + sink.aborts, 0)
    })
  })

  test('after a reply without reading the body the connection serves on, or says that it ends', async () => {
    const handler = (exchange: Exchange): void => exchange.send(whole(exchange.path, 404))
    await withClient(way, handler, async (client, { handled }) => {
      client.write(requestHead('PUT', '/1', 'Content-Length: 40'))
      client.write(requestHead('GET', '/smuggled').padEnd(40).slice(0, 40))
      const { headers, body } = await client.reply()
      assert.equal(body.toString(), '/1')
      if (headers['connection']?.toLowerCase() !== 'close') {
        client.write(requestHead('GET', '/2'))
        assert.equal((await client.reply()).body.toString(), '/2')
      }
      assert.ok(!handled.includes('/smuggled'))
    })
  })

  test('a paused body that is answered lets the connection go on, or says that it ends', async () => {
    const handler = (exchange: Exchange): void => {
      if (exchange.path === '/2') exchange.send(whole('second'))
      else {
        exchange.detach()
        exchange.body.consume({
          onChunk: () => {
            exchange.body.pause()
            exchange.send(whole('first'))
          },
          onAbort: () => {},
        })
      }
    }
    await withClient(way, handler, async (client) => {
      const body = bytes.subarray(0, 300_000)
      client.write(requestHead('PUT', '/1', `Content-Length: ${body.length}`), body)
      const { headers } = await client.reply()
      if (headers['connection']?.toLowerCase() === 'close') return
      client.write(requestHead('GET', '/2'))
      assert.equal((await client.reply()).body.toString(), 'second')
    })
  })
}
