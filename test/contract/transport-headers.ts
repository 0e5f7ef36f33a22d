// Transport contract: single header lines of a request, and the headers that every reply carries.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HeaderBlock } from '../../src/http/header-block.ts'
import type { Reply } from '../../src/http/reply.ts'
import { Admission } from '../../src/server/transport/admission.ts'
import type { Exchange } from '../../src/server/transport/exchange.ts'
import { PatternSource } from '../support/pattern-source.ts'
import type { RawReply } from '../support/raw-http.ts'
import {
  later,
  noLimits,
  plainHeaders,
  requestHead,
  type SceneHandler,
  type TransportScene,
  type Way,
  whole,
  withClient,
  withTransport,
} from './transport-scene.ts'

export function headersContract(way: Way): void {
  describeLines(way)
  describeReplyHeaders(way)
}

function describeLines(way: Way): void {
  test('every line of a header is told, in order, before and after detach', async () => {
    const names = ['x-forwarded-for', 'x-one', 'x-empty', 'absent', 'constructor', '__proto__']
    const lines = (exchange: Exchange): readonly (readonly string[])[] =>
      names.map((name) => [...exchange.headerLines(name)])
    const handler: SceneHandler = async (exchange) => {
      const before = lines(exchange)
      exchange.detach()
      await later()
      exchange.send(whole(JSON.stringify([before, lines(exchange)])))
    }
    await withClient(way, handler, async (client) => {
      for (const method of ['GET', 'PUT']) {
        const head = requestHead(
          method,
          '/',
          'X-Forwarded-For: 192.0.2.1, 192.0.2.2',
          'X-One:  1  ',
          'x-forwarded-for: 192.0.2.3',
          'X-Empty:',
          'X-FORWARDED-FOR:192.0.2.4',
        )
        client.write(head)
        const expected = [
          ['192.0.2.1, 192.0.2.2', '192.0.2.3', '192.0.2.4'],
          ['1'],
          [''],
          ...[[], [], []],
        ]
        const reply = await client.reply()
        assert.deepEqual(JSON.parse(reply.body.toString()), [expected, expected])
      }
    })
  })
}

const security = [
  ['Strict-Transport-Security', 'max-age=63072000'],
  ['X-Content-Type-Options', 'nosniff'],
] as const

function assertCarried({ headers }: RawReply, what: string): void {
  for (const [name, value] of security) {
    // A repeated one would show as joined.
    assert.equal(headers[name.toLowerCase()], value, what)
  }
}

function describeReplyHeaders(way: Way): void {
  const stream = (): Reply => {
    const source = new PatternSource(100_000)
    return { kind: 'stream', status: 200, headers: plainHeaders, source }
  }
  const replies: Readonly<Record<string, () => Reply>> = {
    '/whole': () => whole('whole'),
    '/none': () => whole(undefined, 202),
    '/bare': () => ({ ...whole('x'), headers: new HeaderBlock([]) }),
    '/large': () => whole(new Uint8Array(300_000)),
    '/last': () => ({ ...whole('bye', 400), closeConnection: true }) as Reply,
    '/stream': stream,
    '/204': () => ({ kind: 'empty', status: 204, headers: plainHeaders }),
    '/304': () => ({ kind: 'empty', status: 304, headers: new HeaderBlock([]) }),
    '/fault': () => {
      throw new Error('planted')
    },
  }

  test('the headers of a listener come with every reply, once', async () => {
    const answer = (exchange: Exchange): void =>
      exchange.send(replies[exchange.path]?.() ?? whole('?', 404))
    const handler: SceneHandler = (exchange) =>
      exchange.query === 'late' ? later().then(() => answer(exchange)) : answer(exchange)
    const run = async ({ open }: TransportScene): Promise<void> => {
      for (const path of Object.keys(replies)) {
        for (const method of ['GET', 'HEAD', 'PUT']) {
          for (const query of ['', '?late']) {
            const client = await open()
            const body = method === 'PUT' ? ['Content-Length: 2'] : []
            client.write(requestHead(method, `${path}${query}`, ...body))
            if (method === 'PUT') client.write('ab')
            const what = `${method} ${path}${query}`
            const reply = await client.reply({ isHead: method === 'HEAD' })
            assertCarried(reply, what)
            const ownLines = !['/bare', '/304', '/fault'].includes(path)
            if (ownLines) assert.equal(reply.headers['x-second'], 'two', what)
            client.close()
          }
        }
      }
    }
    await withTransport(way, handler, run, { replyHeaders: security })
  })

  test('refusals carry them too: of framing, of garbage, of what is too much', async () => {
    const waits: SceneHandler = (exchange) => exchange.detach()
    const run = async ({ open, refused }: TransportScene): Promise<void> => {
      const ask = async (request: string): Promise<RawReply> => {
        const client = await open()
        client.write(request)
        return client.reply()
      }
      const framing = requestHead('PUT', '/', 'Content-Length: 5', 'Content-Length: 6')
      assertCarried(await ask(framing), 'framing')
      if (way.can.answersGarbage) assertCarried(await ask('garbage\r\n\r\n'), 'garbage')
      const refusedBefore = refused.length
      await open().then((client) => client.write(requestHead('GET', '/')))
      await later()
      let busy = await ask(requestHead('GET', '/'))
      assertCarried(busy, 'too many requests')
      assert.equal(busy.status, 503)
      busy = await ask(requestHead('GET', '/'))
      assertCarried(busy, 'too many requests')
      assert.equal(refused.length, refusedBefore)
    }
    const admission = new Admission({ ...noLimits, requestsMax: 1 })
    await withTransport(way, waits, run, { replyHeaders: security, admission })
  })

  test('a connection that is turned away gets them as well', async () => {
    const ok: SceneHandler = (exchange) => exchange.send(whole('ok'))
    const run = async ({ open }: TransportScene): Promise<void> => {
      const first = await open()
      first.write(requestHead('GET', '/'))
      assertCarried(await first.reply(), 'the first')
      const second = await open()
      second.write(requestHead('GET', '/'))
      const reply = await second.reply()
      assert.equal(reply.status, 503)
      assertCarried(reply, 'the second')
    }
    const admission = new Admission({ ...noLimits, connectionsMax: 1 })
    await withTransport(way, ok, run, { replyHeaders: security, admission })
  })

  test('a reply tells nothing of the software behind it', async () => {
    const ok: SceneHandler = (exchange) => exchange.send(whole('ok'))
    await withClient(way, ok, async (client) => {
      client.write(requestHead('GET', '/'))
      const { headers } = await client.reply()
      for (const name of ['server', 'x-powered-by', 'via']) assert.equal(headers[name], undefined)
      // The default transport cannot be kept from naming its library, without a version.
      assert.match(headers['uwebsockets'] ?? '20', /^\d{2}$/)
    })
  })
}
