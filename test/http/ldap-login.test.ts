// Goal: users of a directory log in at a whole server, by password and for a token, and its absence is
// 503. Method: slapd over TLS beside a user of the configuration; requests as clients send them, and skopeo.
import assert from 'node:assert/strict'
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { attempt } from '../support/run.ts'
import { containersEnv } from '../support/scene.ts'
import { type Server, startServer } from '../support/server.ts'
import {
  group,
  groups,
  needsSlapd,
  people,
  person,
  type Slapd,
  service,
  startSlapd,
} from '../support/slapd.ts'
import { usePki } from '../support/tls-server.ts'
import { needs } from '../support/tools.ts'

const local = 'tuesday-fjord-lemon'
const entries = [
  person('alice', 'wonder land'),
  person('bob', 'builder'),
  person('ci', 'other'),
  group('readers', 'alice'),
].join('')

describe('a registry with a directory', needsSlapd, () => {
  const scene = usePki()
  let slapd: Slapd
  let server: Server
  let requests = 0

  before(async () => {
    slapd = await startSlapd({ dir: join(scene.dir, 'slapd'), pki: scene.pki, entries })
    server = await startServer({
      toml: `
[auth.identity.build]
username = "ci"
password = ${JSON.stringify(hashPassword(local))}
[auth.token_service]
service = "registry.example.com"
[auth.ldap.corp]
url = "ldaps://localhost:${slapd.tlsPort}"
server_ca_bundle = ${JSON.stringify(scene.pki.serverCa.certificateFile)}
bind_dn = ${JSON.stringify(service.dn)}
bind_password = ${JSON.stringify(service.password)}
user_base = ${JSON.stringify(people)}
group_base = ${JSON.stringify(groups)}
timeout = "20s"
`,
      base: `
[server]
port = 0
trusted_proxies = ["127.0.0.1"]
[blob_store.memory]
[metadata_store.memory]
[global.access_policy]
default = "deny"
rules = ["identity.username == 'alice' && 'readers' in identity.groups", "identity.username == 'ci'"]
`,
    })
  })
  after(async () => {
    await server?.stop()
    await slapd?.stop()
  })

  function get(path: string, login: string): Promise<Response> {
    const authorization = `Basic ${Buffer.from(login).toString('base64')}`
    // Each from an address of its own, since wrong passwords are counted by address.
    requests += 1
    const headers = { authorization, 'x-forwarded-for': `192.0.2.${requests}` }
    return fetch(`${server.url}${path}`, { headers })
  }

  test('lets its users in, with their groups, and nobody else', async () => {
    const statuses = { 'alice:wonder land': 200, 'ALICE:wonder land': 200, 'bob:builder': 403 }
    for (const [login, status] of Object.entries(statuses)) {
      assert.equal((await get('/v2/', login)).status, status, login)
    }
    for (const login of ['alice:builder', 'alice:', 'mallory:x', '*:wonder land']) {
      assert.equal((await get('/v2/', login)).status, 401, login)
    }
  })

  test('keeps the users of the configuration to itself', async () => {
    assert.equal((await get('/v2/', `ci:${local}`)).status, 200)
    assert.equal((await get('/v2/', 'ci:other')).status, 401)
    assert.equal((await get('/v2/', 'CI:other')).status, 401)
  })

  test('issues tokens for them, with their groups', async () => {
    const answer = await get('/token?service=registry.example.com', 'alice:wonder land')
    assert.equal(answer.status, 200)
    const { token } = (await answer.json()) as { token: string }
    const headers = { authorization: `Bearer ${token}` }
    assert.equal((await fetch(`${server.url}/v2/`, { headers })).status, 200)
    assert.equal((await get('/token?service=registry.example.com', 'alice:x')).status, 401)
  })

  test('logs a login with what proved it', () => {
    const line = server.log.find((each) => each.includes('"ldap:corp"'))
    assert.ok(line?.includes('"alice"'), line)
    assert.ok(!server.log.some((each) => each.includes('wonder land')))
  })

  test('lets skopeo log in', needs('skopeo'), async () => {
    const env = await containersEnv(await mkdtemp(join(scene.dir, 's-')))
    const host = new URL(server.url).host
    const login = (password: string): Promise<{ readonly code: number | null }> => {
      const args = ['login', '--tls-verify=false', '--username', 'alice', '--password-stdin', host]
      return attempt('skopeo', args, { env, input: password })
    }
    assert.equal((await login('wonder land')).code, 0)
    assert.notEqual((await login('wrong')).code, 0)
  })

  test('answers 503 while the directory is away, but not to those who are in', async () => {
    await slapd.stop()
    const away = await get('/v2/', 'bob:other')
    assert.equal(away.status, 503)
    assert.ok(Number(away.headers.get('retry-after')) > 0)
    assert.equal((await get('/v2/', 'alice:wonder land')).status, 200)
    assert.equal((await get('/v2/', `ci:${local}`)).status, 200)
  })
})
