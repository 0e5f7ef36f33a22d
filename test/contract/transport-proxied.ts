// Transport contract: PROXY protocol version 2 in front of everything, believed from trusted peers and
// nothing else.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Admission } from '../../src/server/transport/admission.ts'
import type { Exchange, TransportOptions } from '../../src/server/transport/exchange.ts'
import type { RawConnection } from '../support/raw-http.ts'
import { until } from '../support/until.ts'
import type { Materials } from './transport-material.ts'
import { proxyHeader } from './transport-proxy-header.ts'
import {
  endsInTime,
  later,
  noLimits,
  requestHead,
  type SceneHandler,
  silenceMaxMs,
  type TransportScene,
  untilInOwnTime,
  type Way,
  whole,
  withTransport,
} from './transport-scene.ts'

const tellsPeer: SceneHandler = (exchange) => exchange.send(whole(exchange.remoteAddress))
const trusting: Partial<TransportOptions> = {
  proxyProtocol: { trusts: (peer) => peer === '127.0.0.1' },
}

async function peerSeen(client: RawConnection): Promise<string> {
  client.write(requestHead('GET', '/'))
  return (await client.reply()).body.toString()
}

export function proxiedContract(way: Way): void {
  if (!way.can.readsProxyHeaders) {
    test('a listener behind a PROXY header does not start', async () => {
      const listening = withTransport(way, tellsPeer, async () => {}, trusting)
      await assert.rejects(listening, /PROXY/)
    })
    describeUnasked(way)
    return
  }
  describeUnasked(way)
  describeTrusted(way)
  describeDropped(way)
  describeBounds(way)
}

function describeTrusted(way: Way): void {
  test('the address that a trusted proxy tells is the client’s, for all its requests', async () => {
    const run = async ({ open }: TransportScene): Promise<void> => {
      for (const source of ['192.0.2.7', '10.0.0.1', '2001:db8::7', '2001:db8:1:2:3:4:5:6']) {
        const client = await open({ preamble: proxyHeader({ source }) })
        for (let round = 0; round < 3; round++) assert.equal(await peerSeen(client), source)
      }
    }
    await withTransport(way, tellsPeer, run, trusting)
  })

  test('an IPv4 address in IPv6 form is told as IPv4', async () => {
    const run = async ({ open }: TransportScene): Promise<void> => {
      const client = await open({ preamble: proxyHeader({ source: '::ffff:c000:207' }) })
      assert.equal(await peerSeen(client), '192.0.2.7')
    }
    await withTransport(way, tellsPeer, run, trusting)
  })

  test('what a proxy sends of its own account has the proxy’s address', async () => {
    const run = async ({ open }: TransportScene): Promise<void> => {
      const client = await open({ preamble: proxyHeader({ command: 'LOCAL' }) })
      assert.equal(await peerSeen(client), '127.0.0.1')
    }
    await withTransport(way, tellsPeer, run, trusting)
  })

  test('further values behind the addresses are skipped', async () => {
    const extra = Buffer.concat([Buffer.from([0x04, 0x00, 0x50]), Buffer.alloc(0x50)])
    const run = async ({ open }: TransportScene): Promise<void> => {
      for (const source of ['192.0.2.7', '2001:db8::7']) {
        assert.equal(
          await peerSeen(await open({ preamble: proxyHeader({ source, extra }) })),
          source,
        )
      }
    }
    await withTransport(way, tellsPeer, run, trusting)
  })

  test('the header may come in one piece with the request, or in several', async () => {
    const bytes = Buffer.concat([proxyHeader(), Buffer.from(requestHead('GET', '/'))])
    const run = async ({ open }: TransportScene): Promise<void> => {
      for (const cut of [bytes.length, 1, 11, 12, 15, 16, 20, 27, 28, 29]) {
        const client = await open()
        client.write(bytes.subarray(0, cut))
        for (let turn = 0; turn < 5; turn++) await later()
        client.write(bytes.subarray(cut))
        assert.equal((await client.reply()).body.toString(), '192.0.2.7', `cut at ${cut}`)
      }
    }
    await withTransport(way, tellsPeer, run, trusting)
  })
}

function describeDropped(way: Way): void {
  const badHeaders: Readonly<Record<string, Uint8Array>> = {
    'version 1': Buffer.from('PROXY TCP4 192.0.2.7 192.0.2.1 49153 443\r\n'),
    'version 1, unknown': Buffer.from('PROXY UNKNOWN\r\n'),
    'no header': new Uint8Array(0),
    'a wrong signature': proxyHeader({ patch: { 4: 0x01 } }),
    'version 3': proxyHeader({ patch: { 12: 0x31 } }),
    'an unknown command': proxyHeader({ patch: { 12: 0x22 } }),
    'an unknown family': proxyHeader({ patch: { 13: 0x41 } }),
    'a datagram': proxyHeader({ patch: { 13: 0x12 } }),
    'fewer bytes than its addresses': proxyHeader({ patch: { 14: 0, 15: 4 } }),
    'IPv6 with the length of IPv4': proxyHeader({ patch: { 13: 0x21 } }),
    'more bytes than a header has': proxyHeader({ patch: { 14: 0xff, 15: 0xff } }),
    'two headers': Buffer.concat([proxyHeader(), proxyHeader({ source: '192.0.2.8' })]),
  }

  test('a connection whose header is missing, malformed or of version 1 is dropped', async () => {
    const dropped = async ([what, preamble]: [string, Uint8Array]): Promise<void> => {
      const run = async ({ open, handled }: TransportScene): Promise<void> => {
        const client = await open()
        client.write(preamble, requestHead('GET', '/'))
        await endsInTime(client)
        assert.deepEqual(handled, [], what)
        assert.ok(!client.pending.toString().includes(' 200 '), what)
      }
      await withTransport(way, tellsPeer, run, trusting)
    }
    await Promise.all(Object.entries(badHeaders).map(dropped))
  })

  test('a header of a peer that is not trusted is dropped with its connection', async () => {
    const run = async ({ open, handled, options }: TransportScene): Promise<void> => {
      for (const preamble of [proxyHeader(), proxyHeader({ command: 'LOCAL' })]) {
        const client = await open({ preamble, localAddress: '127.0.0.2' })
        client.write(requestHead('GET', '/'))
        await endsInTime(client)
        assert.equal(client.pendingBytes, 0)
      }
      assert.deepEqual(handled, [])
      assert.equal(options.counts.proxyHeadersRefused, 2)
      assert.equal(await peerSeen(await open({ preamble: proxyHeader() })), '192.0.2.7')
      assert.equal(options.counts.proxyHeadersRefused, 2)
    }
    await withTransport(way, tellsPeer, run, trusting)
  })
}

function describeUnasked(way: Way): void {
  test('without the option a header is no request', async () => {
    const run = async ({ open, handled }: TransportScene): Promise<void> => {
      const client = await open({ preamble: proxyHeader() })
      client.write(requestHead('GET', '/'))
      const hasAnswer = (): boolean => client.isOver || client.pendingBytes > 0
      await untilInOwnTime('an answer or an end', hasAnswer, silenceMaxMs)
      const reply = await client.reply().catch(() => undefined)
      // Where the parser skips it unasked, it must at least not be believed.
      if (reply?.status === 200) assert.equal(reply.body.toString(), '127.0.0.1')
      else assert.deepEqual(handled, [])
    }
    await withTransport(way, tellsPeer, run)
  })
}

function describeBounds(way: Way): void {
  test('limits per address count the clients behind a proxy one by one', async () => {
    const waiting: Exchange[] = []
    const handler: SceneHandler = (exchange) => {
      exchange.detach()
      waiting.push(exchange)
    }
    const admission = new Admission({ ...noLimits, requestsPerAddressMax: 1 })
    const run = async ({ open }: TransportScene): Promise<void> => {
      const from = (source: string): Promise<RawConnection> =>
        open({ preamble: proxyHeader({ source }) })
      const clients = [await from('192.0.2.7'), await from('192.0.2.8')]
      for (const client of clients) client.write(requestHead('GET', '/'))
      await until('both wait', () => waiting.length === 2)
      const greedy = await from('192.0.2.7')
      greedy.write(requestHead('GET', '/'))
      assert.equal((await greedy.reply()).status, 429)
      for (const exchange of waiting) exchange.send(whole('done'))
      for (const client of clients) assert.equal((await client.reply()).status, 200)
      assert.equal(admission.requests, 0)
    }
    await withTransport(way, handler, run, { ...trusting, admission })
  })
}

/** PROXY outside TLS; or, where the adapter cannot, a listener that does not start. */
export function proxiedTlsContract(way: Way, materials: Materials): void {
  test('a PROXY header ahead of TLS is read, or such a listener does not start', async () => {
    const run = async ({ open, handled }: TransportScene): Promise<void> => {
      const client = await open({ preamble: proxyHeader() })
      for (let round = 0; round < 2; round++) assert.equal(await peerSeen(client), '192.0.2.7')
      const before = handled.length
      await assert.rejects(open())
      await assert.rejects(open({ preamble: proxyHeader(), localAddress: '127.0.0.2' }))
      const inside = open({ preamble: Buffer.from('PROXY UNKNOWN\r\n') })
      await assert.rejects(inside)
      assert.equal(handled.length, before)
    }
    const options = { ...trusting, tls: materials.server }
    const listening = withTransport(way, tellsPeer, run, options)
    if (way.can.readsProxyHeaders) await listening
    else await assert.rejects(listening, /PROXY/i)
  })
}
