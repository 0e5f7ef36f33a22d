// The parser of PROXY headers by itself: what it takes, that no bytes whatever upset it, and that
// nobody waits for a header without end.

import assert from 'node:assert/strict'
import { isIPv6, SocketAddress } from 'node:net'
import { describe, test } from 'node:test'
import { listenNode } from '../../../src/server/transport/node/listen.ts'
import { parseProxyHeader } from '../../../src/server/transport/node/proxy-header.ts'
import { proxyHeader } from '../../contract/transport-proxy-header.ts'
import { amplePace, whole, withClient } from '../../contract/transport-scene.ts'
import { Dice, randomFrom } from '../../support/dice.ts'
import { until } from '../../support/until.ts'

const seed = 20261122

function randomBytes(dice: Dice, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => dice.below(256)))
}

function randomAddress(dice: Dice): string {
  if (dice.chance(0.5)) return Array.from({ length: 4 }, () => dice.below(256)).join('.')
  // Zeros are what the short form of IPv6 is about.
  const group = (): string => (dice.chance(0.5) ? 0 : dice.below(65_536)).toString(16)
  const address = ['2001', ...Array.from({ length: 7 }, group)].join(':')
  return new SocketAddress({ address, family: 'ipv6' }).address
}

describe('PROXY headers', () => {
  test('every address is read as the system writes it, whatever follows', () => {
    const dice = new Dice(randomFrom(seed))
    for (let round = 0; round < 5_000; round++) {
      const source = randomAddress(dice)
      const extra = randomBytes(dice, dice.below(100))
      const header = proxyHeader({ source, extra })
      const bytes = Buffer.concat([header, randomBytes(dice, dice.below(50))])
      const expected = { bytes: header.length, client: source }
      assert.deepEqual(parseProxyHeader(bytes), expected, `seed ${seed}: ${source}`)
    }
  })

  test('every beginning of a header asks for more, and reads no byte beyond', () => {
    for (const source of ['192.0.2.7', '2001:db8::7']) {
      const header = proxyHeader({ source, extra: Buffer.alloc(20) })
      for (let length = 0; length < header.length; length++) {
        assert.equal(parseProxyHeader(header.subarray(0, length)), 'more', `${length} bytes`)
      }
    }
  })

  test('a proxy of its own account and a client without address leave the peer as it is', () => {
    const own = proxyHeader({ command: 'LOCAL', extra: Buffer.alloc(12) })
    assert.deepEqual(parseProxyHeader(own), { bytes: own.length, client: undefined })
    const unspecified = proxyHeader({ patch: { 13: 0x00 } })
    const expected = { bytes: unspecified.length, client: undefined }
    assert.deepEqual(parseProxyHeader(unspecified), expected)
  })

  test('a header of 536 bytes is taken and one of 537 is not', () => {
    const withTotal = (total: number): Buffer => proxyHeader({ extra: Buffer.alloc(total - 28) })
    assert.deepEqual(parseProxyHeader(withTotal(536)), { bytes: 536, client: '192.0.2.7' })
    assert.equal(parseProxyHeader(withTotal(537)), 'refused')
    assert.equal(parseProxyHeader(withTotal(537).subarray(0, 16)), 'refused')
  })

  test('what differs from a header in any byte that matters is refused at that byte', () => {
    const header = proxyHeader()
    for (let at = 0; at < 14; at++) {
      const changed = Buffer.from(header)
      changed[at] = 0xee
      const wanted = at < 12 ? at + 1 : 16
      assert.equal(parseProxyHeader(changed.subarray(0, wanted)), 'refused', `byte ${at}`)
    }
  })

  test('no bytes upset it: garbage, and headers with some bytes changed', () => {
    const dice = new Dice(randomFrom(seed))
    const seen = new Set<string>()
    for (let round = 0; round < 20_000; round++) {
      const header = proxyHeader({
        source: randomAddress(dice),
        extra: Buffer.alloc(dice.below(9)),
      })
      for (let change = dice.below(4); change > 0; change--) {
        header[dice.below(header.length)] = dice.below(256)
      }
      const bytes = dice.chance(0.2) ? randomBytes(dice, dice.below(600)) : header
      const result = parseProxyHeader(bytes.subarray(0, dice.below(bytes.length + 1)))
      seen.add(typeof result === 'string' ? result : 'header')
      if (typeof result === 'string') continue
      const { bytes: length, client } = result
      assert.ok(length >= 16 && length <= 536)
      if (client === undefined) continue
      // The one spelling that the system would choose, too.
      const family = isIPv6(client) ? 'ipv6' : 'ipv4'
      assert.equal(new SocketAddress({ address: client, family }).address, client)
    }
    assert.deepEqual([...seen].sort(), ['header', 'more', 'refused'])
  })

  test('a header that does not come in time ends the connection, also byte by byte', async () => {
    const overrides = {
      proxyProtocol: { trusts: () => true },
      pace: { ...amplePace, handshakeMs: 300 },
    }
    const silences = [[], [...proxyHeader({ extra: Buffer.alloc(500) })]] as const
    for (const bytes of silences) {
      await withClient(
        listenNode,
        (exchange) => exchange.send(whole('ok')),
        async (client, { options, handled }) => {
          const left = [...bytes]
          await until('it is over', () => {
            const next = left.shift()
            if (next !== undefined) client.write(Buffer.from([next]))
            return client.isOver
          })
          assert.equal(client.pendingBytes, 0)
          assert.deepEqual(handled, [])
          assert.equal(options.counts.proxyHeadersRefused, 1)
          await until('it is forgotten', () => options.counts.connections === 0)
        },
        overrides,
      )
    }
  })
})
