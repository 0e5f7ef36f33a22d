// Transport contract: a request whose end two parsers could see in different places is refused, and
// nothing of it, nor anything behind it, reaches the handler.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RawReply } from '../support/raw-http.ts'
import {
  brokenChunks,
  deliveredCases,
  parserCases,
  type RequestTable,
} from './transport-hostile.ts'
import {
  endsInTime,
  requestHead,
  type SceneHandler,
  silenceMaxMs,
  type TransportScene,
  untilInOwnTime,
  type Way,
  whole,
  withClient,
  withTransport,
} from './transport-scene.ts'

// What follows a refused request on its connection: a smuggled request, if the framing was believed.
const behind = requestHead('GET', '/smuggled')

const target = { host: 'test', get: '/', put: '/', remove: '/', body: 'hello' } as const

export function framingContract(way: Way): void {
  describeHostile(way)
  describeChunks(way)
  describeGarbageBehind(way)
}

function describeHostile(way: Way): void {
  for (const [what, rest] of Object.entries({ 'in our form': '', 'with all behind it': behind })) {
    test(`framing that cannot be trusted is refused ${what}`, async () => {
      await eachAlone(way, deliveredCases(target), async (request, scene) => {
        const client = await scene.open()
        client.write(Buffer.from(request + rest, 'latin1'))
        const isHead = request.startsWith('HEAD')
        assertRefused(await client.reply({ isHead }), isHead)
        assert.equal(scene.refused.length, 1)
        await client.over()
        assert.equal(client.pendingBytes, 0)
        assert.deepEqual(scene.handled, [])
      })
    })
  }

  test('what is no request is refused or closed without a word', async () => {
    await eachAlone(way, parserCases(target), async (request, scene) => {
      const client = await scene.open()
      client.write(Buffer.from(request + behind, 'latin1'))
      await endsInTime(client)
      const reply = await client.reply().catch(() => undefined)
      assert.equal(client.pendingBytes, 0)
      assert.deepEqual(scene.handled, [])
      if (scene.refused.length > 0 || way.can.answersGarbage) {
        assert.ok(reply !== undefined, 'closed without a word')
        assertRefused(reply, false)
      } else if (reply !== undefined) {
        assert.ok([400, 404, 414, 431, 505].includes(reply.status), `status ${reply.status}`)
      }
    })
  })
}

function assertRefused(reply: RawReply, isHead: boolean): void {
  assert.ok([400, 414, 431, 505].includes(reply.status), `status ${reply.status}`)
  if (!isHead) assert.match(reply.body.toString(), /^refused: ./)
  assert.equal(reply.headers['connection']?.toLowerCase(), 'close')
}

function describeChunks(way: Way): void {
  test('a body whose chunks cannot be trusted never ends well', async () => {
    const head = requestHead('PATCH', '/', 'Transfer-Encoding: chunked')
    await eachAlone(way, brokenChunks(target.body), async (chunks, scene) => {
      const client = await scene.open()
      client.write(head, Buffer.from(chunks + behind, 'latin1'))
      await endsInTime(client)
      assert.ok(!client.pending.toString().includes('whole body'), 'taken for a whole body')
      assert.ok(!scene.handled.includes('/smuggled'), 'handled what is behind')
    })
  })

  // Legal, though no client of registries writes it so: read as it is meant, or refused.
  const unusualCodings: RequestTable = {
    'in capitals': 'Transfer-Encoding: CHUNKED',
    'behind a tab': 'Transfer-Encoding:\tchunked',
    'before a tab': 'Transfer-Encoding: chunked\t',
    'before spaces': 'Transfer-Encoding: chunked  ',
    'without a space': 'transfer-encoding:chunked',
  }
  test('the coding chunked is understood however it is written, or refused', async () => {
    await eachAlone(way, unusualCodings, async (line, scene) => {
      const client = await scene.open()
      client.write(requestHead('PATCH', '/1', line), '5\r\nhello\r\n0\r\n\r\n', behind)
      const reply = await client.reply()
      if (reply.status === 200) {
        assert.equal(reply.body.toString(), 'whole body of 5')
        assert.equal((await client.reply()).body.toString(), 'whole body of 0')
        assert.deepEqual(scene.handled, ['/1', '/smuggled'])
      } else {
        assertRefused(reply, false)
        assert.deepEqual(scene.handled, [])
      }
    })
  })
}

function describeGarbageBehind(way: Way): void {
  test('a handler is not asked for a request that is refused after a good one', async () => {
    const handler: SceneHandler = (exchange) => exchange.send(whole('good'))
    for (const request of Object.values(deliveredCases(target)).slice(0, 3)) {
      await withClient(way, handler, async (client, scene) => {
        client.write(requestHead('GET', '/good'), request)
        assert.equal((await client.reply()).body.toString(), 'good')
        assert.equal((await client.reply()).status, 400)
        await client.over()
        assert.deepEqual(scene.handled, ['/good'])
      })
    }
  })

  // RFC 9112 §3.2.2 wants servers to take an absolute target, but none of our clients sends one.
  test('a target in another form is taken as it is meant, or refused', async () => {
    const targets = ['http://test/x', 'http://other/x', 'test:80', '*', 'x', '?x', '#x', '\\x']
    const handler: SceneHandler = (exchange) => exchange.send(whole(exchange.path))
    const ask = (each: string): Promise<void> =>
      withClient(way, handler, async (client) => {
        client.write(requestHead('OPTIONS', each))
        const hasAnswer = (): boolean => client.isOver || client.pendingBytes > 0
        await untilInOwnTime('an answer or an end', hasAnswer, silenceMaxMs)
        const reply = await client.reply().catch(() => undefined)
        if (reply?.status !== 200) await endsInTime(client)
        else assert.ok(['/x', each].includes(reply.body.toString()), `${each}: ${reply.body}`)
      })
    await Promise.all(targets.map(ask))
  })
}

const takeAll: SceneHandler = (exchange) => {
  let bytes = 0
  exchange.detach()
  exchange.body.consume({
    onChunk: (chunk, last) => {
      bytes += chunk.length
      if (last) exchange.send(whole(`whole body of ${bytes}`))
    },
    onAbort: () => {},
  })
}

/** Each case on a listener of its own, all at the same time: some take the parser's whole idle time. */
async function eachAlone(
  way: Way,
  cases: RequestTable,
  run: (request: string, scene: TransportScene) => Promise<void>,
): Promise<void> {
  const failures: string[] = []
  const one = ([name, request]: [string, string]): Promise<unknown> => {
    const runAs = way.can.isFooledBy.includes(name) ? servesOn : run
    return withTransport(way, takeAll, (scene) => runAs(request, scene)).catch((error) =>
      failures.push(`${name}: ${error}`),
    )
  }
  await Promise.all(Object.entries(cases).map(one))
  assert.deepEqual(failures, [])
}

/** What the parser takes for good can only be answered; it must at least harm nobody else. */
async function servesOn(request: string, { open }: TransportScene): Promise<void> {
  const [client, other] = [await open(), await open()]
  client.write(Buffer.from(request + behind, 'latin1'))
  other.write(requestHead('GET', '/'))
  assert.equal((await other.reply()).status, 200)
  await client.reply().catch(() => undefined)
}
