// Goal: a revocation list is read as its CA meant it, or refused. Method: lists made by openssl in every
// form that CAs use, and the OpenSSL of node as a second opinion on who is let in.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { appendFile, readFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { connect, createServer } from 'node:tls'
import { DerError } from '../../../src/server/tls/der.ts'
import { type Crl, Revocations, readCrl } from '../../../src/server/tls/revocation.ts'
import { isSignedBy, readSigned } from '../../../src/server/tls/signature.ts'
import { type Authority, type Certificate, needsOpenssl, type Pki } from '../../support/pki.ts'
import { run } from '../../support/run.ts'
import { hourMs, openTlsScene, type TlsScene } from './tls-scene.ts'

function derOf(pem: string): Buffer {
  return Buffer.from(pem.split('\n').slice(1, -2).join(''), 'base64')
}

describe('a revocation list', needsOpenssl, () => {
  let scene: TlsScene
  let pki: Pki
  before(async () => {
    scene = await openTlsScene()
    pki = scene.pki
  })
  after(() => scene.close())

  /** A list with options that the test authority has no words for. */
  async function listWith(authority: Authority, ...args: readonly string[]): Promise<Buffer> {
    const { folder, keyFile, certificateFile } = authority
    const out = join(folder, 'special.crl.pem')
    const config = ['-config', join(folder, 'openssl.cnf'), '-keyfile', keyFile]
    const files = ['-cert', certificateFile, '-out', out, '-crldays', '7']
    await run('openssl', ['ca', '-gencrl', ...config, ...files, ...args])
    return derOf(await readFile(out, 'utf8'))
  }

  test('names serials, its issuer and its time', async () => {
    const [one, two] = [
      await pki.clientCa.clientCertificate({ serial: '00ff' }),
      await pki.clientCa.clientCertificate({ serial: '0a0b' }),
    ]
    await pki.clientCa.revoke(one)
    await pki.clientCa.revoke(two)
    const nextUpdate = new Date('2050-06-01T00:00:00Z')
    const crl = readCrl(derOf((await pki.clientCa.crl({ nextUpdate })).pem))
    assert.deepEqual([...crl.serials].sort(), ['A0B', 'FF'])
    assert.equal(crl.nextUpdateMs, nextUpdate.getTime())
    assert.match(crl.issuer, /client ca/)
  })

  test('may be signed by RSA, with either padding, but not over SHA-1', async () => {
    const rsa = await pki.authority('RSA CA', { key: 'rsa' })
    const { publicKey } = new X509Certificate(rsa.pem)
    const isGood = (der: Buffer) => isSignedBy(readSigned(der).signed, publicKey)
    assert.equal(isGood(await listWith(rsa)), true)
    assert.equal(isGood(await listWith(rsa, '-md', 'sha512')), true)
    assert.equal(isGood(await listWith(rsa, '-sigopt', 'rsa_padding_mode:pss')), true)
    assert.equal(isGood(await listWith(rsa, '-md', 'sha1')), false)
    const other = new X509Certificate(pki.clientCa.pem).publicKey
    assert.equal(isSignedBy(readSigned(await listWith(rsa)).signed, other), false)
  })

  test('that leaves out a part of what is revoked is refused', async () => {
    const authority = await pki.authority('Partial CA')
    await appendFile(
      join(authority.folder, 'openssl.cnf'),
      `[plain]
crlNumber = DER:020101
[delta]
2.5.29.27 = critical,DER:020101
[indirect]
issuingDistributionPoint = critical,@indirect_point
[indirect_point]
indirectCRL = TRUE
[reasons]
issuingDistributionPoint = critical,@reasons_point
[reasons_point]
onlysomereasons = keyCompromise
[users]
issuingDistributionPoint = critical,@users_point
[users_point]
onlyuser = TRUE
[unknown]
1.2.3.4 = critical,DER:0500
`,
    )
    const read = async (section: string) => readCrl(await listWith(authority, '-crlexts', section))
    await read('users')
    await assert.rejects(read('delta'), /delta lists/)
    await assert.rejects(read('indirect'), /the list is indirect/)
    await assert.rejects(read('reasons'), /leaves certificates out/)
    await assert.rejects(read('unknown'), DerError)
  })

  test('is asked by the issuer’s name, however that is written', async () => {
    const utf8 = Buffer.from('300d310b300906035504030c024341', 'hex')
    const printable = Buffer.from('300d310b3009060355040313024361', 'hex')
    const other = Buffer.from('300d310b300906035504030c024342', 'hex')
    const list = (issuerDer: Buffer, serial: string, nextUpdateMs: number): Crl => ({
      issuerDer,
      issuer: '[[["550403","ca"]]]',
      thisUpdateMs: 0,
      nextUpdateMs,
      serials: new Set([serial]),
      signed: readSigned(derOf(pki.clientCa.pem)).signed,
    })
    const revocations = new Revocations([list(utf8, 'AA', 5), list(printable, 'BB', 9)])
    for (const issuer of [utf8, printable]) {
      assert.equal(revocations.isRevoked(issuer, 'AA'), true)
      assert.equal(revocations.isRevoked(issuer, 'BB'), true)
      assert.equal(revocations.isRevoked(issuer, 'A'), false)
      assert.equal(revocations.nextUpdateMs(issuer), 9)
    }
    assert.equal(revocations.isRevoked(other, 'AA'), false)
    assert.equal(revocations.nextUpdateMs(other), undefined)
    assert.equal(new Revocations([]).isRevoked(utf8, 'AA'), false)
  })

  // Why the loader is as strict as it is: these sets would be taken, and nobody let in.
  describe('as OpenSSL sees it', () => {
    test('lets in who is not on it', async () => {
      const { pem } = await pki.clientCa.crl()
      assert.equal(await verdict(pki.client, pki.clientCa.pem, [pem]), 'let in')
    })

    test('lets nobody in once it has ended', async () => {
      const { pem } = await pki.clientCa.crl({
        thisUpdate: new Date(Date.now() - 2 * hourMs),
        nextUpdate: new Date(Date.now() - hourMs),
      })
      assert.equal(await verdict(pki.client, pki.clientCa.pem, [pem]), 'CRL_HAS_EXPIRED')
    })

    test('lets nobody in from a CA that has none', async () => {
      const other = await pki.authority('Other CA')
      const { pem } = await other.crl()
      const bundle = pki.clientCa.pem + other.pem
      assert.equal(await verdict(pki.client, bundle, [pem]), 'UNABLE_TO_GET_CRL')
    })

    test('lets nobody in where the bundle ends below its root', async () => {
      const intermediate = await pki.clientCa.intermediate('Intermediate')
      const leaf = await intermediate.clientCertificate()
      const refusal = await verdict(leaf, intermediate.pem, [])
      assert.match(refusal, /^UNABLE_TO_GET_ISSUER_CERT/)
      assert.equal(await verdict(leaf, intermediate.pem + pki.clientCa.pem, []), 'let in')
    })
  })

  /** How a node server with these CAs and lists judges a client. */
  async function verdict(client: Certificate, ca: string, crl: string[]): Promise<string> {
    const server = createServer({
      cert: pki.server.pem,
      key: pki.server.keyPem,
      ca,
      requestCert: true,
      rejectUnauthorized: false,
      ...(crl.length === 0 ? {} : { crl }),
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const socket = connect({
      port,
      host: '127.0.0.1',
      servername: 'localhost',
      ca: pki.serverCa.pem,
      cert: client.pem,
      key: client.keyPem,
    })
    try {
      const [secure] = await once(server, 'secureConnection')
      secure.destroy()
      return secure.authorized ? 'let in' : String(secure.authorizationError)
    } finally {
      socket.destroy()
      server.close()
    }
  }
})
