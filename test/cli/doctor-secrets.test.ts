// Goal: the doctor finds every file with a secret that a configuration names, wherever it names it.
// Method: one file for each place, all of them open to their group or to others.
import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { runCommand } from '../support/command-line.ts'

const folder = mkdtempSync(join(tmpdir(), 'keelson-secrets-'))
after(() => rmSync(folder, { recursive: true }))

const names = [
  ...['token.pem', 'bearer', 'oidc.pem', 'oidc-passphrase', 'bind', 'ldap.pem', 'redis.pem'],
  ...['redis-password', 'user', 'htpasswd'],
]

function at(name: string): string {
  return JSON.stringify(join(folder, name))
}

// Where the configuration has the secret itself, a file that others may reach is refused.
const ofSecrets: ReadonlySet<string> = new Set([
  'bind',
  'oidc-passphrase',
  'redis-password',
  'user',
])

async function doctor(mode: number, secretMode = mode): Promise<readonly string[]> {
  const content: Readonly<Record<string, string>> = { user: hashPassword('tuesday-fjord-lemon') }
  for (const name of names) {
    writeFileSync(join(folder, name), `${content[name] ?? (name === 'htpasswd' ? '' : 'x')}\n`)
    chmodSync(join(folder, name), ofSecrets.has(name) ? secretMode : mode)
  }
  const pair = (name: string): string =>
    `client_certificate = ${at('certificate')}\nclient_private_key = ${at(name)}`
  const toml = `
[blob_store.memory]
[metadata_store.memory]
[global.access_policy]
default = "allow"
[auth]
htpasswd = ${at('htpasswd')}
[auth.identity.a]
username = "a"
password = { file = ${at('user')} }
[auth.token_service]
service = "a.test"
key_files = [${at('token.pem')}]
[auth.oidc.gitlab]
issuer = "https://gitlab.test"
required_audience = ["a"]
bearer_token_file = ${at('bearer')}
${pair('oidc.pem')}
client_private_key_passphrase = { file = ${at('oidc-passphrase')} }
[auth.ldap.corp]
url = "ldaps://127.0.0.1:9"
bind_dn = "cn=a"
bind_password = { file = ${at('bind')} }
user_base = "dc=a"
timeout = "100ms"
${pair('ldap.pem')}
[redis]
url = "rediss://a.test"
password = { file = ${at('redis-password')} }
${pair('redis.pem')}
`
  writeFileSync(join(folder, 'config.toml'), toml)
  const args = ['-c', join(folder, 'config.toml'), 'doctor', '--quick']
  const { out, err } = await runCommand(args, folder)
  assert.equal(err, '')
  return out.split('\n').filter((line) => line.includes('files with secrets'))
}

test('a file that its group or others may read is named, whatever it is for', async () => {
  const found = await doctor(0o644, 0o640)
  for (const name of names) {
    const lines = found.filter((line) => line.includes(`${join(folder, name)} (`))
    assert.equal(lines.length, 1, name)
    const why = ofSecrets.has(name) ? /0640: its group may reach it$/ : /0644: others may reach it$/
    assert.match(lines[0] ?? '', /^warning /, name)
    assert.match(lines[0] ?? '', why, name)
  }
  assert.equal(found.length, names.length)
})

test('files of the owner alone are in order', async () => {
  const [line, ...others] = await doctor(0o600)
  assert.match(line ?? '', /^ok +files with secrets: 10 files, for the owner alone$/)
  assert.deepEqual(others, [])
})
