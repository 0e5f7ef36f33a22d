// Client certificates on the node adapter: who gets in, what is known of them, and that a refused one
// never sees a byte of HTTP.

import assert from 'node:assert/strict'
import { createHash, X509Certificate } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import type { TlsMaterial } from '../../../src/server/tls/contract.ts'
import { requestHead } from '../../contract/transport-scene.ts'
import { type Certificate, needsOpenssl } from '../../support/pki.ts'
import { attempt } from '../../support/run.ts'
import { needs } from '../../support/tools.ts'
import { until } from '../../support/until.ts'
import {
  admittedAs,
  clientOptions,
  seenAs,
  useTlsScene,
  versions,
  withListener,
} from './node-tls-scene.ts'

const hourMs = 3_600_000

describe('node: client certificates', needsOpenssl, () => {
  const scene = useTlsScene()
  const bad = new Map<string, Certificate>()
  let crlFile = ''

  before(async () => {
    const { pki } = scene
    const { clientCa } = pki
    bad.set('of another CA', await (await pki.rogueCa()).clientCertificate())
    const past = { notBefore: new Date(Date.now() - 9 * hourMs) }
    bad.set(
      'that has expired',
      await clientCa.clientCertificate({ ...past, notAfter: new Date(Date.now() - hourMs) }),
    )
    bad.set(
      'of tomorrow',
      await clientCa.clientCertificate({ notBefore: new Date(Date.now() + 24 * hourMs) }),
    )
    bad.set('for servers', await clientCa.clientCertificate({ extendedKeyUsage: 'serverAuth' }))
    const revoked = await clientCa.clientCertificate({ commonNames: ['revoked'] })
    await clientCa.revoke(revoked)
    bad.set('that is revoked', revoked)
    crlFile = (await clientCa.crl()).file
  })

  const trusting = (mode: 'optional' | 'required'): Promise<TlsMaterial> =>
    scene.material({ mode, crls: [crlFile] })

  for (const version of versions) {
    test(`${version}, required: a good certificate gets in, none and bad ones do not`, async () => {
      await withListener(await trusting('required'), async (listening) => {
        const { options, handled } = listening
        const good = clientOptions(version, scene.pki.client)
        assert.equal(await admittedAs(listening, good), 'build-server')
        assert.equal(await admittedAs(listening, clientOptions(version)), undefined, 'none')
        for (const [what, certificate] of bad) {
          const seen = await admittedAs(listening, clientOptions(version, certificate))
          assert.equal(seen, undefined, what)
        }
        assert.equal(handled.length, 1)
        await until('each is counted', () => options.counts.handshakesFailed === 1 + bad.size)
        assert.equal(options.counts.certificatesRefused, bad.size)
        await until('none is left', () => options.counts.connections === 1)
      })
    })

    test(`${version}, optional: none is fine, a bad one ends the connection`, async () => {
      await withListener(await trusting('optional'), async (listening) => {
        const { options, handled } = listening
        const good = clientOptions(version, scene.pki.client)
        assert.equal(await admittedAs(listening, good), 'build-server')
        assert.equal(await admittedAs(listening, clientOptions(version)), 'nobody')
        for (const [what, certificate] of bad) {
          const seen = await admittedAs(listening, clientOptions(version, certificate))
          assert.equal(seen, undefined, what)
        }
        assert.equal(handled.length, 2)
        assert.equal(options.counts.certificatesRefused, bad.size)
        await until('none is left', () => options.counts.connections === 2)
      })
    })
  }

  test('what a bad client sends with its handshake is never parsed', async () => {
    await withListener(await trusting('optional'), async ({ open, handled, refused }) => {
      for (const [what, certificate] of bad) {
        const client = await open({ tls: clientOptions('TLSv1.3', certificate) })
        // With 1.3 a client may speak before the server has seen its certificate.
        client.write(requestHead('GET', '/'), 'garbage\r\n\r\n')
        await client.over()
        assert.equal(client.pendingBytes, 0, what)
      }
      assert.deepEqual([handled, refused], [[], []])
    })
  })

  const dayMs = 24 * hourMs
  for (const [what, days] of [
    ['certificate', 31],
    ['revocation list', 8],
  ] as const) {
    test(`an open connection is heard until its ${what} has ended`, async ({ mock }) => {
      await withListener(await trusting('required'), async ({ open, handled, options }) => {
        const client = await open({ tls: clientOptions('TLSv1.3', scene.pki.client) })
        assert.equal(await seenAs(client), 'build-server')
        const startMs = Date.now()
        mock.timers.enable({ apis: ['Date'], now: startMs + dayMs })
        assert.equal(await seenAs(client), 'build-server')
        mock.timers.setTime(startMs + days * dayMs)
        assert.equal(await seenAs(client), undefined)
        assert.equal(handled.length, 2)
        assert.equal(options.counts.certificatesRefused, 1)
        await until('it is gone', () => options.counts.connections === 0)
      })
    })
  }

  test('everything that a certificate says is known', async () => {
    const serial = '0102030405060708090a0b0c0d0e0f10'
    const certificate = await scene.pki.clientCa.clientCertificate({
      commonNames: ['one', 'two'],
      organizations: ['Infrastructure', 'Überbau'],
      sans: ['DNS:host.test', 'URI:spiffe://test/builder', 'email:a@test'],
      serial,
    })
    await withListener(await trusting('required'), async ({ open }) => {
      const client = await open({ tls: clientOptions('TLSv1.3', certificate) })
      client.write(requestHead('GET', '/'))
      const x509 = new X509Certificate(certificate.pem)
      assert.deepEqual(JSON.parse((await client.reply()).body.toString()), {
        commonNames: ['one', 'two'],
        organizations: ['Infrastructure', 'Überbau'],
        sans: { dns: ['host.test'], uri: ['spiffe://test/builder'], email: ['a@test'] },
        serial: serial.toUpperCase().replace(/^0+/, ''),
        fingerprintSha256: createHash('sha256').update(x509.raw).digest('hex'),
        notAfterMs: Date.parse(x509.validTo),
      })
    })
  })

  test('a client with an intermediate CA sends it along', async () => {
    const { clientCa } = scene.pki
    const between = await clientCa.intermediate('Between')
    const certificate = await between.clientCertificate({ commonNames: ['below'] })
    const alone = { ...certificate, bundlePem: certificate.pem }
    await withListener(await scene.material({ mode: 'required' }), async (listening) => {
      for (const version of versions) {
        assert.equal(await admittedAs(listening, clientOptions(version, certificate)), 'below')
        assert.equal(await admittedAs(listening, clientOptions(version, alone)), undefined)
      }
    })
  })

  test('a certificate with too many names to judge does not get in', async () => {
    const sans = Array.from({ length: 300 }, (_, at) => `DNS:host-${at}.test`)
    const certificate = await scene.pki.clientCa.clientCertificate({ sans })
    for (const mode of ['optional', 'required'] as const) {
      await withListener(await trusting(mode), async (listening) => {
        assert.equal(await admittedAs(listening, clientOptions('TLSv1.3', certificate)), undefined)
        assert.equal(listening.options.counts.certificatesRefused, 1)
      })
    }
  })

  test('curl sees no HTTP status where its certificate is refused', needs('curl'), async () => {
    const { pki } = scene
    const status = async (port: number, certificate: Certificate | undefined): Promise<string> => {
      const shown =
        certificate === undefined
          ? []
          : ['--cert', certificate.bundleFile, '--key', certificate.keyFile]
      const trust = ['--cacert', pki.serverCa.certificateFile, '--silent', '--max-time', '20']
      const out = ['--output', '/dev/null', '--write-out', '%{http_code}']
      const url = `https://localhost:${port}/v2/`
      const { code, stdout } = await attempt('curl', [...shown, ...trust, ...out, url])
      return code === 0 ? stdout : `${stdout} failed`
    }
    const modes = { optional: '200', required: '000 failed' } as const
    for (const mode of ['optional', 'required'] as const) {
      await withListener(await trusting(mode), async ({ port }) => {
        assert.equal(await status(port, pki.client), '200')
        assert.equal(await status(port, undefined), modes[mode])
        for (const [what, certificate] of bad) {
          assert.equal(await status(port, certificate), '000 failed', `${mode}: ${what}`)
        }
      })
    }
  })

  test('two CAs in one bundle are both trusted', async () => {
    const other = await scene.pki.authority('Other CA')
    const ca = join(scene.pki.folder, 'two.pem')
    await writeFile(ca, scene.pki.clientCa.pem + other.pem)
    const certificate = await other.clientCertificate({ commonNames: ['other'] })
    await withListener(await scene.material({ mode: 'required', ca }), async (listening) => {
      for (const version of versions) {
        assert.equal(await admittedAs(listening, clientOptions(version, certificate)), 'other')
        const first = clientOptions(version, scene.pki.client)
        assert.equal(await admittedAs(listening, first), 'build-server')
      }
    })
  })
})
