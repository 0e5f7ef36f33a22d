// Goal: check-config finds what would keep the server from starting, and says what an operator would
// regret, each with its file and line. Method: run it over files of the test's own, with a real PKI
// where TLS files are the subject.
import assert from 'node:assert/strict'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { loadConfig } from '../../src/config/load.ts'
import { runCommand } from '../support/command-line.ts'
import { createPki, needsOpenssl, type Pki } from '../support/pki.ts'

interface Checked {
  readonly code: number
  readonly out: string
  readonly err: readonly string[]
}

const folder = mkdtempSync(join(tmpdir(), 'keelson-check-edge-'))
after(() => rmSync(folder, { recursive: true }))
const base = file('base.toml', '[blob_store.fs]\nroot_dir = "data"\n')
const open = file('open.toml', '[global.access_policy]\ndefault = "allow"\n')

function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

/** Paths lose the test's folder, so that lines begin with the name of a file. */
async function check(...files: readonly string[]): Promise<Checked> {
  const args = files.flatMap((each) => ['-c', each])
  const { code, out, err } = await runCommand([...args, 'check-config'], folder)
  return { code, out, err: err.replaceAll(`${folder}/`, '').trimEnd().split('\n') }
}

describe('policies', () => {
  const policy = (name: string, rules: string) =>
    file(name, `[global.access_policy]\nrules = [\n${rules}\n]\n`)

  test('a rule that does not compile is told with its own line', async () => {
    const bad = policy('bad.toml', '"true",\n"identity.usrname == \'a\'",\n"1 +"')
    const { code, out, err } = await check(base, bad)
    assert.deepEqual([code, out, err.length], [1, '', 3])
    assert.match(err[0] ?? '', /^bad\.toml:4: global\.access_policy\.rules: .*usrname/)
    assert.match(err[1] ?? '', /^bad\.toml:5: global\.access_policy\.rules: /)
    assert.equal(err[2], 'keelson: the configuration has 2 problems')
  })

  test('a rule of a repository is told with its table', async () => {
    const bad = file('repo.toml', '[repository."a/b".access_policy]\nrules = ["1"]\n')
    const { code, err } = await check(base, open, bad)
    assert.equal(code, 1)
    assert.match(err[0] ?? '', /^repo\.toml:2: repository\."a\/b"\.access_policy\.rules: .*bool/)
  })

  test('the printed policies load to the same policies', async () => {
    const mixed = file(
      'mixed.toml',
      `[global.access_policy]\nrules = ["identity.username == 'a'", "true"]\n[repository.b]\n[repository."c/d".access_policy]\ndefault_allow = true\nrules = ["false"]\n`,
    )
    const { code, out, err } = await check(base, mixed)
    assert.deepEqual([code, err], [0, ['OK: base.toml, mixed.toml']])
    const printed = loadConfig([file('printed.toml', out)])
    assert.deepEqual(withoutPlaces(printed), withoutPlaces(loadConfig([base, mixed])))
  })

  test('the guide’s third scenario alone denies everything, and says why', async () => {
    const scenario = 'test/config/guide/scenario-3.toml'
    const denied =
      'warning: no [global.access_policy]: everything is denied, since a repository policy can only narrow what the global policy allows'
    assert.deepEqual((await check(base, scenario)).err, [denied, `OK: base.toml, ${scenario}`])
    const global = 'test/config/guide/scenario-1-policy.toml'
    assert.deepEqual((await check(base, scenario, global)).err, [
      `OK: base.toml, ${scenario}, ${global}`,
    ])
  })

  test('a policy that can only deny is warned of', async () => {
    const closed = file('closed.toml', '[global.access_policy]\ndefault = "deny"\n')
    const { err } = await check(base, closed)
    assert.equal(err[0], 'warning: the access policy denies everything')
  })
})

describe('listeners', () => {
  test('they are printed as a list that loads to the same listeners', async () => {
    const list = file(
      'list.toml',
      '[server]\ntrusted_proxies = ["10.0.0.0/8"]\n[[server.listener]]\nbind_address = "::1"\nport = 0\nproxy_protocol = true\n[[server.listener]]\nsocket = "/run/k.sock"\nsocket_mode = "0600"\n',
    )
    const { code, out, err } = await check(base, open, list)
    assert.deepEqual([code, err], [0, ['OK: base.toml, open.toml, list.toml']])
    const files = [base, open, list]
    assert.deepEqual(loadConfig([file('printed.toml', out)]), loadConfig(files))
    assert.match(
      out,
      /\n\[\[server\.listener\]\]\nsocket = "\/run\/k\.sock"\nsocket_mode = "0600"\n/,
    )
    assert.doesNotMatch(out, /^\[server\]\nbind_address/m)
  })

  test('each address beyond loopback of an open registry is warned of', async () => {
    const item = (address: string) => `[[server.listener]]\nbind_address = "${address}"\nport = 1\n`
    const list = file('open-list.toml', item('::') + item('127.0.0.2') + item('192.0.2.1'))
    const { err } = await check(base, open, list)
    assert.deepEqual(err.slice(0, -1), [
      'warning: whoever can reach :: may pull, push and delete',
      'warning: whoever can reach 192.0.2.1 may pull, push and delete',
    ])
  })
})

describe('TLS', needsOpenssl, () => {
  let pki: Pki
  const at = join(folder, 'tls')
  const tls = (...lines: readonly string[]) =>
    file(
      'tls.toml',
      `[server.tls]\nserver_certificate_bundle = "tls/server.pem"\nserver_private_key = "tls/server.key"\n${lines.join('\n')}\n`,
    )

  before(async () => {
    mkdirSync(at)
    pki = await createPki(join(folder, 'pki'))
    copyFileSync(pki.server.bundleFile, join(at, 'server.pem'))
    copyFileSync(pki.server.keyFile, join(at, 'server.key'))
    copyFileSync(pki.clientCa.certificateFile, join(at, 'client-ca.pem'))
  })

  test('a registry that is open to those with a certificate alone is not warned of', async () => {
    const everywhere = file('everywhere.toml', '[server]\nbind_address = "::"\n')
    const ca = 'client_ca_bundle = "tls/client-ca.pem"'
    const required = await check(base, open, everywhere, tls(ca, 'client_auth = "required"'))
    assert.equal(required.err.length, 1)
    const optional = await check(base, open, everywhere, tls(ca))
    assert.equal(optional.err[0], 'warning: whoever can reach :: may pull, push and delete')
  })

  test('files that fit together are fine, and print to the same configuration', async () => {
    const mtls = tls('client_ca_bundle = "tls/client-ca.pem"', 'client_auth = "required"')
    const { code, out, err } = await check(base, open, mtls)
    assert.deepEqual([code, err], [0, ['OK: base.toml, open.toml, tls.toml']])
    const files = [base, open, mtls]
    assert.deepEqual(loadConfig([file('printed.toml', out)]), loadConfig(files))
  })

  test('a key that does not fit is told with its line', async () => {
    const other = tls('').replace('tls.toml', 'other.toml')
    const text = `[server.tls]\nserver_certificate_bundle = "tls/server.pem"\n\nserver_private_key = ${JSON.stringify(pki.client.keyFile)}\n`
    writeFileSync(other, text)
    const { code, out, err } = await check(base, open, other)
    assert.deepEqual([code, out, err[1]], [1, '', 'keelson: the configuration has 1 problem'])
    assert.match(err[0] ?? '', /^other\.toml:4: server\.tls\.server_private_key: pki\/.*key/)
  })

  test('a file that is absent is told with the line of its own item', async () => {
    const crl = await pki.clientCa.crl()
    const lists = `client_crls = [\n${JSON.stringify(crl.file)},\n"tls/absent.crl",\n]`
    const { code, err } = await check(
      base,
      open,
      tls('client_ca_bundle = "tls/client-ca.pem"', lists),
    )
    assert.equal(code, 1)
    assert.match(
      err[0] ?? '',
      /^tls\.toml:7: server\.tls\.client_crls: tls\/absent\.crl: it does not exist/,
    )
  })

  test('suites that OpenSSL does not know are told with their key', async () => {
    const { err } = await check(base, open, tls('ciphers = "NONE-OF-THESE"'))
    assert.match(err[0] ?? '', /^tls\.toml:4: server\.tls\.ciphers: /)
  })

  test('a passphrase opens its key and is printed nowhere', async () => {
    const locked = await pki.serverCa.serverCertificate({ passphrase: 'hush-hush' })
    const text = (passphrase: string) =>
      `[server.tls]\nserver_certificate_bundle = ${JSON.stringify(locked.bundleFile)}\nserver_private_key = ${JSON.stringify(locked.keyFile)}\nprivate_key_passphrase = "${passphrase}"\n`
    const right = await check(base, open, file('locked.toml', text('hush-hush')))
    assert.equal(right.code, 0, right.err[0])
    assert.match(right.out, /^private_key_passphrase = "\*\*\*"$/m)
    const wrong = await check(base, open, file('locked.toml', text('hush-no')))
    assert.equal(wrong.code, 1)
    assert.match(wrong.err[0] ?? '', /^locked\.toml:[34]: server\.tls\..*passphrase/)
    assert.ok(![right.out, ...right.err, wrong.out, ...wrong.err].join().includes('hush'))
  })

  test('what ends soon is warned of', async () => {
    const notAfter = new Date(Date.now() + 3 * 86_400_000)
    const short = await pki.serverCa.serverCertificate({ notAfter })
    const text = `[server.tls]\nserver_certificate_bundle = ${JSON.stringify(short.bundleFile)}\nserver_private_key = ${JSON.stringify(short.keyFile)}\n`
    const { code, err } = await check(base, open, file('short.toml', text))
    assert.equal(code, 0)
    assert.match(
      err[0] ?? '',
      /^warning: the server certificate of pki\/.* expires at .*: renew it$/,
    )
  })

  test('a certificate that no listener uses is warned of and not read', async () => {
    const unused = file(
      'unused.toml',
      '[server.tls]\nserver_certificate_bundle = "absent"\nserver_private_key = "absent"\n[[server.listener]]\nsocket = "/run/k.sock"\n',
    )
    const { code, err } = await check(base, open, unused)
    assert.equal(code, 0)
    assert.equal(err[0], 'warning: no listener uses [server.tls]: nothing is encrypted')
  })

  test('what only the node transport does is warned of where uws may serve', async () => {
    writeFileSync(join(at, 'secret'), Buffer.alloc(32, 7), { mode: 0o600 })
    const secret = 'session_ticket_secret = "tls/secret"'
    const warning = 'warning: server.tls.session_ticket_secret needs server.transport = "node"'
    assert.equal((await check(base, open, tls(secret))).err[0], warning)
    const node = file('node.toml', '[server]\ntransport = "node"\n')
    assert.deepEqual((await check(base, open, tls(secret), node)).err, [
      'OK: base.toml, open.toml, tls.toml, node.toml',
    ])
  })
})

function withoutPlaces(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (key, inner) => (key === 'place' ? undefined : inner)))
}

describe('guards', () => {
  test('what a server would not start with is told with its line', async () => {
    const guards = file(
      'guards.toml',
      `[auth.webhook.a]
url = "https://guard.example.com/"
forward_headers = ["X-Forwarded-For"]
[auth.opa.b]
url = "https://opa.example.com"
path = "keelson/allow"
server_ca_bundle = "absent.pem"
`,
    )
    const { code, err } = await check(base, open, guards)
    assert.equal(code, 1)
    assert.match(
      err[0] ?? '',
      /^guards\.toml:3: auth\.webhook\.a\.forward_headers: .*cannot be passed on/,
    )
    assert.match(err[1] ?? '', /^guards\.toml:7: auth\.opa\.b\.server_ca_bundle: .*cannot be read/)
  })
})
