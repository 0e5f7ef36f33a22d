// Goal: what a client certificate says is read from its DER, whatever it says. Method: real
// certificates with parts that look like others, and the reader of @peculiar/asn1-x509 as a second
// opinion.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { AsnConvert } from '@peculiar/asn1-schema'
import { Certificate } from '@peculiar/asn1-x509'
import { readCertificate } from '../../../src/server/tls/certificate-fields.ts'
import { clientCertificate } from '../../../src/server/tls/client-certificate.ts'
import { type CertificateOptions, needsOpenssl, type Pki } from '../../support/pki.ts'
import { openTlsScene, type TlsScene } from './tls-scene.ts'

describe('a client certificate', needsOpenssl, () => {
  let scene: TlsScene
  let pki: Pki
  before(async () => {
    scene = await openTlsScene()
    pki = scene.pki
  })
  after(() => scene.close())

  async function issued(options: CertificateOptions): Promise<X509Certificate> {
    return new X509Certificate((await pki.clientCa.clientCertificate(options)).pem)
  }

  test('shows every name of each kind, in order', async () => {
    const x509 = await issued({
      commonNames: ['build-server', 'second'],
      organizations: ['Infrastructure', 'Zwölf Äpfel'],
      sans: ['DNS:a.test', 'email:a@b.test', 'URI:spiffe://test/a', 'DNS:b.test', 'IP:127.0.0.1'],
      serial: '00AB12',
      notAfter: new Date('2090-01-02T03:04:05Z'),
    })
    assert.deepEqual(clientCertificate(x509), {
      commonNames: ['build-server', 'second'],
      organizations: ['Infrastructure', 'Zwölf Äpfel'],
      sans: {
        dns: ['a.test', 'b.test'],
        uri: ['spiffe://test/a'],
        email: ['a@b.test'],
      },
      serial: 'AB12',
      fingerprintSha256: x509.fingerprint256.replaceAll(':', '').toLowerCase(),
      notAfterMs: Date.parse('2090-01-02T03:04:05Z'),
    })
  })

  test('has empty lists where it names nothing', async () => {
    const { commonNames, organizations, sans } = clientCertificate(await issued({}))
    assert.deepEqual(commonNames, ['client'])
    assert.deepEqual(organizations, [])
    assert.deepEqual(sans, { dns: [], uri: [], email: [] })
  })

  test('cannot pretend parts by what a name contains', async () => {
    const commonNames = [
      'a\nCN=admin',
      'b, O=Platform',
      'c/O=Platform',
      'd+O=Platform',
      ' ',
      '﻿admin',
    ]
    const sans = ['URI:urn:a, DNS:admin.test', 'email:a@b.test\nDNS:admin.test', 'DNS:*.test']
    const shown = clientCertificate(await issued({ commonNames, sans }))
    assert.deepEqual(shown.commonNames, commonNames)
    assert.deepEqual(shown.organizations, [])
    assert.deepEqual(shown.sans.dns, ['*.test'])
    assert.deepEqual(shown.sans.uri, ['urn:a, DNS:admin.test'])
    assert.deepEqual(shown.sans.email, ['a@b.test\nDNS:admin.test'])
  })

  test('with more names than any client needs is refused, not cut', async () => {
    const sans = (count: number): string[] =>
      Array.from({ length: count }, (_, i) => `DNS:${i}.test`)
    assert.equal(clientCertificate(await issued({ sans: sans(256) })).sans.dns.length, 256)
    const beyond = await issued({ sans: sans(257) })
    assert.throws(() => clientCertificate(beyond), /257 names/)
  })

  test('is read as another reader reads it', async () => {
    const kinds: readonly CertificateOptions[] = [
      {},
      { key: 'rsa', organizations: ['O'], sans: ['DNS:a'] },
      { key: 'ed25519', serial: '7fffffffffffffffffffffffffffffffffffffff' },
      { serial: '00', notBefore: new Date('1960-01-01'), notAfter: new Date('2049-12-31') },
      { notBefore: new Date('2049-12-31T23:59:59Z'), notAfter: new Date('2050-01-01') },
    ]
    for (const options of kinds) {
      const { raw, serialNumber } = await issued(options)
      const ours = readCertificate(raw)
      const { tbsCertificate: theirs } = AsnConvert.parse(raw, Certificate)
      assert.deepEqual(new Date(ours.notBeforeMs), theirs.validity.notBefore.getTime())
      assert.deepEqual(new Date(ours.notAfterMs), theirs.validity.notAfter.getTime())
      assert.equal(ours.serial, serialNumber.replace(/^0+(?=.)/, ''))
      const der = (value: unknown): Buffer => Buffer.from(AsnConvert.serialize(value))
      assert.deepEqual(ours.subjectDer, der(theirs.subject))
      assert.deepEqual(ours.issuerDer, der(theirs.issuer))
      const key = Buffer.from(theirs.subjectPublicKeyInfo.subjectPublicKey)
      assert.deepEqual(ours.publicKeyBits, key)
      assert.equal(ours.extensions.size, theirs.extensions?.length)
    }
  })
})
