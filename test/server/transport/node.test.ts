// The adapter on node:http: the contract of every transport, and what only this one promises.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, test } from 'node:test'
import type { Exchange, PaceLimits, Transport } from '../../../src/server/transport/exchange.ts'
import { listenNode } from '../../../src/server/transport/node/listen.ts'
import { transportContract } from '../../contract/transport.ts'
import {
  plainHeaders,
  readBody,
  requestHead,
  whole,
  withClient,
  withTransport,
} from '../../contract/transport-scene.ts'
import { PatternSource } from '../../support/pattern-source.ts'
import { RawConnection } from '../../support/raw-http.ts'
import { until } from '../../support/until.ts'

transportContract('node', listenNode, {
  timesSilence: true,
  answersGarbage: true,
  countsHandshakes: true,
  readsCertificates: true,
  readsProxyHeaders: true,
  isFooledBy: [],
})

const ok = (exchange: Exchange): void => exchange.send(whole('ok'))

describe('node: refusals', () => {
  const refusals: Record<string, readonly [request: string, status: number]> = {
    'a head of more than 16 KiB': [requestHead('GET', '/', `X: ${'a'.repeat(17_000)}`), 431],
    'a head without Host': ['GET / HTTP/1.1\r\n\r\n', 400],
    'a head that is none': ['hello\r\n\r\n', 400],
    'a space before the colon': [requestHead('PUT', '/', 'Content-Length : 5'), 400],
    'a Content-Length that is no number': [requestHead('PUT', '/', 'Content-Length: 0x5'), 400],
    'Transfer-Encoding in HTTP/1.0': [
      'PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    'a tunnel': ['CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n', 400],
  }
  for (const [what, [request, status]] of Object.entries(refusals)) {
    test(`${what} is answered in our form with ${status}, and the connection ends`, async () => {
      await withClient(listenNode, ok, async (client, { handled, refused }) => {
        client.write(request)
        const reply = await client.reply()
        assert.equal(reply.status, status)
        assert.match(reply.body.toString(), /^refused: ./)
        assert.equal(reply.headers['connection'], 'close')
        await client.over()
        assert.deepEqual([handled, refused.length], [[], 1])
      })
    })
  }

  test('bytes that are no request wait for the reply to the request before them', async () => {
    let exchange: Exchange | undefined
    const handler = (each: Exchange): void => {
      exchange = each
    }
    await withClient(listenNode, handler, async (client, { refused }) => {
      client.write(requestHead('GET', '/'), 'no request\r\n\r\n')
      await until('both are read', () => refused.length === 1)
      exchange?.send(whole('first'))
      assert.equal((await client.reply()).body.toString(), 'first')
      assert.equal((await client.reply()).status, 400)
      await client.over()
    })
  })

  test('headers are all seen, however many', async () => {
    const many = Array.from({ length: 2500 }, () => 'a:b')
    await withClient(listenNode, ok, async (client, { handled }) => {
      client.write(requestHead('GET', '/', ...many, 'Host: other'))
      assert.equal((await client.reply()).status, 400)
      assert.deepEqual(handled, [])
    })
  })

  test('a client that sends requests without end and without reading is cut', async () => {
    await withClient(
      listenNode,
      () => {},
      async (client, { handled }) => {
        client.write(requestHead('GET', '/').repeat(100))
        await client.over()
        assert.equal(handled.length, 1)
      },
    )
  })
})

describe('node: requests of its own', () => {
  test('HTTP/1.0 without Host is served, and its connection ends', async () => {
    await withClient(listenNode, ok, async (client) => {
      client.write('GET / HTTP/1.0\r\n\r\n')
      assert.equal((await client.reply()).body.toString(), 'ok')
      await client.over()
    })
  })

  test('a client that waits for 100 (Continue) is not asked for a body that nobody takes', async () => {
    await withClient(listenNode, ok, async (client) => {
      client.write(requestHead('PUT', '/', 'Content-Length: 4', 'Expect: 100-continue'))
      const { status, headers } = await client.reply()
      assert.deepEqual([status, headers['connection']], [200, 'close'])
      await client.over()
    })
  })

  test('an unknown expectation is ignored', async () => {
    await withClient(listenNode, ok, async (client) => {
      client.write(requestHead('GET', '/', 'Expect: more'))
      assert.equal((await client.reply()).status, 200)
    })
  })

  test('an offer to upgrade is ignored', async () => {
    await withClient(listenNode, ok, async (client) => {
      client.write(requestHead('GET', '/', 'Connection: Upgrade', 'Upgrade: websocket'))
      assert.equal((await client.reply()).status, 200)
    })
  })
})

describe('node: silent clients', () => {
  const within =
    (limits: Partial<PaceLimits>): Transport =>
    (options) =>
      listenNode({ ...options, pace: { ...options.pace, ...limits } })

  test('a connection that says nothing is closed without a word', async () => {
    await withClient(within({ headersMs: 100 }), ok, async (client) => {
      await client.over()
      assert.equal(client.pendingBytes, 0)
    })
  })

  test('a head that does not end is answered with 408', async () => {
    await withClient(within({ headersMs: 100 }), ok, async (client, { handled }) => {
      client.write('GET / HTTP/1.1\r\nHost: test\r\n')
      assert.equal((await client.reply()).status, 408)
      await client.over()
      assert.deepEqual(handled, [])
    })
  })

  test('a connection without a next request is closed', async () => {
    await withClient(within({ keepAliveMs: 100 }), ok, async (client) => {
      client.write(requestHead('GET', '/'))
      await client.reply()
      await client.over()
    })
  })

  test('a body that stalls is aborted', async () => {
    let fault: unknown
    const handler = (exchange: Exchange): void => {
      readBody(exchange).catch((error) => {
        fault = error
      })
    }
    await withClient(within({ stallMs: 100 }), handler, async (client) => {
      client.write(requestHead('PUT', '/', 'Content-Length: 10'), 'hello')
      await client.over()
      assert.match(String(fault), /aborted/)
    })
  })

  test('a reader that stalls is cut, and the source closed', async () => {
    const source = new PatternSource(64 * 1024 * 1024)
    const handler = (exchange: Exchange): void =>
      exchange.send({ kind: 'stream', status: 200, headers: plainHeaders, source })
    await withClient(within({ stallMs: 100 }), handler, async (client, { listener }) => {
      client.socket.pause()
      client.write(requestHead('GET', '/'))
      await until('closed', () => source.closes === 1)
      assert.equal(listener.inFlight(), 0)
    })
  })

  test('a client is not cut for what this server lets it wait for', async () => {
    const stallMs = 50
    const waits = async (): Promise<void> => {
      const start = performance.now()
      await until('several times the limit', () => performance.now() - start > 6 * stallMs)
    }
    const handler = async (exchange: Exchange): Promise<void> => {
      await waits()
      const body = readBody(exchange)
      exchange.body.pause()
      await waits()
      exchange.body.resume()
      exchange.send(whole(await body))
    }
    await withClient(within({ stallMs }), handler, async (client) => {
      const body = 'a'.repeat(100_000)
      client.write(requestHead('PUT', '/', `Content-Length: ${body.length}`), body)
      assert.equal((await client.reply()).body.length, body.length)
    })
  })

  const refusal = { ...whole('no', 413), closeConnection: true } as ReturnType<typeof whole>
  const refuse = (exchange: Exchange): void => exchange.send(refusal)

  test('a refused client may send to its end, so that no reset destroys the refusal', async () => {
    await withTransport(within({}), refuse, async ({ port }) => {
      const client = await RawConnection.open(port, true)
      const body = Buffer.alloc(16 * 1024 * 1024)
      client.write(requestHead('PUT', '/', `Content-Length: ${body.length}`))
      await client.over()
      client.write(body)
      client.socket.end()
      const [hadError] = (await once(client.socket, 'close')) as [boolean]
      assert.equal(hadError, false)
      assert.equal((await client.reply()).body.toString(), 'no')
    })
  })

  test('a refused client that goes on sending is cut after a while', async () => {
    await withTransport(within({ stallMs: 100 }), refuse, async ({ port }) => {
      const client = await RawConnection.open(port, true)
      client.write(requestHead('PUT', '/', 'Content-Length: 1000000'))
      assert.equal((await client.reply()).body.toString(), 'no')
      await client.over()
      await until('cut', () => {
        client.write('more')
        return client.socket.destroyed
      })
    })
  })
})
