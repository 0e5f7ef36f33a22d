// Which addresses count as one: a subscriber of IPv6 has 2^64 of them and must not get 2^64 tries.
import assert from 'node:assert/strict'
import { isIPv4 } from 'node:net'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { addressGroup } from '../../src/http/address-group.ts'

describe('the group of an address', () => {
  test('is the address itself for IPv4, also where IPv6 carries it', () => {
    assert.equal(addressGroup('192.0.2.7'), '192.0.2.7')
    assert.equal(addressGroup('::ffff:192.0.2.7'), '192.0.2.7')
    assert.equal(addressGroup('::FFFF:c000:207'), '192.0.2.7')
    assert.equal(addressGroup('64:ff9b::192.0.2.7'), '192.0.2.7')
    assert.equal(addressGroup('64:ff9b::c000:207'), '192.0.2.7')
  })

  test('is the /64 for IPv6, however the address is written', () => {
    const group = '2001:db8:0:7::/64'
    for (const address of [
      '2001:db8:0:7::1',
      '2001:DB8::7:0:0:0:1',
      '2001:0db8:0000:0007:ffff:ffff:ffff:ffff',
      '2001:db8:0:7:1:2:192.0.2.7',
      '2001:db8:0:7::1%eth0',
    ]) {
      assert.equal(addressGroup(address), group, address)
    }
    assert.equal(addressGroup('::1'), '0:0:0:0::/64')
    assert.equal(addressGroup('fe80::1%2'), 'fe80:0:0:0::/64')
  })

  test('differs between networks', () => {
    assert.notEqual(addressGroup('2001:db8:0:7::1'), addressGroup('2001:db8:0:8::1'))
    assert.notEqual(addressGroup('2001:db8::1'), addressGroup('2001:db8:0:1::1'))
    assert.notEqual(addressGroup('64:ff9c::1'), addressGroup('64:ff9b::1'))
  })

  test('is the text itself where that is no address', () => {
    for (const text of ['', 'unix', 'a:b', '::g', '1:2:3:4:5:6:7:8:9', '/run/a:b']) {
      assert.equal(addressGroup(text), text)
    }
  })

  test('is the same for all addresses of a random network, and an address never fails', () => {
    fc.assert(
      fc.property(fc.ipV6(), fc.ipV6(), (one, other) => {
        const group = addressGroup(one)
        assert.ok(isIPv4(group) || /^(?:[0-9a-f]{1,4}:){4}:\/64$/.test(group), group)
        // The same network with the last half of another address.
        if (isIPv4(group) || isIPv4(addressGroup(other))) return
        const network = group.slice(0, -':/64'.length)
        assert.equal(addressGroup(`${network}1:2:3:4`), group)
      }),
    )
  })
})
