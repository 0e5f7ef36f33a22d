// Which hop counts as the client behind proxies, and whose words about it are believed.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createProxyTrust } from '../../src/server/forwarded.ts'
import type { Exchange } from '../../src/server/transport/exchange.ts'

function clientOf(proxies: readonly string[], peer: string, ...lines: readonly string[]): string {
  const exchange = {
    remoteAddress: peer,
    headerLines: (name: string) => (name === 'x-forwarded-for' ? lines : []),
  }
  return createProxyTrust(proxies).clientAddress(exchange as unknown as Exchange)
}

const proxies = ['10.0.0.0/8', '192.0.2.7', 'fd00::/8']

describe('the address of a client', () => {
  const cases: ReadonlyArray<
    readonly [what: string, peer: string, lines: readonly string[], client: string]
  > = [
    ['an untrusted peer speaks for itself only', '198.51.100.1', ['203.0.113.9'], '198.51.100.1'],
    ['a trusted proxy names its client', '10.1.2.3', ['203.0.113.9'], '203.0.113.9'],
    ['a single trusted address counts', '192.0.2.7', ['203.0.113.9'], '203.0.113.9'],
    ['its neighbour does not', '192.0.2.8', ['203.0.113.9'], '192.0.2.8'],
    [
      'what the client wrote itself is not believed',
      '10.1.2.3',
      ['1.1.1.1, 203.0.113.9'],
      '203.0.113.9',
    ],
    ['trusted hops are passed over', '10.1.2.3', ['203.0.113.9, 10.9.9.9, fd00::1'], '203.0.113.9'],
    ['later header lines are further right', '10.1.2.3', ['1.1.1.1', '203.0.113.9'], '203.0.113.9'],
    [
      'a spoofed second line does not hide the first',
      '10.1.2.3',
      ['203.0.113.9', '10.5.5.5'],
      '203.0.113.9',
    ],
    ['without the header the proxy is the client', '10.1.2.3', [], '10.1.2.3'],
    [
      'only proxies in the chain: the left-most one',
      '10.1.2.3',
      ['10.2.2.2, 10.3.3.3'],
      '10.2.2.2',
    ],
    [
      'what is no address ends the chain',
      '10.1.2.3',
      ['203.0.113.9, unknown, 10.3.3.3'],
      '10.3.3.3',
    ],
    ['an empty hop ends the chain', '10.1.2.3', ['203.0.113.9,'], '10.1.2.3'],
    ['a port is cut off', '10.1.2.3', ['203.0.113.9:4711'], '203.0.113.9'],
    [
      'an IPv6 address with a port stands in brackets',
      '10.1.2.3',
      ['[2001:db8::1]:443'],
      '2001:db8::1',
    ],
    ['an IPv6 address needs no brackets', 'fd00::2', ['2001:db8::1'], '2001:db8::1'],
    [
      'a mapped address is an IPv4 address',
      '10.1.2.3',
      ['203.0.113.9, ::ffff:10.3.3.3'],
      '203.0.113.9',
    ],
    ['a scoped address is no address', '10.1.2.3', ['fe80::1%eth0'], '10.1.2.3'],
    ['a unix socket is no trusted proxy', '', ['203.0.113.9'], ''],
  ]
  for (const [what, peer, lines, client] of cases) {
    test(what, () => assert.equal(clientOf(proxies, peer, ...lines), client))
  }

  test('nobody is trusted by default', () => {
    assert.equal(clientOf([], '127.0.0.1', '203.0.113.9'), '127.0.0.1')
  })
})
