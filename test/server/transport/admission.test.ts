// Limits for one client: all addresses of an IPv6 network are one client's.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Admission } from '../../../src/server/transport/admission.ts'

function admission(): Admission {
  return new Admission({
    ...{ connectionsMax: 100, connectionsPerAddressMax: 3 },
    ...{ requestsMax: 100, requestsPerAddressMax: 2 },
  })
}

test('connections from one IPv6 network count together, and end together', () => {
  const limits = admission()
  for (const last of ['1', '2', '3']) limits.openConnection(`2001:db8:0:7::${last}`)
  assert.equal(
    limits.connectionLimit(() => '2001:db8:0:7:a::4'),
    'address',
  )
  assert.equal(
    limits.connectionLimit(() => '2001:db8:0:8::1'),
    undefined,
  )
  assert.equal(limits.connectionsOf('2001:db8:0:7::9'), 3)
  limits.closeConnection('2001:db8:0:7::2')
  assert.equal(
    limits.connectionLimit(() => '2001:db8:0:7:a::4'),
    undefined,
  )
  limits.settleConnections('2001:db8:0:7::1', 1)
  limits.closeConnection('2001:db8:0:7::3')
  assert.equal(limits.connectionsOf('2001:db8:0:7::1'), 0)
})

test('requests from one IPv6 network count together, those of IPv4 addresses do not', () => {
  const limits = admission()
  for (const last of ['1', '2']) limits.beginRequest(`2001:db8::${last}`)
  assert.equal(
    limits.requestLimit(() => '2001:db8::3'),
    'address',
  )
  limits.endRequest('2001:db8::1')
  assert.equal(
    limits.requestLimit(() => '2001:db8::3'),
    undefined,
  )
  for (const last of [1, 2]) limits.beginRequest(`192.0.2.${last}`)
  assert.equal(
    limits.requestLimit(() => '192.0.2.1'),
    undefined,
  )
})

test('a unix socket has no limit of its own', () => {
  const limits = admission()
  for (let i = 0; i < 10; i += 1) limits.openConnection('')
  assert.equal(
    limits.connectionLimit(() => ''),
    undefined,
  )
})
