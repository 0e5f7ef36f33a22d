// Goal: the certificates that tests use are what they claim to be. Method: make each kind, then let
// node:crypto and openssl read it back.
import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { createPki, needsOpenssl, type Pki } from './pki.ts'
import { attempt, run } from './run.ts'

describe('the test authorities', needsOpenssl, () => {
  let folder: string
  let pki: Pki
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keelson-pki-'))
    pki = await createPki(folder)
  })
  after(() => rm(folder, { recursive: true }))

  test('issue a server and a client certificate that verify', async () => {
    const { server, client, serverCa, clientCa } = pki
    await run('openssl', verifying(serverCa.certificateFile, 'sslserver', server.certificateFile))
    await run('openssl', verifying(clientCa.certificateFile, 'sslclient', client.certificateFile))
    const leaf = new X509Certificate(server.pem)
    assert.equal(leaf.checkHost('registry.test'), 'registry.test')
    assert.equal(leaf.checkIP('::1'), '::1')
    assert.equal(leaf.serialNumber, server.serial)
    assert.ok(leaf.checkPrivateKey(createPrivateKey(server.keyPem)))
    assert.equal(new X509Certificate(client.pem).subject, 'O=Infrastructure\nCN=build-server')
  })

  test('issue what a test asks for', async () => {
    const certificate = await pki.clientCa.clientCertificate({
      commonNames: ['a/b', 'c+d, e\nCN=f'],
      organizations: ['One', 'Zwölf'],
      sans: ['DNS:a.test', 'URI:spiffe://test/a', 'email:a@b.test'],
      key: 'rsa',
      passphrase: 'open sesame',
      serial: '00ab',
      notBefore: new Date('2020-01-01T00:00:00Z'),
      notAfter: new Date('2120-01-02T03:04:05Z'),
      extendedKeyUsage: 'serverAuth',
    })
    const leaf = new X509Certificate(certificate.pem)
    assert.equal(leaf.subject, 'O=One\nO=Zwölf\nCN=a/b\nCN=c\\+d\\, e\\0ACN=f')
    assert.equal(leaf.subjectAltName, 'DNS:a.test, URI:spiffe://test/a, email:a@b.test')
    assert.equal(leaf.serialNumber, 'AB')
    assert.equal(leaf.validFrom, 'Jan  1 00:00:00 2020 GMT')
    assert.equal(leaf.validTo, 'Jan  2 03:04:05 2120 GMT')
    assert.deepEqual(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1'])
    assert.throws(() => createPrivateKey(certificate.keyPem))
    const key = createPrivateKey({ key: certificate.keyPem, passphrase: 'open sesame' })
    assert.equal(key.asymmetricKeyType, 'rsa')
    assert.ok(leaf.checkPrivateKey(key))
  })

  test('an intermediate is part of the bundle', async () => {
    const intermediate = await pki.serverCa.intermediate('Server Intermediate')
    const { certificateFile, bundleFile, bundlePem, pem } = await intermediate.serverCertificate()
    assert.equal(bundlePem, pem + intermediate.pem)
    const ca = pki.serverCa.certificateFile
    const args = verifying(ca, 'sslserver', certificateFile)
    assert.notEqual((await attempt('openssl', args)).code, 0)
    await run('openssl', ['verify', '-untrusted', bundleFile, ...args.slice(1)])
  })

  test('a rogue authority has the name of the client CA, and is not it', async () => {
    const rogue = await pki.rogueCa()
    assert.equal(
      new X509Certificate(rogue.pem).subject,
      new X509Certificate(pki.clientCa.pem).subject,
    )
    const { certificateFile } = await rogue.clientCertificate()
    const args = verifying(pki.clientCa.certificateFile, 'sslclient', certificateFile)
    assert.notEqual((await attempt('openssl', args)).code, 0)
  })

  test('a revoked certificate is on the list and in the OCSP response', async () => {
    const leaf = await pki.clientCa.clientCertificate()
    const status = async (): Promise<string> => {
      const { file } = await pki.clientCa.ocspResponse(leaf)
      return run('openssl', ['ocsp', '-respin', file, '-text', '-noverify'])
    }
    const before = await pki.clientCa.crl()
    assert.match(await status(), /Cert Status: good/)
    await pki.clientCa.revoke(leaf)
    const nextUpdate = new Date(Date.now() + 3_600_000)
    const list = await pki.clientCa.crl({ nextUpdate })
    assert.match(await status(), /Cert Status: revoked/)
    const text = (file: string): Promise<string> =>
      run('openssl', ['crl', '-in', file, '-noout', '-text'])
    assert.ok(!(await text(before.file)).includes(leaf.serial))
    assert.ok((await text(list.file)).includes(leaf.serial))
    const shown = await run('openssl', ['crl', '-in', list.file, '-noout', '-nextupdate'])
    const seconds = (ms: number): number => Math.floor(ms / 1000)
    assert.equal(
      seconds(Date.parse(shown.replace('nextUpdate=', ''))),
      seconds(nextUpdate.getTime()),
    )
  })
})

function verifying(ca: string, purpose: string, certificate: string): readonly string[] {
  return ['verify', '-CAfile', ca, '-purpose', purpose, certificate]
}
