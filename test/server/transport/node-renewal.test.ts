// Changes of TLS material on the node adapter: who stays, who goes, and that nobody notices a new
// certificate.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { connect, type TLSSocket } from 'node:tls'
import type { Exchange } from '../../../src/server/transport/exchange.ts'
import { materialOf } from '../../contract/transport-material.ts'
import { plainHeaders, requestHead, type TransportScene } from '../../contract/transport-scene.ts'
import { PatternSource, patternBytes } from '../../support/pattern-source.ts'
import { needsOpenssl } from '../../support/pki.ts'
import type { RawConnection } from '../../support/raw-http.ts'
import { until } from '../../support/until.ts'
import {
  clientOptions,
  seenAs,
  tellsCertificate,
  useTlsScene,
  versions,
  withListener,
} from './node-tls-scene.ts'

describe('node: renewal', needsOpenssl, () => {
  const scene = useTlsScene()
  const sourceBytes = 32 * 1024 * 1024

  /** `/stream` sends much; everything else tells who the client is. */
  const handler = (exchange: Exchange): void => {
    const source = new PatternSource(sourceBytes)
    if (exchange.path !== '/stream') tellsCertificate(exchange)
    else exchange.send({ kind: 'stream', status: 200, headers: plainHeaders, source })
  }

  /** A client in the middle of a large reply. */
  const streaming = async (client: RawConnection): Promise<void> => {
    client.write(requestHead('GET', '/stream'))
    await until('some of it', () => client.pendingBytes > 100_000)
    client.socket.pause()
  }

  test('a revoked client is cut in mid-transfer and while idle, and nobody else', async () => {
    const { clientCa, client: good } = scene.pki
    const leaver = await clientCa.clientCertificate({ commonNames: ['leaver'] })
    const material = await scene.material({ mode: 'optional' })
    const run = async ({ open, listener, options }: TransportScene): Promise<void> => {
      for (const version of versions) {
        const idle = await open({ tls: clientOptions(version, leaver) })
        const busy = await open({ tls: clientOptions(version, leaver) })
        const others = [
          await open({ tls: clientOptions(version, good) }),
          await open({ tls: clientOptions(version) }),
        ]
        for (const client of [idle, busy, ...others]) assert.ok(await seenAs(client))
        for (const client of [busy, ...others]) await streaming(client)
        const refused = options.counts.certificatesRefused
        await clientCa.revoke(leaver).catch(() => {})
        await listener.renewTls(await scene.material({ crls: [(await clientCa.crl()).file] }))
        busy.socket.resume()
        await Promise.all([idle.over(), busy.over()])
        assert.equal(options.counts.certificatesRefused, refused + 2)
        for (const client of others) {
          client.socket.resume()
          assert.ok((await client.reply()).body.equals(patternBytes(sourceBytes)))
        }
        assert.equal(await seenAs(others[0] as RawConnection), 'build-server')
        assert.equal(await seenAs(others[1] as RawConnection), 'nobody')
        await listener.renewTls(material)
      }
    }
    await withListener(material, run, {}, handler)
  })

  test('a client of a CA that is trusted no more is cut', async () => {
    const other = await scene.pki.authority('Other CA')
    await withListener(await scene.material({ mode: 'optional' }), async ({ open, listener }) => {
      const client = await open({ tls: clientOptions('TLSv1.3', scene.pki.client) })
      const nobody = await open({ tls: clientOptions('TLSv1.3') })
      for (const each of [client, nobody]) assert.ok(await seenAs(each))
      await listener.renewTls(await scene.material({ ca: other.certificateFile }))
      await client.over()
      assert.equal(await seenAs(nobody), 'nobody')
    })
  })

  test('once a certificate is required, those without one are cut', async () => {
    await withListener(await scene.material({ mode: 'optional' }), async ({ open, listener }) => {
      const client = await open({ tls: clientOptions('TLSv1.3', scene.pki.client) })
      const nobody = await open({ tls: clientOptions('TLSv1.3') })
      for (const each of [client, nobody]) assert.ok(await seenAs(each))
      await listener.renewTls(await scene.material({ mode: 'required' }))
      await nobody.over()
      assert.equal(await seenAs(client), 'build-server')
    })
  })

  test('once certificates are asked for, those who were not asked stay nobody', async () => {
    await withListener(await scene.material(), async ({ open, listener }) => {
      const before = await open({ tls: clientOptions('TLSv1.3', scene.pki.client) })
      assert.equal(await seenAs(before), 'nobody')
      await listener.renewTls(await scene.material({ mode: 'optional' }))
      assert.equal(await seenAs(before), 'nobody')
      const after = await open({ tls: clientOptions('TLSv1.3', scene.pki.client) })
      assert.equal(await seenAs(after), 'build-server')
    })
  })

  test('a handshake that begins before a revocation and ends after it is refused', async () => {
    const { clientCa } = scene.pki
    const leaver = await clientCa.clientCertificate({ commonNames: ['late'] })
    await withListener(await scene.material({ mode: 'optional' }), async (listening) => {
      const { open, listener, options } = listening
      // The first bytes are here, the rest of the handshake waits for the revocation.
      const raw = await open({ tls: undefined })
      await until('it is accepted', () => options.counts.connections === 1)
      await clientCa.revoke(leaver)
      await listener.renewTls(await scene.material({ crls: [(await clientCa.crl()).file] }))
      const identity = clientOptions('TLSv1.3', leaver)
      const late = connect({ socket: raw.socket, rejectUnauthorized: false, ...identity })
      late.on('error', () => {})
      late.write(requestHead('GET', '/'))
      await until('it is cut', () => late.destroyed)
      assert.deepEqual(listening.handled, [])
    })
  })

  test('new certificates under load cost no handshake and no transfer', async () => {
    const { serverCa } = scene.pki
    const materials = await Promise.all(
      Array.from({ length: 4 }, async () => materialOf(await serverCa.serverCertificate())),
    )
    const tls = { ca: serverCa.pem, rejectUnauthorized: true, servername: 'localhost' }
    const run = async ({ open, listener, options }: TransportScene): Promise<void> => {
      let isOver = false
      const seen = new Set<string>()
      const hammer = async (): Promise<void> => {
        while (!isOver) {
          const client = await open({ tls })
          seen.add((client.socket as TLSSocket).getPeerCertificate().fingerprint256)
          assert.equal(await seenAs(client), 'nobody')
          client.close()
        }
      }
      const transfer = await open({ tls })
      await streaming(transfer)
      const load = Promise.all(Array.from({ length: 8 }, hammer))
      for (let swap = 0; swap < 100; swap++) {
        const material = materials[swap % materials.length]
        assert.ok(material)
        const before = options.counts.handshakesFull
        await listener.renewTls(material)
        await until('handshakes with it', () => options.counts.handshakesFull > before + 2)
      }
      isOver = true
      await load
      transfer.socket.resume()
      assert.ok((await transfer.reply()).body.equals(patternBytes(sourceBytes)))
      assert.ok(seen.size >= materials.length)
      assert.equal(options.counts.handshakesFailed, 0)
    }
    await withListener(await scene.material(), run, {}, handler)
  })
})
