// Goal: curl pushes and pulls over TLS and mTLS, and a client whose certificate is not in order gets no
// HTTP status at all. Method: one server per mode of client authentication, a certificate per fault.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { sha256 } from '../support/images.ts'
import type { Certificate } from '../support/pki.ts'
import { attempt } from '../support/run.ts'
import { usePki, useTlsServer } from '../support/tls-server.ts'
import { needs } from '../support/tools.ts'

const dayMs = 86_400_000
const modes = ['optional', 'required'] as const
const versions = ['1.2', '1.3'] as const

interface CurlAnswer {
  readonly code: number | null
  /** `000` where no HTTP reply came. */
  readonly status: string
  readonly stderr: string
}

describe('curl', needs('openssl', 'curl'), () => {
  const scene = usePki()
  const shown = (certificate?: Certificate): readonly string[] =>
    certificate ? ['--cert', certificate.bundleFile, '--key', certificate.keyFile] : []

  async function curl(...args: readonly string[]): Promise<CurlAnswer> {
    const common = ['-sS', '-o', join(scene.dir, 'body'), '-w', '%{http_code}']
    const trust = ['--cacert', scene.pki.serverCa.certificateFile]
    const { code, stdout, stderr } = await attempt('curl', [...common, ...trust, ...args])
    return { code, status: stdout, stderr }
  }

  /** A blob of some size up in two requests and down again, byte for byte. */
  async function pushAndPull(url: string, certificate?: Certificate): Promise<void> {
    const bytes = randomBytes(3_000_000)
    const file = join(scene.dir, 'blob')
    await writeFile(file, bytes)
    const headers = join(scene.dir, 'headers')
    const uploads = `${url}/v2/curl/blob/blobs/uploads/`
    const flags = shown(certificate)
    const started = await curl(...flags, '-X', 'POST', '-D', headers, uploads)
    assert.equal(started.status, '202', started.stderr)
    const location = /^location: (\S+)\r?$/im.exec(await readFile(headers, 'utf8'))?.[1]
    const target = new URL(location ?? '', url)
    target.searchParams.set('digest', sha256(bytes))
    // Without an interim reply curl would wait so long before it sends the body.
    const expecting = ['-H', 'Expect: 100-continue', '--expect100-timeout', '30']
    const began = performance.now()
    const put = await curl(...flags, '-T', file, ...expecting, target.href)
    assert.equal(put.status, '201', put.stderr)
    assert.ok(performance.now() - began < 15_000, 'curl waited for "100 Continue" in vain')
    const pulled = await curl(...flags, `${url}/v2/curl/blob/blobs/${sha256(bytes)}`)
    assert.equal(pulled.status, '200', pulled.stderr)
    assert.ok((await readFile(join(scene.dir, 'body'))).equals(bytes))
  }

  describe('over TLS', () => {
    const product = useTlsServer(scene, () => ({}))

    test('pushes and pulls', () => pushAndPull(product.get().url))

    test('does not trust a server of another CA', async () => {
      const { clientCa } = scene.pki
      const answer = await curl('--cacert', clientCa.certificateFile, `${product.get().url}/v2/`)
      assert.equal(answer.status, '000')
      assert.equal(answer.code, 60)
    })

    test('gets no answer to plain HTTP on the TLS port', async () => {
      const answer = await curl(`http://localhost:${product.get().port}/v2/`)
      assert.notEqual(answer.status, '200')
    })
  })

  for (const mode of modes) {
    describe(`with client certificates ${mode}`, () => {
      const certificates = new Map<string, Certificate>()
      before(async () => {
        const { clientCa } = scene.pki
        const revoked = await clientCa.clientCertificate({ commonNames: ['revoked'] })
        await clientCa.revoke(revoked)
        const table: Readonly<Record<string, Promise<Certificate> | Certificate>> = {
          'of a rogue CA with the same name': scene.pki
            .rogueCa()
            .then((ca) => ca.clientCertificate()),
          'of the server’s CA': scene.pki.serverCa.clientCertificate(),
          'that has expired': clientCa.clientCertificate({
            notBefore: new Date(Date.now() - 2 * dayMs),
            notAfter: new Date(Date.now() - dayMs),
          }),
          'that is not yet valid': clientCa.clientCertificate({
            notBefore: new Date(Date.now() + dayMs),
          }),
          'for servers only': clientCa.clientCertificate({ extendedKeyUsage: 'serverAuth' }),
          'that is revoked': revoked,
        }
        for (const [name, made] of Object.entries(table)) certificates.set(name, await made)
        await writeFile(join(scene.dir, 'client.crl'), (await clientCa.crl()).pem)
      })
      const product = useTlsServer(scene, () => ({
        clientAuth: mode,
        tls: { client_crls: [join(scene.dir, 'client.crl')] },
      }))
      test('pushes and pulls with one', () => pushAndPull(product.get().url, scene.pki.client))

      for (const version of versions) {
        const ask = (certificate?: Certificate): Promise<CurlAnswer> => {
          const flags = [`--tlsv${version}`, '--tls-max', version, ...shown(certificate)]
          return curl(...flags, `${product.get().url}/v2/`)
        }

        for (const fault of [
          'of a rogue CA with the same name',
          'of the server’s CA',
          'that has expired',
          'that is not yet valid',
          'for servers only',
          'that is revoked',
        ]) {
          test(`sees no status over TLS ${version} with one ${fault}`, async () => {
            const certificate = certificates.get(fault)
            assert.ok(certificate)
            const answer = await ask(certificate)
            assert.equal(answer.status, '000', answer.stderr)
            assert.notEqual(answer.code, 0)
          })
        }

        test(`${mode === 'required' ? 'sees no status' : 'is let in'} over TLS ${version} without one`, async () => {
          const answer = await ask()
          assert.equal(answer.status, mode === 'required' ? '000' : '200', answer.stderr)
        })
      }
    })
  }
})
