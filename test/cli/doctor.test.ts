// Goal: `keelson doctor` finds what is wrong with real files, and says so by its exit code. Method: run
// it on configurations that differ in one thing.
import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { runCommandLine } from '../../src/cli/index.ts'
import type { Finding } from '../../src/doctor/contract.ts'
import { type Certificate, createPki, needsOpenssl, type Pki } from '../support/pki.ts'

const dayMs = 86_400_000

describe('keelson doctor', needsOpenssl, () => {
  let folder: string
  let pki: Pki
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keelson-doctor-'))
    pki = await createPki(join(folder, 'pki'))
  })
  after(() => rm(folder, { recursive: true }))

  async function doctor(
    tls: Readonly<Record<string, unknown>> | undefined,
    args: readonly string[] = [],
    transport = 'node',
  ): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
    const section = Object.entries(tls ?? {}).map(
      ([key, value]) => `${key} = ${JSON.stringify(value)}`,
    )
    const text = `[server]
bind_address = "127.0.0.1"
port = 0
transport = "${transport}"
${tls === undefined ? '' : '[server.tls]'}
${section.join('\n')}
[blob_store.memory]
[metadata_store.memory]
[global.access_policy]
default = "allow"
`
    const file = join(folder, 'config.toml')
    await writeFile(file, text)
    let out = ''
    let err = ''
    const terminal = {
      out: (shown: string) => {
        out += shown
      },
      err: (shown: string) => {
        err += shown
      },
    }
    const code = await runCommandLine(['doctor', '-c', file, ...args], terminal, folder)
    return { code, out, err }
  }

  const serving = (made: Certificate) => ({
    server_certificate_bundle: made.bundleFile,
    server_private_key: made.keyFile,
  })

  test('is content with good files', async () => {
    const { code, out, err } = await doctor(serving(pki.server))
    assert.equal(code, 0, out + err)
    assert.match(out, /^ok {7}transport: every listener is served by node$/m)
    assert.match(out, /^ok {7}server certificate: .* holds for 29 days more$/m)
    assert.match(out, /^ok {7}names of the server certificate: localhost, registry.test, 127/m)
    assert.match(out, /^ok {7}private key: .* has mode 0600$/m)
  })

  test('has nothing to say of TLS where there is none', async () => {
    const { code, out } = await doctor(undefined)
    assert.equal(code, 0)
    assert.doesNotMatch(out, /certificate|key/)
  })

  test('warns of a certificate that soon expires, and exits 0', async () => {
    const notAfter = new Date(Date.now() + 5 * dayMs)
    const made = await pki.serverCa.serverCertificate({ notAfter })
    const { code, out } = await doctor(serving(made))
    assert.equal(code, 0)
    assert.match(out, /^warning {2}server certificate: .* expires at .*\n {9}→ renew it/m)
  })

  test('finds a certificate that has expired, and exits 1', async () => {
    const notAfter = new Date(Date.now() - 1000)
    const made = await pki.serverCa.serverCertificate({ notAfter })
    const { code, out } = await doctor(serving(made))
    assert.equal(code, 1)
    assert.match(out, /^error {4}TLS files: .* is expired at .*\n {9}→ renew it/m)
  })

  test('warns of a revocation list that ends', async () => {
    const { file } = await pki.clientCa.crl({
      thisUpdate: new Date(Date.now() - 10 * dayMs),
      nextUpdate: new Date(Date.now() + dayMs / 2),
    })
    const { code, out } = await doctor({
      ...serving(pki.server),
      client_ca_bundle: pki.clientCa.certificateFile,
      client_crls: [file],
    })
    assert.equal(code, 0)
    assert.match(out, /^warning {2}revocation list: /m)
  })

  test('finds a key that everybody may read, and exits 1', async () => {
    const made = await pki.serverCa.serverCertificate()
    await chmod(made.keyFile, 0o644)
    const { code, out } = await doctor(serving(made), ['--json'])
    assert.equal(code, 1)
    const report = JSON.parse(out) as { readonly ok: boolean; readonly findings: Finding[] }
    assert.equal(report.ok, false)
    const [finding, ...more] = report.findings.filter(({ severity }) => severity === 'error')
    assert.deepEqual(more, [])
    assert.equal(finding?.title, 'private key')
    assert.match(finding.remedy, /^chmod 600 /)
  })

  test('looks at the kernel where uws may serve TLS', async () => {
    const { out } = await doctor(serving(pki.server), [], 'auto')
    assert.match(out, /tcp_migrate_req|the slower node serves/)
  })

  test('reports a configuration that is refused', async () => {
    const { code, out, err } = await doctor({ ...serving(pki.server), frob: 1 })
    assert.equal(code, 1)
    assert.equal(out, '')
    assert.match(err, /frob/)
  })
})
