// Goal: no listener gets a transport that cannot do what is asked of it. Method: listeners that only one
// of the two can serve, asked of the other.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ListenerDefaults, openListeners } from '../../src/server/listen.ts'

const listener = { kind: 'tcp', address: '127.0.0.1', port: 0, proxyProtocol: false } as const

// Refused before any of the rest is looked at.
function defaults(changes: Partial<ListenerDefaults>): ListenerDefaults {
  return { choice: 'uws', tlsConfig: undefined, ...changes } as ListenerDefaults
}

test('uws is refused for TLS where only a FIPS provider may do the cryptography', async () => {
  await assert.rejects(
    openListeners([{ ...listener, tls: true }], defaults({ isFips: true }), () => undefined),
    /transport = "uws": its cryptography is not that of the FIPS provider; set it to "node"/,
  )
})

test('uws is refused for a unix socket that several processes share', async () => {
  const socket = { kind: 'unix', path: '/nowhere/socket', mode: 0o600, tls: false } as const
  await assert.rejects(
    openListeners(
      [{ ...socket, proxyProtocol: false }],
      defaults({ sharesAddress: true }),
      () => undefined,
    ),
    /transport = "uws": it cannot share a unix socket/,
  )
})
