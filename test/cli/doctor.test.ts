// Goal: `keelson doctor` finds what is wrong with real files, and says so by its exit code. Method: run
// it on configurations that differ in one thing; what this machine is like, none of them asks.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Finding } from '../../src/doctor/contract.ts'
import { type Ran, runCommand } from '../support/command-line.ts'
import { type Certificate, createPki, needsOpenssl, type Pki } from '../support/pki.ts'

const dayMs = 86_400_000

interface Told extends Ran {
  /** Severity, title and detail of each. */
  readonly lines: readonly string[]
  readonly findings: readonly Finding[]
}

describe('keelson doctor', needsOpenssl, () => {
  let folder: string
  let pki: Pki
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keelson-doctor-'))
    pki = await createPki(join(folder, 'pki'))
  })
  after(() => rm(folder, { recursive: true }))

  async function configured(
    tls: Readonly<Record<string, unknown>> | undefined,
    transport = 'node',
  ): Promise<string> {
    const section = Object.entries(tls ?? {}).map(
      ([key, value]) => `${key} = ${JSON.stringify(value)}`,
    )
    const text = `[server]
bind_address = "127.0.0.1"
port = 0
transport = "${transport}"
${tls === undefined ? '' : '[server.tls]'}
${section.join('\n')}
[blob_store.fs]
root_dir = "store"
[storage]
reserve = "0B"
[global.access_policy]
default = "allow"
`
    const file = join(folder, 'config.toml')
    await writeFile(file, text)
    return file
  }

  async function doctor(
    tls: Readonly<Record<string, unknown>> | undefined,
    transport = 'node',
  ): Promise<Told> {
    const file = await configured(tls, transport)
    const ran = await runCommand(['doctor', '-c', file, '--json', '--quick'], folder)
    assert.equal(ran.err, '')
    const { findings } = JSON.parse(ran.out) as { readonly findings: readonly Finding[] }
    const lines = findings.map(({ severity, title, detail }) => `${severity} ${title}: ${detail}`)
    return { ...ran, findings, lines }
  }

  const serving = (made: Certificate) => ({
    server_certificate_bundle: made.bundleFile,
    server_private_key: made.keyFile,
  })

  const ofTls = /^(tls-|private-key|client-ca)/

  test('is content with good files', async () => {
    const { lines, findings } = await doctor(serving(pki.server))
    const text = lines.join('\n')
    assert.match(text, /^ok transport: every listener is served by node$/m)
    assert.match(text, /^ok term of the server certificate: .* holds for 29 days more$/m)
    assert.match(text, /^ok names of the server certificate: localhost, registry.test, 127/m)
    assert.match(text, /^ok private key: .* has mode 0600$/m)
    assert.match(text, /^advice chain of the server certificate: .*which is no public CA/m)
    const bad = findings.filter(({ check, severity }) => ofTls.test(check) && severity !== 'ok')
    assert.deepEqual(
      bad.map(({ check }) => check),
      ['tls-chain'],
    )
  })

  test('has nothing to say of TLS where there is none', async () => {
    const { findings } = await doctor(undefined)
    assert.deepEqual(
      findings.filter(({ check }) => ofTls.test(check)),
      [],
    )
  })

  test('warns of a certificate that soon expires', async () => {
    const notAfter = new Date(Date.now() + 5 * dayMs)
    const made = await pki.serverCa.serverCertificate({ notAfter })
    const { lines, findings } = await doctor(serving(made))
    assert.match(lines.join('\n'), /^warning term of the server certificate: .* expires at /m)
    const term = findings.find(({ check }) => check === 'tls-term')
    assert.match(term?.remedy ?? '', /^renew it/)
  })

  test('finds a certificate that has expired, and exits 2', async () => {
    const notAfter = new Date(Date.now() - 1000)
    const made = await pki.serverCa.serverCertificate({ notAfter })
    const { code, lines } = await doctor(serving(made))
    assert.equal(code, 2)
    assert.match(lines.join('\n'), /^error TLS files: .* is expired at /m)
  })

  test('warns of a revocation list that ends', async () => {
    const { file } = await pki.clientCa.crl({
      thisUpdate: new Date(Date.now() - 10 * dayMs),
      nextUpdate: new Date(Date.now() + dayMs / 2),
    })
    const { lines } = await doctor({
      ...serving(pki.server),
      client_ca_bundle: pki.clientCa.certificateFile,
      client_crls: [file],
    })
    assert.match(lines.join('\n'), /^warning term of the revocation list: /m)
  })

  test('finds a key that everybody may read, and exits 2', async () => {
    const made = await pki.serverCa.serverCertificate()
    await chmod(made.keyFile, 0o644)
    const { code, findings, out } = await doctor(serving(made))
    assert.equal(code, 2)
    assert.equal((JSON.parse(out) as { readonly ok: boolean }).ok, false)
    const [finding, ...more] = findings.filter(({ severity }) => severity === 'error')
    assert.deepEqual(more, [])
    assert.equal(finding?.title, 'private key')
    assert.equal(finding.command, `chmod 600 ${made.keyFile}`)
  })

  test('looks at the kernel where uws may serve TLS', async () => {
    const { lines } = await doctor(serving(pki.server), 'auto')
    assert.match(lines.join('\n'), /tcp_migrate_req|the slower node serves/)
  })

  test('reports a configuration that is refused, as a finding where JSON is asked for', async () => {
    const file = await configured({ ...serving(pki.server), frob: 1 })
    const { code, out, err } = await runCommand(['doctor', '-c', file], folder)
    assert.equal(code, 2)
    assert.equal(out, '')
    assert.match(err, /frob/)
    const json = await runCommand(['doctor', '-c', file, '--json'], folder)
    assert.deepEqual([json.code, json.err], [2, ''])
    const report = JSON.parse(json.out) as { readonly worst: string; readonly findings: Finding[] }
    assert.equal(report.worst, 'error')
    const [finding, ...more] = report.findings
    assert.deepEqual(more, [])
    assert.equal(finding?.check, 'configuration')
    assert.match(finding.detail, /config\.toml:\d+: server\.tls\.frob: /)
  })

  test('refuses a clock that is no URL', async () => {
    const file = await configured(undefined)
    for (const url of ['frob', 'ftp://a.test']) {
      const { code, err } = await runCommand(['doctor', '-c', file, '--clock-url', url], folder)
      assert.equal(code, 2)
      assert.match(err, /--clock-url needs a URL/)
    }
  })

  test('run in full it measures this machine, and leaves nothing behind', async () => {
    const file = await configured(undefined)
    const { out, err } = await runCommand(['doctor', '-c', file], folder)
    assert.equal(err, '')
    assert.match(out, /SHA-256: \d+ MB for each second of one core/)
    assert.match(out, /AES-128-GCM: \d+ MB for each second of one core/)
    assert.match(out, /sync of the disk: [\d.]+ ms for half of \d+/)
    assert.match(out, /^\d+ errors?, \d+ warnings?, \d+ to improve, \d+ not known, \d+ in order$/m)
    assert.ok(!existsSync(join(folder, 'store')))
    assert.doesNotMatch((await readdir(folder)).join(), /keelson-doctor/)
  })
})
