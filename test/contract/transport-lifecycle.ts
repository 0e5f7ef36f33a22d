// Transport contract: a listener counts what is under way, stops without cutting it, and closes.

import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { test } from 'node:test'
import type { Exchange, TransportOptions } from '../../src/server/transport/exchange.ts'
import { PatternSource, patternBytes } from '../support/pattern-source.ts'
import { RawConnection } from '../support/raw-http.ts'
import { until } from '../support/until.ts'
import {
  defaultOptions,
  plainHeaders,
  readBody,
  requestHead,
  type Way,
  whole,
  withClient,
  withTransport,
} from './transport-scene.ts'

export function lifecycleContract(way: Way): void {
  const handler = (exchange: Exchange): void => exchange.send(whole('ok'))
  const on = (port: number): TransportOptions => ({
    ...defaultOptions(handler),
    ...way.options?.(),
    socket: { kind: 'tcp', address: '127.0.0.1', port },
  })
  const { transport } = way

  test('a port that is taken is an EADDRINUSE', async () => {
    const first = await transport(on(0))
    try {
      const again = transport(on(first.local.port))
      await assert.rejects(again, { code: 'EADDRINUSE' })
    } finally {
      first.close()
    }
    const other = createServer()
    await new Promise<void>((resolve) => {
      other.listen(0, '127.0.0.1', resolve)
    })
    const address = other.address()
    assert.ok(typeof address === 'object' && address !== null)
    await assert.rejects(transport(on(address.port)), { code: 'EADDRINUSE' })
    other.close()
  })

  test('a listener tells its address, and its port is free again after close', async () => {
    const first = await transport(on(0))
    assert.equal(first.local.address, '127.0.0.1')
    const { port } = first.local
    assert.ok(port > 0)
    first.close()
    first.close()
    first.stopAccepting()
    const second = await transport(on(port))
    assert.equal(second.local.port, port)
    second.close()
  })

  test('requests in flight are counted until they are answered or aborted', async () => {
    const waiting: Exchange[] = []
    const handler = (exchange: Exchange): void => {
      exchange.detach()
      waiting.push(exchange)
    }
    await withTransport(way, handler, async ({ open, listener }) => {
      const clients = [await open(), await open(), await open()]
      assert.equal(listener.inFlight(), 0)
      for (const client of clients) client.write(requestHead('GET', '/'))
      await until('three in flight', () => listener.inFlight() === 3 && waiting.length === 3)
      waiting[0]?.send(whole('ok'))
      await until('two in flight', () => listener.inFlight() === 2)
      for (const client of clients) client.reset()
      await until('none in flight', () => listener.inFlight() === 0)
    })
  })

  // Where the library gives no hold on an idle connection, its next reply ends it, and `close` all.
  const endsAfterStop = async (client: RawConnection): Promise<void> => {
    if (client.isOver) return
    client.write(requestHead('GET', '/last'))
    const last = await client.reply().catch(() => undefined)
    assert.equal(client.pendingBytes, 0)
    if (last !== undefined) assert.equal(last.headers['connection']?.toLowerCase(), 'close')
    await client.over(5_000)
  }

  test('a listener that stops refuses connections and ends idle ones', async () => {
    await withClient(way, handler, async (client, { listener, port, open }) => {
      client.write(requestHead('GET', '/'))
      await client.reply()
      const silent = await open()
      listener.stopAccepting()
      listener.stopAccepting()
      await assert.rejects(RawConnection.open(port), { code: 'ECONNREFUSED' })
      await endsAfterStop(client)
      listener.close()
      await silent.over(5_000)
      assert.equal(listener.inFlight(), 0)
    })
  })

  test('a listener that stops lets what is under way end, and then ends its connections', async () => {
    const waiting: Exchange[] = []
    const source = new PatternSource(32 * 1024 * 1024)
    const handler = (exchange: Exchange): void => {
      exchange.detach()
      if (exchange.path === '/stream') {
        exchange.send({ kind: 'stream', status: 200, headers: plainHeaders, source })
      } else if (exchange.path === '/body') {
        readBody(exchange).then(
          (body) => exchange.send(whole(body)),
          () => {},
        )
      } else if (exchange.path === '/last') exchange.send(whole('last'))
      else waiting.push(exchange)
    }
    await withTransport(way, handler, async ({ open, listener }) => {
      const [waiter, streamer, sender] = [await open(), await open(), await open()]
      waiter.write(requestHead('GET', '/wait'))
      streamer.write(requestHead('GET', '/stream'))
      await until('some of the stream', () => streamer.pendingBytes > 100_000)
      streamer.socket.pause()
      sender.write(requestHead('PUT', '/body', 'Content-Length: 10'), 'hello')
      await until('all under way', () => listener.inFlight() === 3 && waiting.length === 1)
      listener.stopAccepting()
      waiting[0]?.send(whole('late'))
      sender.write('world')
      streamer.socket.resume()
      assert.equal((await waiter.reply()).body.toString(), 'late')
      assert.equal((await sender.reply()).body.toString(), 'helloworld')
      assert.ok((await streamer.reply()).body.equals(patternBytes(source.length)))
      await Promise.all([waiter, sender].map((client) => client.over(5_000)))
      await endsAfterStop(streamer)
      await until('none in flight', () => listener.inFlight() === 0)
    })
  })

  test('a reply that is still being sent survives the stop', async () => {
    const bytes = patternBytes(16 * 1024 * 1024)
    const handler = (exchange: Exchange): void =>
      exchange.send(whole(exchange.path === '/last' ? 'last' : bytes))
    await withClient(way, handler, async (client, { listener }) => {
      client.write(requestHead('GET', '/'))
      await until('some of it', () => client.pendingBytes > 0)
      client.socket.pause()
      listener.stopAccepting()
      client.socket.resume()
      assert.ok((await client.reply()).body.equals(bytes))
      await endsAfterStop(client)
    })
  })

  test('close cuts what is under way and aborts it', async () => {
    let aborts = 0
    const source = new PatternSource(64 * 1024 * 1024)
    const handler = (exchange: Exchange): void => {
      exchange.detach()
      exchange.onAbort(() => {
        aborts += 1
      })
      if (exchange.path === '/stream') {
        exchange.send({ kind: 'stream', status: 200, headers: plainHeaders, source })
      }
    }
    await withTransport(way, handler, async ({ open, listener }) => {
      const [waiter, streamer] = [await open(), await open()]
      waiter.write(requestHead('GET', '/wait'))
      streamer.write(requestHead('GET', '/stream'))
      await until('some of the stream', () => streamer.pendingBytes > 100_000)
      streamer.socket.pause()
      listener.close()
      await waiter.over(5_000)
      await until('both aborted', () => aborts === 2)
      await until('none in flight', () => listener.inFlight() === 0)
      assert.equal(source.closes, 1)
    })
  })
}
