// Resumed sessions on the node adapter: cheap, but never a way past what a full handshake would refuse.

import assert from 'node:assert/strict'
import { constants } from 'node:crypto'
import { describe, test } from 'node:test'
import type { TlsMaterial } from '../../../src/server/tls/contract.ts'
import type { TransportScene } from '../../contract/transport-scene.ts'
import { type Certificate, needsOpenssl } from '../../support/pki.ts'
import type { RawConnection } from '../../support/raw-http.ts'
import { until } from '../../support/until.ts'
import {
  clientOptions,
  isResumed,
  seenAs,
  sessionOf,
  useTlsScene,
  type Version,
  versions,
  withListener,
} from './node-tls-scene.ts'

describe('node: resumed sessions', needsOpenssl, () => {
  const scene = useTlsScene()
  const optional = (): Promise<TlsMaterial> => scene.material({ mode: 'optional' })

  const begin = async (
    { open }: TransportScene,
    version: Version,
    shown?: Certificate,
  ): Promise<Buffer> => sessionOf(await open({ tls: clientOptions(version, shown) }))

  /** Comes back with the session, and with the certificate in case that there is a full handshake. */
  const again = (
    { open }: TransportScene,
    version: Version,
    session: Buffer,
    shown?: Certificate,
  ): Promise<RawConnection> => open({ tls: { ...clientOptions(version, shown), session } })

  for (const version of versions) {
    test(`${version}: the identity comes back with the session, however often`, async () => {
      await withListener(await optional(), async (listening) => {
        const session = await begin(listening, version, scene.pki.client)
        for (let round = 0; round < 3; round++) {
          // It shows no certificate: what the server knows is from the ticket.
          const client = await again(listening, version, session)
          assert.ok(isResumed(client))
          assert.equal(await seenAs(client), 'build-server')
          assert.equal(await seenAs(client), 'build-server')
        }
        const { handshakesFull, handshakesResumed } = listening.options.counts
        assert.deepEqual([handshakesFull, handshakesResumed], [1, 3])
      })
    })

    test(`${version}: nobody stays nobody`, async () => {
      await withListener(await optional(), async (listening) => {
        const session = await begin(listening, version)
        const client = await again(listening, version, session, scene.pki.client)
        assert.ok(isResumed(client))
        assert.equal(await seenAs(client), 'nobody')
      })
    })

    test(`${version}: a session is resumed by another process with the same material`, async () => {
      const material = await scene.material({ mode: 'required' })
      await withListener(material, (first) =>
        withListener({ ...material }, async (second) => {
          const session = await begin(first, version, scene.pki.client)
          const client = await again(second, version, session)
          assert.ok(isResumed(client))
          assert.equal(await seenAs(client), 'build-server')
        }),
      )
    })

    test(`${version}: a client below an intermediate CA resumes`, async () => {
      const between = await scene.pki.clientCa.intermediate('Between')
      const below = await between.clientCertificate({ commonNames: ['below'] })
      await withListener(await optional(), async (listening) => {
        const session = await begin(listening, version, below)
        const client = await again(listening, version, session)
        assert.ok(isResumed(client))
        assert.equal(await seenAs(client), 'below')
      })
    })

    test(`${version}: a client that is revoked does not resume, even with the same keys`, async () => {
      const { clientCa } = scene.pki
      const shown = await clientCa.clientCertificate({ commonNames: ['leaver'] })
      const before = await optional()
      await clientCa.revoke(shown)
      const crls = [(await clientCa.crl()).file]
      await withListener(before, async (listening) => {
        const session = await begin(listening, version, shown)
        const mistaken = { ...(await scene.material({ crls })), ticketKeys: before.ticketKeys }
        await listening.listener.renewTls(mistaken)
        const { options } = listening
        const refused = options.counts.certificatesRefused
        const client = await again(listening, version, session)
        assert.ok(isResumed(client))
        assert.equal(await seenAs(client), undefined)
        assert.equal(options.counts.certificatesRefused, refused + 1)
      })
    })

    test(`${version}: a session without certificate is no way in once one is required`, async () => {
      const before = await optional()
      await withListener(before, async (listening) => {
        const session = await begin(listening, version)
        const after = await scene.material({ mode: 'required' })
        await listening.listener.renewTls({ ...after, ticketKeys: before.ticketKeys })
        const client = await again(listening, version, session).catch(() => undefined)
        assert.equal(client && (await seenAs(client)), undefined)
      })
    })

    test(`${version}: a certificate that expires ends its sessions`, async () => {
      const notAfter = new Date(Math.ceil(Date.now() / 1000) * 1000 + 2000)
      const shown = await scene.pki.clientCa.clientCertificate({ notAfter })
      await withListener(await optional(), async (listening) => {
        const session = await begin(listening, version, shown)
        await until('it has expired', () => Date.now() > notAfter.getTime())
        const client = await again(listening, version, session)
        assert.ok(isResumed(client))
        assert.equal(await seenAs(client), undefined)
        assert.equal(listening.options.counts.certificatesRefused, 1)
      })
    })

    test(`${version}: other CAs or lists have other keys, so that nothing is resumed`, async () => {
      const { pki } = scene
      const crls = [(await pki.clientCa.crl()).file]
      await withListener(await optional(), async (listening) => {
        const session = await begin(listening, version, pki.client)
        await listening.listener.renewTls(await scene.material({ crls }))
        const client = await again(listening, version, session, pki.client)
        assert.equal(isResumed(client), false)
        assert.equal(await seenAs(client), 'build-server')
      })
    })

    test(`${version}: other ticket keys cost one full handshake, and no client is lost`, async () => {
      const { ticketKeys: others } = await scene.material({ mode: 'required' })
      const material = await scene.material()
      await withListener(material, async (listening) => {
        const session = await begin(listening, version)
        await listening.listener.renewTls({ ...material, ticketKeys: others })
        const client = await again(listening, version, session)
        assert.equal(isResumed(client), false)
        const next = await sessionOf(client)
        assert.ok(isResumed(await again(listening, version, next)))
      })
    })

    test(`${version}: an identity of former days is not known where none is asked for`, async () => {
      const before = await optional()
      await withListener(before, async (listening) => {
        const session = await begin(listening, version, scene.pki.client)
        const silent = { ...(await scene.material()), ticketKeys: before.ticketKeys }
        await listening.listener.renewTls(silent)
        const client = await again(listening, version, session)
        assert.equal(await seenAs(client), 'nobody')
      })
    })

    test(`${version}: a client without ticket extension has its identity too`, async () => {
      await withListener(await optional(), async ({ open, options }) => {
        const secureOptions = constants.SSL_OP_NO_TICKET
        const tls = { ...clientOptions(version, scene.pki.client), secureOptions }
        const first = await open({ tls })
        const session = await sessionOf(first)
        const client = await open({ tls: { ...tls, session } })
        assert.equal(await seenAs(client), 'build-server')
        // A session id of 1.2 names nothing here: there is no memory of sessions, only tickets.
        const { handshakesFull, handshakesResumed } = options.counts
        assert.deepEqual(
          [handshakesFull, handshakesResumed],
          version === 'TLSv1.2' ? [2, 0] : [1, 1],
        )
      })
    })
  }
})
