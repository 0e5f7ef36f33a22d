// Transport contract: what a handler sees of a request, and how each kind of reply looks on the wire.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HeaderBlock } from '../../src/http/header-block.ts'
import type { Reply } from '../../src/http/reply.ts'
import type { Exchange } from '../../src/server/transport/exchange.ts'
import { PatternSource, patternBytes } from '../support/pattern-source.ts'
import { until } from '../support/until.ts'
import {
  later,
  plainHeaders,
  readBody,
  requestHead,
  type Way,
  whole,
  withClient,
} from './transport-scene.ts'

export function repliesContract(way: Way): void {
  describeReplies(way)
  describeRequests(way)
  describeOrder(way)
}

function describeReplies(way: Way): void {
  const replying = (reply: Reply) => (exchange: Exchange) => exchange.send(reply)

  test('a whole reply carries its headers, its length and its body', async () => {
    await withClient(way, replying(whole('hello', 201)), async (client) => {
      client.write(requestHead('GET', '/'))
      const { status, headers, body } = await client.reply()
      assert.equal(status, 201)
      assert.equal(headers['content-type'], 'text/plain')
      assert.equal(headers['x-second'], 'two')
      assert.equal(headers['content-length'], '5')
      assert.equal(body.toString(), 'hello')
    })
  })

  test('a whole reply without a body has the length 0', async () => {
    await withClient(way, replying(whole(undefined, 202)), async (client) => {
      client.write(requestHead('GET', '/'))
      assert.equal((await client.reply()).headers['content-length'], '0')
    })
  })

  test('a reply with no headers of its own is sent', async () => {
    const reply = { ...whole('x'), headers: new HeaderBlock([]) }
    await withClient(way, replying(reply), async (client) => {
      client.write(requestHead('GET', '/'))
      assert.equal((await client.reply()).body.toString(), 'x')
    })
  })

  test('a reply to HEAD has the length of GET and no body, and the connection goes on', async () => {
    const source = new PatternSource(10)
    const replies: Record<string, Reply> = {
      '/head': { kind: 'head', status: 200, headers: plainHeaders, length: 5_000_000_000 },
      '/whole': whole('error text', 404),
      '/stream': { kind: 'stream', status: 200, headers: plainHeaders, source },
    }
    const handler = (exchange: Exchange): void => exchange.send(replies[exchange.path]!)
    await withClient(way, handler, async (client) => {
      const lengths: unknown[] = []
      for (const path of ['/head', '/whole', '/stream', '/head']) {
        client.write(requestHead('HEAD', path))
        lengths.push((await client.reply({ isHead: true })).headers['content-length'])
      }
      assert.deepEqual(lengths, ['5000000000', '10', '10', '5000000000'])
      await until('the source is closed', () => source.closes === 1)
    })
  })

  test('204 and 304 have neither body nor length, and the connection goes on', async () => {
    const empty = (status: 204 | 304): Reply => ({ kind: 'empty', status, headers: plainHeaders })
    const handler = (exchange: Exchange): void =>
      exchange.send(empty(exchange.path === '/204' ? 204 : 304))
    await withClient(way, handler, async (client) => {
      for (const status of [204, 304, 204]) {
        client.write(requestHead('GET', `/${status}`))
        const reply = await client.reply()
        assert.equal(reply.status, status)
        assert.equal(reply.headers['content-length'], undefined)
        assert.equal(reply.headers['transfer-encoding'], undefined)
        assert.equal(reply.headers['content-type'], 'text/plain')
      }
    })
  })

  test('a large whole body reaches a client that reads late', async () => {
    const bytes = patternBytes(4 * 1024 * 1024)
    await withClient(way, replying(whole(bytes)), async (client) => {
      client.socket.pause()
      client.write(requestHead('GET', '/'))
      await until('sent', () => client.socket.writableLength === 0)
      await later()
      client.socket.resume()
      assert.ok((await client.reply()).body.equals(bytes))
    })
  })

  test('closeConnection ends the connection after the reply', async () => {
    const reply: Reply = { ...whole('bye', 400), closeConnection: true } as Reply
    await withClient(way, replying(reply), async (client) => {
      client.write(requestHead('GET', '/'))
      const { headers, body } = await client.reply()
      assert.equal(body.toString(), 'bye')
      assert.equal(headers['connection']?.toLowerCase(), 'close')
      await client.over()
    })
  })

  test('a client that asks for it gets the connection closed after the reply', async () => {
    await withClient(way, replying(whole('bye')), async (client) => {
      client.write(requestHead('GET', '/', 'Connection: close'))
      assert.equal((await client.reply()).body.toString(), 'bye')
      await client.over()
    })
  })

  test('a handler that throws is answered with what onFault gives, and the listener goes on', async () => {
    const handler = (exchange: Exchange): void => {
      if (exchange.path === '/bad') throw new Error('planted')
      exchange.send(whole('fine'))
    }
    await withClient(way, handler, async (client, { faults }) => {
      client.write(requestHead('GET', '/bad'))
      assert.equal((await client.reply()).status, 500)
      assert.equal(faults.length, 1)
      client.write(requestHead('GET', '/'))
      assert.equal((await client.reply()).body.toString(), 'fine')
    })
  })
}

function describeRequests(way: Way): void {
  interface Seen {
    readonly method: string
    readonly path: string
    readonly query: string
  }

  test('method, path and query arrive as they were sent', async () => {
    const seen: Seen[] = []
    const handler = (exchange: Exchange): void => {
      const { method, path, query } = exchange
      seen.push({ method, path, query })
      exchange.send(whole('ok'))
    }
    await withClient(way, handler, async (client) => {
      const targets = [
        ['GET', '/v2/', ''],
        ['GET', '/v2/a%2Fb/../%00/', 'x=1&y=%20?z&x=2'],
        ['HEAD', '/a//b', 'n=5'],
        ['POST', '/v2/x/blobs/uploads/', 'digest=sha256:00'],
        ['PUT', '/p', ''],
        ['PATCH', '/p', ''],
        ['DELETE', '/p', ''],
        ['OPTIONS', '/p', ''],
      ] as const
      for (const [method, path, query] of targets) {
        client.write(requestHead(method, query === '' ? path : `${path}?${query}`))
        await client.reply({ isHead: method === 'HEAD' })
      }
      const expected = targets.map(([method, path, query]) => ({ method, path, query }))
      assert.deepEqual(seen, expected)
    })
  })

  test('a request without a body has the length 0 and gives one last, empty chunk', async () => {
    const handler = async (exchange: Exchange): Promise<void> => {
      const { length } = exchange.body
      const body = await readBody(exchange)
      exchange.send(whole(`${length} ${body.length}`))
    }
    await withClient(way, handler, async (client) => {
      for (const method of ['GET', 'PUT', 'DELETE']) {
        client.write(requestHead(method, '/'))
        assert.equal((await client.reply()).body.toString(), '0 0')
      }
    })
  })

  test('headers are found by lower-case name, before and after detach', async () => {
    const names = ['content-type', 'x-mixed', 'absent', 'constructor', '__proto__', 'host']
    const handler = async (exchange: Exchange): Promise<void> => {
      const before = names.map((name) => exchange.header(name))
      exchange.detach()
      await later()
      const after = names.map((name) => exchange.header(name))
      exchange.send(whole(JSON.stringify([before, after, exchange.remoteAddress])))
    }
    await withClient(way, handler, async (client) => {
      client.write(requestHead('GET', '/', 'CONTENT-Type: a/b; c=d', 'x-MiXed:  padded  '))
      const expected = ['a/b; c=d', 'padded', '', '', '', 'test']
      const reply = await client.reply()
      assert.deepEqual(JSON.parse(reply.body.toString()), [expected, expected, '127.0.0.1'])
    })
  })

  test('a repeated header is joined or the first, before and after detach', async () => {
    const handler = async (exchange: Exchange): Promise<void> => {
      const before = exchange.header('accept')
      exchange.detach()
      await later()
      exchange.send(whole(JSON.stringify([before, exchange.header('accept')])))
    }
    await withClient(way, handler, async (client) => {
      client.write(requestHead('GET', '/', 'Accept: a/b', 'Accept: c/d'))
      for (const value of JSON.parse((await client.reply()).body.toString()) as string[]) {
        assert.match(value, /^a\/b(, c\/d)?$/)
      }
    })
  })

  test('headers of 15 kB are taken', async () => {
    const handler = (exchange: Exchange): void =>
      exchange.send(whole(String(exchange.header('authorization').length)))
    await withClient(way, handler, async (client) => {
      client.write(requestHead('GET', '/', `Authorization: ${'a'.repeat(15_000)}`))
      assert.equal((await client.reply()).body.toString(), '15000')
    })
  })

  test('headers of 12 kB in segments of a real network are taken', async () => {
    const handler = (exchange: Exchange): void =>
      exchange.send(whole(String(exchange.header('authorization').length)))
    await withClient(way, handler, async (client) => {
      const head = requestHead('GET', '/', `Authorization: ${'a'.repeat(12_000)}`)
      for (let at = 0; at < head.length; at += 1_448) {
        client.write(head.slice(at, at + 1_448))
        await later()
      }
      assert.equal((await client.reply()).body.toString(), '12000')
    })
  })

  test('headers in single bytes are one request', async () => {
    const handler = (exchange: Exchange): void => exchange.send(whole(exchange.header('x-one')))
    await withClient(way, handler, async (client) => {
      // uWS wants the request line in one piece, as every client sends it.
      const head = requestHead('GET', '/slow', 'X-One: 1')
      const line = head.indexOf('\r\n') + 2
      client.write(head.slice(0, line))
      for (const byte of head.slice(line)) {
        await later()
        client.write(byte)
      }
      assert.equal((await client.reply()).body.toString(), '1')
    })
  })
}

function describeOrder(way: Way): void {
  const heads = ['/1', '/2', '/3', '/4'].map((path) => requestHead('GET', path)).join('')

  test('a connection serves one request after the other', async () => {
    const handler = async (exchange: Exchange): Promise<void> => {
      await later()
      exchange.send(whole(exchange.path))
    }
    await withClient(way, handler, async (client) => {
      for (let index = 0; index < 20; index++) {
        client.write(requestHead('GET', `/${index}`))
        assert.equal((await client.reply()).body.toString(), `/${index}`)
      }
    })
  })

  test('pipelined requests that are answered at once are answered in order', async () => {
    const handler = (exchange: Exchange): void => exchange.send(whole(exchange.path))
    await withClient(way, handler, async (client) => {
      client.write(heads)
      for (const path of ['/1', '/2', '/3', '/4']) {
        assert.equal((await client.reply()).body.toString(), path)
      }
    })
  })

  test('pipelined requests that have to wait are answered in order, or the connection ends', async () => {
    // The later one is ready first, so an adapter that only sends what is ready mixes them up.
    const waits: Record<string, number> = { '/1': 8, '/2': 4, '/3': 2, '/4': 1 }
    const handler = async (exchange: Exchange): Promise<void> => {
      for (let turn = 0; turn < (waits[exchange.path] ?? 0); turn++) await later()
      exchange.send(whole(exchange.path))
    }
    await withClient(way, handler, async (client) => {
      client.write(heads)
      const answered: string[] = []
      while (answered.length < 4) {
        const reply = await client.reply().catch(() => undefined)
        if (reply === undefined) break
        answered.push(reply.body.toString())
      }
      assert.deepEqual(answered, ['/1', '/2', '/3', '/4'].slice(0, answered.length))
      if (answered.length < 4) assert.ok(client.isOver)
    })
  })

  test('what follows a reply that closes the connection is not handled', async () => {
    const reply = { ...whole('bye'), closeConnection: true } as Reply
    const handler = (exchange: Exchange): void => exchange.send(reply)
    await withClient(way, handler, async (client, { handled }) => {
      client.write(heads)
      // What is sent ahead may also end the connection before the reply.
      const answered = await client.reply().catch(() => undefined)
      if (answered !== undefined) assert.equal(answered.body.toString(), 'bye')
      await client.over()
      assert.equal(client.pendingBytes, 0)
      assert.deepEqual(handled, ['/1'])
    })
  })
}
