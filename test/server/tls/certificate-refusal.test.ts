// Goal: a client certificate that a handshake let in earlier is let in again only while it is good.
// Method: real certificates against materials that differ, and real TLS connections for what node
// knows of a chain.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { connect, createServer, type TLSSocket } from 'node:tls'
import type { TlsConfig } from '../../../src/config/schema.ts'
import { certificateRefusal } from '../../../src/server/tls/certificate-refusal.ts'
import type { ClientAuthMaterial } from '../../../src/server/tls/contract.ts'
import { loadTlsMaterial } from '../../../src/server/tls/load.ts'
import { type Authority, type Certificate, needsOpenssl, type Pki } from '../../support/pki.ts'
import { dayMs, hourMs, openTlsScene, type TlsScene, tlsFiles, writeScene } from './tls-scene.ts'

describe('looking again at a client certificate', needsOpenssl, () => {
  let scene: TlsScene
  let pki: Pki
  let client: X509Certificate
  let plain: ClientAuthMaterial
  before(async () => {
    scene = await openTlsScene()
    pki = scene.pki
    client = new X509Certificate(pki.client.pem)
    plain = await trusting([pki.clientCa])
  })
  after(() => scene.close())

  async function trusting(
    authorities: readonly Authority[],
    over: Partial<TlsConfig> = {},
  ): Promise<ClientAuthMaterial> {
    const clientCaBundle = await writeScene(scene, authorities.map(({ pem }) => pem).join(''))
    const { clientAuth } = await loadTlsMaterial(
      tlsFiles(scene, { clientCaBundle, ...over }),
      Date.now,
    )
    assert.ok(clientAuth)
    return clientAuth
  }

  test('lets in one that is good', () => {
    assert.equal(certificateRefusal(client, plain, Date.now()), undefined)
    assert.equal(certificateRefusal(client, plain, Date.now()), undefined)
  })

  test('sees that time has passed, also where it was asked before', () => {
    assert.equal(certificateRefusal(client, plain, Date.now()), undefined)
    assert.match(certificateRefusal(client, plain, Date.now() + 31 * dayMs) ?? '', /^expired at /)
    const early = certificateRefusal(client, plain, Date.now() - 2 * dayMs)
    assert.match(early ?? '', /^not valid before /)
    assert.equal(certificateRefusal(client, plain, Date.now()), undefined)
  })

  test('sees a revocation', async () => {
    const leaf = await pki.clientCa.clientCertificate()
    const x509 = new X509Certificate(leaf.pem)
    const older = await pki.clientCa.crl()
    await pki.clientCa.revoke(leaf)
    const newer = await pki.clientCa.crl()
    const before = await trusting([pki.clientCa], { clientCrls: [older.file] })
    const after = await trusting([pki.clientCa], { clientCrls: [newer.file] })
    assert.equal(certificateRefusal(x509, before, Date.now()), undefined)
    assert.equal(certificateRefusal(x509, after, Date.now()), 'revoked')
    assert.equal(certificateRefusal(client, after, Date.now()), undefined)
    // What the session proved says nothing about a revocation.
    assert.equal(certificateRefusal(x509, after, Date.now(), after), 'revoked')
  })

  test('refuses all of a CA whose list has ended, as a handshake would', async () => {
    const other = await pki.authority('Other CA')
    const nextUpdate = new Date(Date.now() + hourMs)
    const lists = [await pki.clientCa.crl({ nextUpdate }), await other.crl()]
    const clientCrls = lists.map(({ file }) => file)
    const material = await trusting([pki.clientCa, other], { clientCrls })
    const inTwoHours = Date.now() + 2 * hourMs
    assert.equal(certificateRefusal(client, material, Date.now()), undefined)
    assert.match(certificateRefusal(client, material, inTwoHours) ?? '', /list .* ended at/)
    const foreign = new X509Certificate((await other.clientCertificate()).pem)
    assert.equal(certificateRefusal(foreign, material, inTwoHours), undefined)
  })

  test('refuses one of a CA that is gone, or only has the name', async () => {
    const other = await pki.authority('Other CA')
    const unknown = 'its issuer is not known here'
    assert.equal(certificateRefusal(client, await trusting([other]), Date.now()), unknown)
    const rogue = await pki.rogueCa()
    assert.equal(certificateRefusal(client, await trusting([rogue]), Date.now()), unknown)
    const bare = await pki.clientCa.clientCertificate({ withoutKeyIdentifiers: true })
    const bareX509 = new X509Certificate(bare.pem)
    assert.equal(certificateRefusal(bareX509, plain, Date.now()), undefined)
    assert.equal(certificateRefusal(bareX509, await trusting([rogue]), Date.now()), unknown)
    const both = await trusting([rogue, pki.clientCa])
    assert.equal(certificateRefusal(client, both, Date.now()), undefined)
  })

  test('goes up by intermediates of the bundle, each in its time and not revoked', async () => {
    const notAfter = new Date(Date.now() + hourMs)
    const short = await pki.clientCa.intermediate('Short CA', { notAfter })
    const x509 = new X509Certificate((await short.clientCertificate()).pem)
    const material = await trusting([short, pki.clientCa])
    assert.equal(certificateRefusal(x509, material, Date.now()), undefined)
    assert.match(certificateRefusal(x509, material, Date.now() + 2 * hourMs) ?? '', /^expired/)

    await pki.clientCa.revoke(short)
    const lists = [await pki.clientCa.crl(), await short.crl()]
    const clientCrls = lists.map(({ file }) => file)
    const strict = await trusting([short, pki.clientCa], { clientCrls })
    assert.equal(certificateRefusal(x509, strict, Date.now()), 'revoked')
  })

  test('takes intermediates that the client sent, where the handshake was a full one', async () => {
    const intermediate = await pki.clientCa.intermediate('Sent CA')
    const leaf = await intermediate.clientCertificate()
    const other = await trusting([await pki.authority('Other CA')])
    await withPeers(leaf, plain, (full, resumed) => {
      assert.equal(resumed.issuerCertificate, undefined)
      if (!showsChain) return assertUnknown(full)
      assert.equal(certificateRefusal(full, plain, Date.now()), undefined)
      assert.match(certificateRefusal(full, other, Date.now()) ?? '', /its issuer leads to no CA/)
    })
  })

  test('trusts no root that the client sent', async () => {
    const intermediate = await pki.clientCa.intermediate('Sent CA')
    const leaf = await intermediate.clientCertificate()
    const other = await trusting([await pki.authority('Other CA')])
    const withRoot = { ...leaf, bundlePem: leaf.bundlePem + pki.clientCa.pem }
    await withPeers(withRoot, plain, (full) => {
      if (!showsChain) return assertUnknown(full)
      assert.equal(full.issuerCertificate?.issuerCertificate?.raw.length, rootLength())
      assert.equal(certificateRefusal(full, plain, Date.now()), undefined)
      assert.match(certificateRefusal(full, other, Date.now()) ?? '', /its issuer leads to no CA/)
    })
  })

  // From version 24 on Node shows the leaf alone: what it cannot look at again, the check refuses.
  const showsChain = Number.parseInt(process.versions.node, 10) < 24
  function assertUnknown(full: X509Certificate): void {
    assert.equal(full.issuerCertificate, undefined)
    assert.match(certificateRefusal(full, plain, Date.now()) ?? '', /its issuer is not known here/)
  }

  function rootLength(): number {
    return new X509Certificate(pki.clientCa.pem).raw.length
  }

  test('leaves to a resumed session what the same CAs and lists have proved', async () => {
    const intermediate = await pki.clientCa.intermediate('Sent CA')
    const leaf = await intermediate.clientCertificate()
    const more = await trusting([pki.clientCa, await pki.authority('Other CA')])
    const equal = await trusting([pki.clientCa])
    await withPeers(leaf, plain, (_full, resumed) => {
      const unknown = 'its issuer is not known here'
      assert.equal(certificateRefusal(resumed, plain, Date.now()), unknown)
      assert.equal(certificateRefusal(resumed, plain, Date.now(), more), unknown)
      assert.equal(certificateRefusal(resumed, plain, Date.now(), plain), undefined)
      assert.equal(certificateRefusal(resumed, plain, Date.now(), equal), undefined)
      const late = certificateRefusal(resumed, plain, Date.now() + 31 * dayMs, plain)
      assert.match(late ?? '', /^expired/)
    })
  })

  async function withPeers(
    leaf: Certificate,
    clientAuth: ClientAuthMaterial,
    look: (full: X509Certificate, resumed: X509Certificate) => void,
  ): Promise<void> {
    const server = createServer({
      cert: pki.server.pem,
      key: pki.server.keyPem,
      ca: clientAuth.caBundle,
      requestCert: true,
      maxVersion: 'TLSv1.2',
    })
    const peers: X509Certificate[] = []
    server.on('secureConnection', (socket: TLSSocket) => {
      const peer = socket.getPeerX509Certificate()
      assert.ok(peer)
      assert.equal(socket.isSessionReused(), peers.length === 1)
      peers.push(peer)
      socket.end()
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    try {
      let session: Buffer | undefined
      for (let round = 0; round < 2; round += 1) {
        const socket = connect({
          port: (server.address() as AddressInfo).port,
          host: '127.0.0.1',
          servername: 'localhost',
          ca: pki.serverCa.pem,
          cert: leaf.bundlePem,
          key: leaf.keyPem,
          ...(session === undefined ? {} : { session }),
        })
        await once(socket, 'secureConnect')
        session = socket.getSession()
        socket.resume()
        await once(socket, 'close')
      }
      const [full, resumed] = peers
      assert.ok(full && resumed)
      look(full, resumed)
    } finally {
      server.close()
    }
  }
})
