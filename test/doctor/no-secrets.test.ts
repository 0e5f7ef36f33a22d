// Goal: no secret is ever shown, whoever echoes it. Method: a text of its own in every key of the schema that
// is a secret, and services that answer with all that they heard.
import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Section } from '../../src/config/entry.ts'
import { loadConfig } from '../../src/config/load.ts'
import { schema } from '../../src/config/schema.ts'
import { Secret } from '../../src/config/secret.ts'
import type { Finding } from '../../src/doctor/contract.ts'
import { redacted, secretsOf } from '../../src/doctor/redact.ts'
import { runCommand } from '../support/command-line.ts'
import { openRudeService, type RudeService } from '../support/rude-service.ts'

const folder = mkdtempSync(join(tmpdir(), 'keelson-no-secrets-'))
let service: RudeService
before(async () => {
  service = await openRudeService({ status: 200 })
})
after(async () => {
  await service.close()
  rmSync(folder, { recursive: true })
})

const planted = (table: string, key: string): string =>
  `planted-${table}-${key}`.replaceAll('.', '-')

// A hash, which has to be one: the planted text is its salt.
const hash = `$argon2id$v=19$m=19456,t=2,p=1$${Buffer.from('planted-auth-identity-password').toString('base64').replaceAll('=', '')}$YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE`

// A key of 32 bytes, which has to be one.
const customerKey = Buffer.from('planted-blob-store-customer-key!').toString('base64')

function configuration(): string {
  const url = service.url
  const port = new URL(url).port
  const pair = (table: string): string =>
    `client_certificate = "c.pem"\nclient_private_key = "k.pem"\nclient_private_key_passphrase = "${planted(table, 'client_private_key_passphrase')}"\n`
  return `
[server.tls]
server_certificate_bundle = "c.pem"
server_private_key = "k.pem"
private_key_passphrase = "${planted('server.tls', 'private_key_passphrase')}"
[blob_store.s3]
endpoint = "http://127.0.0.1:${port}"
bucket = "blobs"
access_key_id = "${planted('blob_store.s3', 'access_key_id')}"
secret_access_key = "${planted('blob_store.s3', 'secret_access_key')}"
session_token = "${planted('blob_store.s3', 'session_token')}"
sse_customer_key = "${customerKey}"
[metadata_store.postgres]
host = "127.0.0.1"
port = ${port}
sslmode = "disable"
password = "${planted('metadata_store.postgres', 'password')}"
${pair('metadata_store.postgres')}[auth.identity.a]
username = "a"
password = "${hash}"
[auth.gateway]
proxies = ["127.0.0.1"]
shared_secret = "${planted('auth.gateway', 'shared_secret')}"
[auth.oidc.p]
issuer = "${url}"
jwks_uri = "${url}/jwks"
bearer_token_file = "bearer"
http_timeout = "500ms"
introspection_url = "${url}/introspect"
introspection_client_id = "me"
introspection_client_secret = "${planted('auth.oidc', 'introspection_client_secret')}"
[auth.oidc.q]
issuer = "${url}/q"
${pair('auth.oidc')}
[auth.ldap.l]
url = "ldap://127.0.0.1:${port}"
bind_dn = "cn=a"
bind_password = "${planted('auth.ldap', 'bind_password')}"
user_base = "dc=a"
timeout = "500ms"
[auth.ldap.m]
url = "ldaps://127.0.0.1:${port}"
user_base = "dc=a"
timeout = "500ms"
${pair('auth.ldap')}
[auth.webhook.w]
url = "${url}/w"
username = "me"
password = "${planted('auth.webhook', 'password')}"
[auth.webhook.v]
url = "${url}/v"
bearer_token = "${planted('auth.webhook', 'bearer_token')}"
[auth.webhook.u]
url = "${url}/u"
${pair('auth.webhook')}
[auth.opa.o]
url = "${url}"
path = "a"
bearer_token = "${planted('auth.opa', 'bearer_token')}"
[auth.opa.n]
url = "${url}"
path = "a"
${pair('auth.opa')}
[peer.p]
url = "${url}"
username = "me"
password = "${planted('peer', 'password')}"
${pair('peer')}[redis]
url = "redis://127.0.0.1:${port}"
password = "${planted('redis', 'password')}"
hash_key = "${planted('redis', 'hash_key')}-and-ten-more"
timeout = "500ms"
${pair('redis')}
[tracing]
endpoint = "${url}/v1/traces"
bearer_token = "${planted('tracing', 'bearer_token')}"
`
}

test('whatever services answer with, neither form of the answer holds a secret', async () => {
  const text = configuration()
  const secretKeys = Object.entries<Section>(schema).flatMap(([table, { keys }]) =>
    Object.entries(keys).flatMap(([key, { kind }]) => (kind === 'secret' ? [[table, key]] : [])),
  )
  // A secret that the schema has and this test has not would be one that nobody looks for.
  const odd: Readonly<Record<string, string>> = {
    'auth.identity.password': hash,
    'blob_store.s3.sse_customer_key': customerKey,
  }
  for (const [table = '', key = ''] of secretKeys) {
    // Of a directory, which cannot stand beside the bucket: below.
    if (table === 'blob_store.fs.encryption') continue
    assert.ok(text.includes(odd[`${table}.${key}`] ?? planted(table, key)), `${table}.${key}`)
  }
  service.behave(({ headers, body, target }) => {
    const heard = headers.map(([name, value]) => `${name}: ${value}`).join(' ')
    const message = `${heard} ${body} ${Buffer.from(heard).toString('base64')}`
    const status = target.includes('data') ? 500 : 299
    return { status, body: JSON.stringify({ code: 'x', message, errors: [{ message }] }) }
  })
  for (const name of ['config.toml', 'bearer', 'c.pem', 'k.pem']) {
    writeFileSync(join(folder, name), name === 'config.toml' ? text : 'planted-in-a-file')
    chmodSync(join(folder, name), 0o644)
  }
  const args = ['-c', join(folder, 'config.toml'), 'doctor']
  for (const more of [[], ['--json']]) {
    const { out, err } = await runCommand([...args, ...more], folder)
    assert.match(out, /webhook w/)
    assert.doesNotMatch(out + err, /planted/)
    for (const secret of secretsOf(loadConfig([join(folder, 'config.toml')]))) {
      assert.ok(!out.includes(secret), secret)
    }
  }
  assert.ok(
    service.requests.some(({ headers }) => headers.some(([, value]) => /planted/.test(value))),
  )
})

test('keys that blobs are encrypted with are not told, right or wrong', async () => {
  const key = 'c0ffee11'.repeat(8)
  const said: string[] = []
  for (const keys of [key, `${key}\\n${key}`, `${key}00`, '', key.slice(1), 'planted-key']) {
    const file = join(folder, 'keys.toml')
    const store = `[blob_store.fs]\nroot_dir = "${join(folder, 'blobs')}"\n`
    const own = `${store}[blob_store.fs.encryption]\nkeys = "${keys}"\n`
    writeFileSync(file, `${own}[global.access_policy]\ndefault = "allow"\n`, { mode: 0o600 })
    for (const command of [['doctor'], ['doctor', '--json'], ['check-config'], ['server']]) {
      // A server that starts would not end.
      if (command[0] === 'server' && keys === key) continue
      const { out, err } = await runCommand(['-c', file, ...command], folder)
      said.push(out, err)
    }
  }
  assert.match(said.join(''), /is not a key/)
  assert.match(said.join(''), /has a key again/)
  assert.doesNotMatch(said.join(''), /c0ffee11|0ffee11c|planted-key/)
})

test('stars stand for secrets in every form in which they go out', () => {
  const said = (detail: string): Finding => ({
    ...{ check: 'probe', severity: 'unknown', title: '', detail, why: '', remedy: '', command: '' },
    link: '',
  })
  const config = { username: 'me', password: new Secret('pass word/1'), other: [new Secret('ab')] }
  const shown = (detail: string): string =>
    redacted([said(detail)], secretsOf(config, ['tok-en\n']))[0]?.detail ?? ''
  assert.equal(shown('a pass word/1 b'), 'a *** b')
  assert.equal(shown(`a ${encodeURIComponent('pass word/1')} b`), 'a *** b')
  assert.equal(shown(`Basic ${Buffer.from('me:pass word/1').toString('base64')}`), 'Basic ***')
  assert.equal(shown('Bearer tok-en'), 'Bearer ***')
  // Two letters are no secret, and would be everywhere.
  assert.equal(shown('about'), 'about')
  assert.equal(shown('a\u001b[31mb\r\nc'), 'a [31mb c')
  assert.equal(shown('x'.repeat(5000)).length, 2001)
})
