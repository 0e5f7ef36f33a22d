// Transport contract: beyond a limit on connections or requests a client is told to come back later,
// and each place is free again however its holder ended.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  Admission,
  type AdmissionLimits,
  type Limit,
} from '../../src/server/transport/admission.ts'
import type { Exchange, TransportOptions } from '../../src/server/transport/exchange.ts'
import { PatternSource } from '../support/pattern-source.ts'
import type { RawConnection, RawReply } from '../support/raw-http.ts'
import { until } from '../support/until.ts'
import {
  noLimits,
  plainHeaders,
  requestHead,
  type TransportScene,
  type Way,
  whole,
  withTransport,
} from './transport-scene.ts'

export function admissionContract(way: Way): void {
  describeConnections(way)
  describeRequests(way)
}

const limited = (limits: Partial<AdmissionLimits>): Partial<TransportOptions> => ({
  admission: new Admission({ ...noLimits, ...limits }),
})

function assertBusy(reply: RawReply, limit: Limit): void {
  assert.equal(reply.status, limit === 'total' ? 503 : 429)
  assert.equal(reply.headers['retry-after'], '7')
  assert.equal(reply.body.toString(), `busy: ${limit}`)
}

/** Another address of this host: every one of 127/8 is. */
const elsewhere = { localAddress: '127.0.0.2' }

function describeConnections(way: Way): void {
  const ok = (exchange: Exchange): void => exchange.send(whole('ok'))

  const served = async (client: RawConnection): Promise<void> => {
    client.write(requestHead('GET', '/'))
    assert.equal((await client.reply()).body.toString(), 'ok')
  }

  // Who of an address has left may be known a little later than that somebody has.
  const servedAtLast = async (open: TransportScene['open']): Promise<void> => {
    for (let tries = 1; ; tries++) {
      const client = await open()
      client.write(requestHead('GET', '/'))
      const reply = await client.reply()
      if (reply.status === 200) return
      assert.ok(tries < 50, 'the place is not free')
      assertBusy(reply, 'address')
      await client.over()
    }
  }

  const turnedAway = async (client: RawConnection, limit: Limit): Promise<void> => {
    client.write(requestHead('GET', '/'))
    const reply = await client.reply()
    assertBusy(reply, limit)
    assert.equal(reply.headers['connection']?.toLowerCase(), 'close')
    await client.over()
  }

  test('a connection too many in all is answered 503 and closed, and the others are served', async () => {
    const run = async ({ open, options, handled }: TransportScene): Promise<void> => {
      const clients = [await open(), await open(elsewhere)]
      for (const client of clients) await served(client)
      await turnedAway(await open({ localAddress: '127.0.0.3' }), 'total')
      for (const client of clients) await served(client)
      assert.equal(handled.length, 4)
      assert.equal(options.counts.connectionsRefused, 1)
      await until('two are left', () => options.counts.connections === 2)
      assert.equal(options.counts.connectionsAccepted, 2)
      for (const leave of ['close', 'reset'] as const) {
        clients.shift()?.[leave]()
        await until('a place is free', () => options.admission.connections < 2)
        const next = await open()
        await served(next)
        clients.push(next)
      }
    }
    await withTransport(way, ok, run, limited({ connectionsMax: 2 }))
  })

  test('a connection too many of one address is answered 429, and other addresses are served', async () => {
    const run = async ({ open, options }: TransportScene): Promise<void> => {
      const clients = [await open(), await open()]
      for (const client of clients) await served(client)
      await turnedAway(await open(), 'address')
      await served(await open(elsewhere))
      clients[0]?.close()
      await until('a place is free', () => options.admission.connections === 2)
      await servedAtLast(open)
    }
    await withTransport(way, ok, run, limited({ connectionsPerAddressMax: 2 }))
  })

  test('connections that are turned away in numbers leave no trace', async () => {
    const run = async ({ open, options, listener }: TransportScene): Promise<void> => {
      const client = await open()
      await served(client)
      // In such numbers some may be closed before they are even answered.
      const opening = Array.from({ length: 30 }, () => open().catch(() => undefined))
      const others = (await Promise.all(opening)).filter((each) => each !== undefined)
      // Some ask, some say nothing, some leave at once: none may hold a place.
      const asking = others.filter((_each, at) => at % 3 === 0)
      for (const each of asking) each.write(requestHead('GET', '/'))
      for (const [at, each] of others.entries()) {
        if (at % 3 === 1) each.reset()
        if (at % 3 === 2) each.close()
      }
      await Promise.all(asking.map((each) => each.over()))
      await until('one is left', () => options.counts.connections === 1)
      assert.equal(options.admission.connections, 1)
      assert.equal(listener.inFlight(), 0)
      client.close()
      await until('none is left', () => options.admission.connections === 0)
      await served(await open())
    }
    await withTransport(way, ok, run, limited({ connectionsMax: 1 }))
  })
}

function describeRequests(way: Way): void {
  const waiting: Exchange[] = []
  const handler = (exchange: Exchange): void => {
    if (exchange.path === '/now') {
      exchange.send(whole('ok'))
      return
    }
    exchange.detach()
    if (exchange.path === '/stream') {
      const source = new PatternSource(64 * 1024 * 1024)
      exchange.send({ kind: 'stream', status: 200, headers: plainHeaders, source })
    } else waiting.push(exchange)
  }

  const begin = async (scene: TransportScene, path = '/', from = {}): Promise<RawConnection> => {
    const client = await scene.open(from)
    const before = scene.options.admission.requests
    client.write(requestHead('GET', path))
    await until('it is counted', () => scene.options.admission.requests === before + 1)
    return client
  }

  /** The answer to a request beyond the limit; where its connection lives on, it is served again. */
  const turnedAway = async (client: RawConnection, limit: Limit): Promise<void> => {
    client.write(requestHead('GET', '/'))
    assertBusy(await client.reply(), limit)
  }

  const atRest = async ({ options, listener }: TransportScene): Promise<void> => {
    await until('no request is counted', () => options.admission.requests === 0)
    assert.equal(listener.inFlight(), 0)
  }

  test('a request too many in all is answered 503; each end of another makes room', async () => {
    waiting.length = 0
    const run = async (scene: TransportScene): Promise<void> => {
      const { open, options, handled } = scene
      const first = await begin(scene)
      const second = await begin(scene, '/', elsewhere)
      await turnedAway(await open({ localAddress: '127.0.0.3' }), 'total')
      assert.deepEqual(handled, ['/', '/'])
      assert.equal(options.counts.requestsRefused, 1)
      waiting[0]?.send(whole('first'))
      assert.equal((await first.reply()).body.toString(), 'first')
      const third = await begin(scene, '/stream')
      await turnedAway(first, 'total')
      third.reset()
      await until('the aborted stream is not counted', () => options.admission.requests === 1)
      second.close()
      await atRest(scene)
      const last = await begin(scene)
      waiting.at(-1)?.send(whole('last'))
      assert.equal((await last.reply()).body.toString(), 'last')
      await atRest(scene)
    }
    await withTransport(way, handler, run, limited({ requestsMax: 2 }))
  })

  test('a request too many of one address is answered 429, and other addresses are served', async () => {
    waiting.length = 0
    const run = async (scene: TransportScene): Promise<void> => {
      const mine = await begin(scene)
      await turnedAway(await scene.open(), 'address')
      const other = await begin(scene, '/', elsewhere)
      for (const exchange of waiting) exchange.send(whole('done'))
      for (const client of [mine, other]) {
        assert.equal((await client.reply()).body.toString(), 'done')
      }
      await atRest(scene)
      await begin(scene)
    }
    await withTransport(way, handler, run, limited({ requestsPerAddressMax: 1 }))
  })

  test('requests that are answered at once find room after each other', async () => {
    const run = async (scene: TransportScene): Promise<void> => {
      const client = await scene.open()
      for (let round = 0; round < 20; round++) {
        client.write(requestHead('GET', '/now'))
        assert.equal((await client.reply()).body.toString(), 'ok')
      }
      await atRest(scene)
    }
    await withTransport(way, handler, run, limited({ requestsMax: 1 }))
  })

  test('a body that is turned away reaches no handler, and its client the answer', async () => {
    waiting.length = 0
    const run = async (scene: TransportScene): Promise<void> => {
      await begin(scene)
      const client = await scene.open()
      const body = Buffer.alloc(1_000_000)
      client.write(requestHead('PUT', '/body', `Content-Length: ${body.length}`), body)
      assertBusy(await client.reply(), 'total')
      assert.deepEqual(scene.handled, ['/'])
      waiting[0]?.send(whole('done'))
      await atRest(scene)
    }
    await withTransport(way, handler, run, limited({ requestsMax: 1 }))
  })

  test('a fault in a handler and a refusal hold no place', async () => {
    const faulty = (exchange: Exchange): void => {
      if (exchange.path === '/now') exchange.send(whole('ok'))
      else throw new Error('planted')
    }
    const run = async (scene: TransportScene): Promise<void> => {
      for (const head of [requestHead('PUT', '/', 'Content-Length: 5'), requestHead('GET', '/')]) {
        const client = await scene.open()
        client.write(head, 'hello'.repeat(head.startsWith('PUT') ? 1 : 0))
        assert.equal((await client.reply()).status, 500)
      }
      const refused = await scene.open()
      refused.write(requestHead('PUT', '/', 'Content-Length: 5', 'Content-Length: 6'), 'hello')
      assert.equal((await refused.reply()).status, 400)
      const client = await scene.open()
      client.write(requestHead('GET', '/now'))
      assert.equal((await client.reply()).body.toString(), 'ok')
      await atRest(scene)
    }
    await withTransport(way, faulty, run, limited({ requestsMax: 1 }))
  })
}
