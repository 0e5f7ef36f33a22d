// Transport contract: a client that makes progress is never cut, however long it takes, nor for what the
// server lets it wait for.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Exchange, TransportOptions } from '../../src/server/transport/exchange.ts'
import { PatternSource } from '../support/pattern-source.ts'
import { paced } from './transport-pace.ts'
import {
  plainHeaders,
  readBody,
  requestHead,
  type TransportScene,
  type Way,
  whole,
  withClient,
  withTransport,
} from './transport-scene.ts'

const mebibyte = 1024 * 1024

export function progressContract(way: Way): void {
  // So long that a busy machine does not look like a slow client.
  const limitMs = 2_000
  const short = {
    ...{ handshakeMs: limitMs, headersMs: limitMs, stallMs: limitMs, keepAliveMs: limitMs },
    ...{ graceMs: limitMs, receiveRateMin: 100_000, sendRateMin: 100_000 },
  }
  const longMs = 3 * limitMs

  test('a body at a decent rate may take longer than every limit', async () => {
    const handler = async (exchange: Exchange): Promise<void> => {
      exchange.send(whole(String((await readBody(exchange)).length)))
    }
    await withClient(
      way,
      handler,
      async (client) => {
        const part = Buffer.alloc(32 * 1024)
        const length = Math.ceil(longMs / 20) * part.length
        client.write(requestHead('PUT', '/', `Content-Length: ${length}`))
        for (let sent = 0; sent < length; sent += part.length) {
          client.write(part)
          await pause(20)
        }
        assert.equal((await client.reply()).body.toString(), String(length))
      },
      paced(short),
    )
  })

  test('a reply at a decent rate may take longer than every limit', async () => {
    const length = 96 * mebibyte
    const handler = (exchange: Exchange): void => {
      const source = new PatternSource(length)
      exchange.send({ kind: 'stream', status: 200, headers: plainHeaders, source })
    }
    await withClient(
      way,
      handler,
      async (client) => {
        client.write(requestHead('GET', '/'))
        const start = performance.now()
        const ahead = (): number =>
          (length * (performance.now() - start)) / longMs - client.pendingBytes
        client.socket.on('data', () => {
          if (ahead() < 0) client.socket.pause()
        })
        const timer = setInterval(() => ahead() > 0 && client.socket.resume(), 10)
        const { body } = await client
          .reply({ deadlineMs: 60_000 })
          .finally(() => clearInterval(timer))
        assert.equal(body.length, length)
        assert.ok(performance.now() - start > longMs * 0.9)
      },
      paced(short),
    )
  })

  describeServersTurn(way, paced(short), 2 * limitMs)
}

function describeServersTurn(way: Way, options: Partial<TransportOptions>, waitMs: number): void {
  const body = Buffer.alloc(100_000)
  /** Where this server makes its client wait. */
  const waits: Readonly<Record<string, (exchange: Exchange) => Promise<void>>> = {
    '/before': async (exchange) => {
      await pause(waitMs)
      exchange.send(whole(await readBody(exchange)))
    },
    '/paused': async (exchange) => {
      const bytes = readBody(exchange)
      exchange.body.pause()
      await pause(waitMs)
      exchange.body.resume()
      exchange.send(whole(await bytes))
    },
    '/after': async (exchange) => {
      const bytes = await readBody(exchange)
      await pause(waitMs)
      exchange.send(whole(bytes))
    },
    '/source': async (exchange) => {
      const { length } = await readBody(exchange)
      const source = new PatternSource(length, { serve: () => 'wait', wait: () => pause(waitMs) })
      exchange.send({ kind: 'stream', status: 200, headers: plainHeaders, source })
    },
  }

  test('a client is not cut for what this server lets it wait for', async () => {
    const handler = (exchange: Exchange): Promise<void> =>
      waits[exchange.path]?.(exchange) ?? Promise.reject(new Error(exchange.path))
    const run = async ({ open, options: { counts } }: TransportScene): Promise<void> => {
      const ask = async (path: string): Promise<void> => {
        const client = await open()
        client.write(requestHead('PUT', path, `Content-Length: ${body.length}`), body)
        assert.equal((await client.reply()).body.length, body.length, path)
        // The others may take longer than an idle connection is kept.
        client.close()
      }
      await Promise.all(Object.keys(waits).map(ask))
      assert.deepEqual(counts.closedSlow, { headers: 0, body: 0, reply: 0, idle: 0 })
    }
    await withTransport(way, handler, run, options)
  })

  test('a body that is not wanted yet may be late, too', async () => {
    const handler = waits['/before']!
    await withClient(
      way,
      handler,
      async (client) => {
        client.write(requestHead('PUT', '/before', `Content-Length: ${body.length}`))
        await pause(waitMs - 300)
        client.write(body)
        assert.equal((await client.reply()).body.length, body.length)
      },
      options,
    )
  })
}

/** Time is what these tests are about, so they let some of it pass. */
function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
