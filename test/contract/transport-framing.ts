// Transport contract: a request whose end two parsers could see in different places is refused, and
// nothing of it, nor anything behind it, reaches the handler.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  requestHead,
  type SceneHandler,
  type TransportScene,
  type Way,
  whole,
  withClient,
  withTransport,
} from './transport-scene.ts'

// What follows a refused request on its connection: a smuggled request, if the framing was believed.
const behind = requestHead('GET', '/smuggled')

// The native parser closes without a word, but only when its idle timer runs out.
const silenceMs = 15_000

/** Requests that an adapter must refuse in our form. */
const refusedCases: Record<string, string> = {
  'two Content-Lengths that differ': `${requestHead('PUT', '/', 'Content-Length: 5', 'Content-Length: 6')}hello`,
  'two Content-Lengths that agree': `${requestHead('PUT', '/', 'Content-Length: 5', 'content-length: 5')}hello`,
  'a Content-Length beyond 2^53': `${requestHead('PUT', '/', 'Content-Length: 9007199254740993')}hello`,
  'an unknown Transfer-Encoding': `${requestHead('PUT', '/', 'Transfer-Encoding: gzip')}5\r\nhello\r\n0\r\n\r\n`,
  'a Transfer-Encoding of two codings': `${requestHead('PUT', '/', 'Transfer-Encoding: gzip, chunked')}5\r\nhello\r\n0\r\n\r\n`,
  'chunked before another coding': `${requestHead('PUT', '/', 'Transfer-Encoding: chunked, identity')}5\r\nhello\r\n0\r\n\r\n`,
  'two Transfer-Encodings': `${requestHead('PUT', '/', 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked')}5\r\nhello\r\n0\r\n\r\n`,
  'a Transfer-Encoding almost chunked': `${requestHead('PUT', '/', 'Transfer-Encoding: xchunked')}5\r\nhello\r\n0\r\n\r\n`,
  'a quoted Transfer-Encoding': `${requestHead('PUT', '/', 'Transfer-Encoding: "chunked"')}5\r\nhello\r\n0\r\n\r\n`,
  'two Hosts': requestHead('DELETE', '/', 'Host: other'),
  'two Hosts that agree': requestHead('DELETE', '/', 'host: test'),
  'two Hosts and a body': `${requestHead('PUT', '/', 'Host: other', 'Content-Length: 5')}hello`,
  'a list of Content-Lengths': `${requestHead('PUT', '/', 'Content-Length: 5, 6')}hello`,
  'a negative Content-Length': `${requestHead('PUT', '/', 'Content-Length: -5')}hello`,
  'a Content-Length with a sign': `${requestHead('PUT', '/', 'Content-Length: +5')}hello`,
  'a hexadecimal Content-Length': `${requestHead('PUT', '/', 'Content-Length: 0x5')}hello`,
  'a Content-Length that is no number': `${requestHead('PUT', '/', 'Content-Length: five')}hello`,
  'a Content-Length beyond 2^64': `${requestHead('PUT', '/', 'Content-Length: 18446744073709551621')}hello`,
  'an empty Transfer-Encoding': `${requestHead('PUT', '/', 'Transfer-Encoding:')}5\r\nhello\r\n0\r\n\r\n`,
  'an empty Content-Length': `${requestHead('PUT', '/', 'Content-Length:')}hello`,
  'a Transfer-Encoding on GET': `${requestHead('GET', '/', 'Transfer-Encoding: identity')}`,
}

/** Requests that the parser may refuse with a reply of its own, before any of our code. */
const unparsedCases: Record<string, string> = {
  'Content-Length with Transfer-Encoding': `${requestHead('PUT', '/', 'Content-Length: 4', 'Transfer-Encoding: chunked')}5\r\nhello\r\n0\r\n\r\n`,
  'Transfer-Encoding with Content-Length': `${requestHead('PUT', '/', 'Transfer-Encoding: chunked', 'Content-Length: 4')}5\r\nhello\r\n0\r\n\r\n`,
}

/** Requests that the parser may also close without a reply. */
const swallowedCases: Record<string, string> = {
  'no Host': 'GET / HTTP/1.1\r\nAccept: a/b\r\n\r\n',
  'a space before the colon': requestHead('PUT', '/', 'Content-Length : 5'),
  'a folded header': requestHead('PUT', '/', 'X-One: a', ' Content-Length: 5'),
  'a folded Transfer-Encoding': requestHead('PUT', '/', 'Transfer-Encoding:', ' chunked'),
  'a header line without a colon': requestHead('GET', '/', 'Content-Length'),
  'a control byte in a header name': requestHead('GET', '/', 'X-\u0001Y: z'),
  'a control byte in a header value': requestHead('GET', '/', 'X-Y: \u0000'),
  'a bare carriage return in a header': requestHead('GET', '/', 'X-Y: a\rContent-Length: 5'),
  'a control byte in the target': requestHead('GET', '/\u0001'),
  'a NUL in the target': requestHead('GET', '/a\u0000b'),
  'another protocol': 'GET / HTTQ/1.1\r\nHost: test\r\n\r\n',
  'no version': 'GET /\r\n\r\n',
  'no version, with headers': 'GET /\r\nHost: test\r\n\r\n',
  'version 0.9': 'GET / HTTP/0.9\r\nHost: test\r\n\r\n',
  'version 2.0': 'GET / HTTP/2.0\r\nHost: test\r\n\r\n',
  'another version': 'GET / HTTP/3.0\r\nHost: test\r\n\r\n',
  'headers of 2 MiB': requestHead('GET', '/', `X-Large: ${'a'.repeat(2 * 1024 * 1024)}`),
  'a target of 2 MiB': requestHead('GET', `/${'a'.repeat(2 * 1024 * 1024)}`),
  'headers without an end': `${requestHead('GET', '/').slice(0, -2)}${'X: y\\r\\n'.repeat(200_000)}`,
}

/** Bodies whose framing breaks: the handler may have begun, but must not see a whole body. */
const brokenChunks: Record<string, string> = {
  'a chunk size that is no number': 'xyz\r\nhello\r\n0\r\n\r\n',
  'a chunk size with a sign': '+5\r\nhello\r\n0\r\n\r\n',
  'a negative chunk size': '-5\r\nhello\r\n0\r\n\r\n',
  'a hexadecimal prefix': '0x5\r\nhello\r\n0\r\n\r\n',
  'a chunk size beyond 2^64': '10000000000000005\r\nhello\r\n0\r\n\r\n',
  'a chunk longer than announced': '4\r\nhello\r\n0\r\n\r\n',
  'an empty chunk size': '\r\nhello\r\n0\r\n\r\n',
}

export function framingContract(way: Way): void {
  for (const [what, rest] of Object.entries({ 'in our form': '', 'with all behind it': behind })) {
    test(`framing that cannot be trusted is refused ${what}`, async () => {
      await eachAlone(way, refusedCases, async (request, scene) => {
        const client = await scene.open()
        client.write(request, rest)
        const reply = await client.reply()
        assert.equal(reply.status, 400)
        assert.match(reply.body.toString(), /^refused: ./)
        assert.equal(scene.refused.length, 1)
        await client.over()
        assert.equal(client.pendingBytes, 0)
        assert.deepEqual(scene.handled, [])
      })
    })
  }

  test('framing that cannot be read is refused with all behind it', async () => {
    await eachAlone(way, unparsedCases, async (request, scene) => {
      const client = await scene.open()
      client.write(request, behind)
      assert.equal((await client.reply()).status, 400)
      await client.over()
      assert.equal(client.pendingBytes, 0)
      assert.deepEqual(scene.handled, [])
    })
  })

  test('what is no request is refused or closed without a word', async () => {
    await eachAlone(way, swallowedCases, async (request, scene) => {
      const client = await scene.open()
      client.write(request, behind)
      const reply = await client.reply({ deadlineMs: silenceMs }).catch(() => undefined)
      if (reply !== undefined) {
        assert.ok([400, 431, 505].includes(reply.status), `status ${reply.status}`)
      }
      await client.over(silenceMs)
      assert.equal(client.pendingBytes, 0)
      assert.deepEqual(scene.handled, [])
    })
  })

  test('a read with two Hosts is refused, or the first one counts', async () => {
    const handler: SceneHandler = (exchange) => exchange.send(whole(exchange.header('host')))
    await withClient(way, handler, async (client) => {
      client.write(requestHead('GET', '/', 'Host: other'))
      const { status, body } = await client.reply()
      assert.ok(status === 400 || body.toString() === 'test', `${status} ${body}`)
    })
  })

  test('a body whose chunks cannot be trusted never ends well', async () => {
    const head = requestHead('PATCH', '/', 'Transfer-Encoding: chunked')
    await eachAlone(way, brokenChunks, async (chunks, scene) => {
      const client = await scene.open()
      client.write(head, chunks, behind)
      await client.over(silenceMs)
      assert.ok(!client.pending.toString().includes('whole body'))
      assert.ok(!scene.handled.includes('/smuggled'))
    })
  })

  test('a handler is not asked for a request that is refused after a good one', async () => {
    const handler: SceneHandler = (exchange) => exchange.send(whole('good'))
    await withClient(way, handler, async (client, scene) => {
      client.write(requestHead('GET', '/good'), refusedCases['two Content-Lengths that differ']!)
      assert.equal((await client.reply()).body.toString(), 'good')
      assert.equal((await client.reply()).status, 400)
      await client.over()
      assert.deepEqual(scene.handled, ['/good'])
    })
  })
}

const takeAll: SceneHandler = (exchange) => {
  exchange.detach()
  exchange.body.consume({
    onChunk: (_chunk, last) => {
      if (last) exchange.send(whole('whole body'))
    },
    onAbort: () => {},
  })
}

/** Each case on a listener of its own, all at the same time: some take the parser's whole idle time. */
async function eachAlone(
  way: Way,
  cases: Record<string, string>,
  run: (request: string, scene: TransportScene) => Promise<void>,
): Promise<void> {
  const failures: string[] = []
  await Promise.all(
    Object.entries(cases).map(([name, request]) =>
      withTransport(way, takeAll, (scene) => run(request, scene)).catch((error) =>
        failures.push(`${name}: ${error}`),
      ),
    ),
  )
  assert.deepEqual(failures, [])
}
