// Goal: clients of a real server get by with tokens and API keys, for what they are for, until they are
// revoked. Method: the requests of Docker's clients, the operator's commands, and jose as a second reader.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { createLocalJWKSet, jwtVerify } from 'jose'
import { hashPassword } from '../../workers/credentials.ts'
import { type Ran, runCommand } from '../support/command-line.ts'
import { type Server, startServer } from '../support/server.ts'
import { poll, temporaryFolder } from './product.ts'

const password = 'tuesday-fjord-lemon'
const service = 'registry.example.com'

const rules = [
  "'builders' in identity.groups",
  "request.action.startsWith('get-') && request.action != 'get-api-version' && request.namespace.startsWith('public/')",
  "identity.username.startsWith('key:') && (request.action == 'get-api-version' || request.namespace.startsWith('team/'))",
]

type Headers = Readonly<Record<string, string>>

interface Answer {
  readonly status: number
  readonly challenge: string
  readonly body: string
}

interface TokenAnswer {
  readonly token: string
  readonly expires_in: number
  readonly scope: string
  readonly refresh_token?: string
}

function basic(username: string, secret: string): Headers {
  return { authorization: `Basic ${Buffer.from(`${username}:${secret}`).toString('base64')}` }
}

function bearer(token: string): Headers {
  return { authorization: `Bearer ${token}` }
}

/** A server over `folder`, and the operator beside it. */
class Registry {
  readonly #folder: string
  readonly #name: string
  #server: Server | undefined

  constructor(folder: string, name = 'one') {
    this.#folder = folder
    this.#name = name
  }

  async start(
    more = '',
    service_ = `[auth.token_service]\nservice = "${service}"\n`,
  ): Promise<void> {
    const toml = `
[server]
port = 0
[admin]
socket = ${JSON.stringify(join(this.#folder, `${this.#name}.sock`))}
[blob_store.fs]
root_dir = ${JSON.stringify(join(this.#folder, 'data'))}
[auth.identity.build]
username = "ci"
password = ${JSON.stringify(hash)}
groups = ["builders"]
[global.access_policy]
default = "deny"
rules = ${JSON.stringify(rules)}
${service_}${more}`
    await writeFile(this.#config, toml)
    this.#server = await startServer({ base: toml })
  }

  get #config(): string {
    return join(this.#folder, `${this.#name}.toml`)
  }

  get server(): Server {
    assert.ok(this.#server)
    return this.#server
  }

  async stop(): Promise<void> {
    const exit = await this.server.stop()
    assert.equal(exit.code, 0, this.server.log.slice(-5).join('\n'))
  }

  async ask(path: string, headers: Headers = {}, init: RequestInit = {}): Promise<Answer> {
    const response = await fetch(`${this.server.url}${path}`, { ...init, headers })
    const challenge = response.headers.get('www-authenticate') ?? ''
    return { status: response.status, challenge, body: await response.text() }
  }

  async token(query: string, headers: Headers = {}): Promise<TokenAnswer> {
    const { status, body } = await this.ask(`/token?service=${service}&${query}`, headers)
    assert.equal(status, 200, body)
    return JSON.parse(body) as TokenAnswer
  }

  form(fields: Readonly<Record<string, string>>): Promise<Answer> {
    const init = { method: 'POST', body: new URLSearchParams(fields) }
    return this.ask('/token', {}, init)
  }

  /** A command of the operator; its output. */
  async run(...args: readonly string[]): Promise<string> {
    const { code, out, err } = await this.tryRun(...args)
    assert.equal(code, 0, err)
    return out
  }

  tryRun(...args: readonly string[]): Promise<Ran> {
    return runCommand(['-c', this.#config, ...args], this.#folder)
  }
}

const hash = hashPassword(password)

function idOf(token: string): string {
  const claims = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()
  return (JSON.parse(claims) as { jti: string }).jti
}

const realm = (registry: Registry): string => `realm="${registry.server.url}/token"`
const start = (registry: Registry): string => `Bearer ${realm(registry)},service="${service}"`

describe('a registry with a token service', () => {
  const folder = temporaryFolder()
  const registry = new Registry(folder.path)
  before(() => registry.start())
  after(() => registry.stop())

  test('sends clients for tokens: at /v2/ without a scope, elsewhere with one', async () => {
    const ping = await registry.ask('/v2/')
    assert.deepEqual([ping.status, ping.challenge], [401, start(registry)])
    for (const [method, path, scope] of [
      ['GET', '/v2/private/a/manifests/v1', 'repository:private/a:pull'],
      ['POST', '/v2/private/a/blobs/uploads/', 'repository:private/a:pull,push'],
      ['DELETE', '/v2/private/a/manifests/v1', 'repository:private/a:delete'],
      ['GET', '/v2/_catalog', 'registry:catalog:*'],
    ] as const) {
      const { status, challenge } = await registry.ask(path, {}, { method })
      assert.deepEqual([status, challenge], [401, `${start(registry)},scope="${scope}"`])
    }
  })

  test('gives the anonymous a token that pulls what is public, and nothing else', async () => {
    const query = 'scope=repository:public/a:pull,push&scope=repository:private/a:pull'
    const { token, scope } = await registry.token(query)
    assert.equal(scope, 'repository:public/a:pull')
    assert.equal((await registry.ask('/v2/public/a/manifests/v1', bearer(token))).status, 404)
    const push = await registry.ask('/v2/public/a/blobs/uploads/', bearer(token), {
      method: 'POST',
    })
    assert.equal(push.status, 401)
    const wanted = 'scope="repository:public/a:pull,push",error="insufficient_scope"'
    assert.equal(push.challenge, `${start(registry)},${wanted}`)
    assert.equal((await registry.ask('/v2/private/a/manifests/v1', bearer(token))).status, 401)
  })

  test('gives a user a token that pushes, within its scopes', async () => {
    const login = basic('ci', password)
    const { token, expires_in } = await registry.token('scope=repository:app:pull,push', login)
    assert.equal(expires_in, 3600)
    assert.equal((await registry.ask('/v2/', bearer(token))).status, 200)
    const post = { method: 'POST' }
    assert.equal((await registry.ask('/v2/app/blobs/uploads/', bearer(token), post)).status, 202)
    const { status } = await registry.ask('/v2/app2/blobs/uploads/', bearer(token), post)
    assert.equal(status, 401)
    const gone = await registry.ask('/v2/app/manifests/v1', bearer(token), { method: 'DELETE' })
    assert.match(gone.challenge, /error="insufficient_scope"$/)
    // The password itself still does.
    assert.equal((await registry.ask('/v2/app/manifests/v1', login)).status, 404)
  })

  test('does not mount what the token may not pull', async () => {
    const login = basic('ci', password)
    const digest = `sha256:${'0'.repeat(64)}`
    const { token } = await registry.token('scope=repository:app:pull,push', login)
    const path = `/v2/app/blobs/uploads/?mount=${digest}&from=private/base`
    assert.equal((await registry.ask(path, bearer(token), { method: 'POST' })).status, 202)
  })

  test('refuses a wrong password at /token, by both ways, and asks for one', async () => {
    const wrong = await registry.ask('/token', basic('ci', 'wrong'))
    assert.deepEqual([wrong.status, wrong.challenge], [401, 'Basic realm="keelson"'])
    const form = { grant_type: 'password', username: 'ci', password: 'wrong' }
    assert.equal((await registry.form(form)).status, 401)
    const odd = { ...form, username: 'ci:x', password }
    assert.equal((await registry.form(odd)).status, 401)
  })

  test('refuses what is no token, wherever it is shown', async () => {
    const { token } = await registry.token('scope=repository:public/a:pull')
    const [head = '', , signature = ''] = token.split('.')
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
    claims.access[0].actions = ['pull', 'push', 'delete']
    const wider = Buffer.from(JSON.stringify(claims)).toString('base64url')
    const none = Buffer.from('{"alg":"none","typ":"keelson+jwt"}').toString('base64url')
    for (const text of [
      ...['x', 'a.b.c', `${head}.${wider}.${signature}`, `${none}.${wider}.`, `${token}x`],
      ...['keelson_', `keelson_${'0'.repeat(49)}`],
    ]) {
      for (const path of ['/v2/', '/v2/public/a/manifests/v1']) {
        const { status, challenge } = await registry.ask(path, bearer(text))
        assert.equal(status, 401, text)
        assert.match(challenge, /error="invalid_token"$/, text)
      }
    }
  })

  test('publishes keys by which anybody can verify its tokens', async () => {
    const { token } = await registry.token('', basic('ci', password))
    const jwks = JSON.parse((await registry.ask('/token/jwks')).body)
    assert.ok(!JSON.stringify(jwks).includes('"d"'))
    const options = { issuer: service, audience: service, typ: 'keelson+jwt' }
    const { payload } = await jwtVerify(token, createLocalJWKSet(jwks), options)
    assert.equal(payload.sub, 'ci')
  })

  test('keeps a login with a refresh token, until the user is revoked', async () => {
    const form = { grant_type: 'password', username: 'ci', password, client_id: 'test' }
    const login = await registry.form({ ...form, access_type: 'offline' })
    assert.equal(login.status, 200, login.body)
    const { refresh_token = '' } = JSON.parse(login.body) as TokenAnswer
    const renewal = { grant_type: 'refresh_token', refresh_token, scope: 'repository:app:pull' }
    const { token } = JSON.parse((await registry.form(renewal)).body) as TokenAnswer
    assert.equal((await registry.ask('/v2/app/manifests/v1', bearer(token))).status, 404)
    assert.match(await registry.run('token', 'list'), /refresh token +user/)
    await registry.run('token', 'revoke', '--user', 'ci')
    assert.equal((await registry.form(renewal)).status, 401)
    const after_ = await registry.ask('/v2/app/manifests/v1', bearer(token))
    assert.equal(after_.status, 401)
    assert.match(after_.challenge, /error="invalid_token"$/)
    const { token: next } = await registry.token('', basic('ci', password))
    assert.equal((await registry.ask('/v2/', bearer(next))).status, 200)
  })

  test('takes an API key as a password, as a token, and for a token, until it is revoked', async () => {
    const scope = 'repository:team/*:pull,push'
    const key = (await registry.run('token', 'create', '--name', 'robot', '--scope', scope)).trim()
    const { token } = await registry.token('scope=repository:team/a:pull', basic('x', key))
    for (const [headers, outside] of [
      [basic('anything', key), 403],
      [bearer(key), 403],
      [bearer(token), 401],
    ] as const) {
      assert.equal((await registry.ask('/v2/', headers)).status, 200)
      assert.equal((await registry.ask('/v2/team/a/manifests/v1', headers)).status, 404)
      assert.equal((await registry.ask('/v2/teamwork/a/manifests/v1', headers)).status, outside)
    }
    const listed = await registry.run('token', 'list')
    assert.match(listed, /good +robot/)
    assert.ok(!listed.includes(key))
    const [, id = ''] = /^([0-9a-f]{16}) +good +robot/m.exec(listed) ?? []
    assert.equal(await registry.run('token', 'revoke', id), `revoked api-key ${id}\n`)
    for (const headers of [basic('anything', key), bearer(key), bearer(token)]) {
      assert.equal((await registry.ask('/v2/team/a/manifests/v1', headers)).status, 401)
    }
    assert.match(await registry.run('token', 'list'), /revoked +robot/)
    const again = await registry.tryRun('token', 'revoke', id)
    assert.equal(again.code, 1)
  })

  test('ends one token by its id, which the log has', async () => {
    const { token } = await registry.token('scope=repository:app:pull', basic('ci', password))
    const id = idOf(token)
    await poll('the token in the log', async () =>
      registry.server.log.find((line) => line.includes(id) && line.includes('"token issued"')),
    )
    assert.equal((await registry.ask('/v2/', bearer(token))).status, 200)
    await registry.run('token', 'revoke', id)
    assert.equal((await registry.ask('/v2/', bearer(token))).status, 401)
  })

  test('tells every use in the log and the figures, and no secret', async () => {
    const key = (
      await registry.run('token', 'create', '--name', 'told', '--scope', 'repository:team/a:pull')
    ).trim()
    const { token } = await registry.token('', basic('x', key))
    const { refresh_token = '' } = await registry.token('offline_token=true', basic('ci', password))
    await registry.ask('/v2/', bearer(token))
    const log = registry.server.log.join('\n')
    for (const secret of [key, token, token.split('.')[2] ?? '', refresh_token, password]) {
      assert.ok(secret.length > 10 && !log.includes(secret))
    }
    assert.ok(!log.includes('PRIVATE KEY'))
    assert.match(log, /"call":"create".*"admin call"/)
    assert.match(log, /"method":"token","result":"success"/)
    assert.match(log, /"method":"api-key","result":"success"/)
  })
})

describe('tokens and a restart', () => {
  const folder = temporaryFolder()

  test('a token, a key and a revocation outlive it, and so does no token of a service that is gone', async (t) => {
    const registry = new Registry(folder.path)
    t.after(() => registry.server.kill())
    await registry.start()
    const login = basic('ci', password)
    const kept = (await registry.token('', login)).token
    const revoked = (await registry.token('', login)).token
    await registry.run('token', 'revoke', idOf(revoked))
    const made = ['--name', 'robot', '--scope', 'repository:team/*:pull', '--user', 'ci']
    const key = (await registry.run('token', 'create', ...made)).trim()
    await registry.stop()
    await registry.start()
    assert.equal((await registry.ask('/v2/', bearer(kept))).status, 200)
    assert.equal((await registry.ask('/v2/', bearer(revoked))).status, 401)
    assert.equal((await registry.ask('/v2/', basic('ci', key))).status, 200)
    assert.equal((await registry.ask('/v2/', basic('root', key))).status, 401)
    await registry.stop()
    await registry.start('', '')
    const { status, challenge } = await registry.ask('/v2/', bearer(kept))
    assert.deepEqual([status, challenge], [401, 'Basic realm="keelson"'])
    assert.equal((await registry.ask('/v2/', basic('ci', key))).status, 200)
    assert.equal((await registry.ask('/token')).status, 404)
    assert.equal((await registry.ask('/token/jwks')).status, 404)
    await registry.stop()
    // The store itself is read where no server runs.
    assert.match(await registry.run('token', 'list'), / robot /)
  })
})

describe('two servers over one store', () => {
  const folder = temporaryFolder()
  const one = new Registry(folder.path, 'one')
  const two = new Registry(folder.path, 'two')
  const shared = '[storage]\nsharing = "shared"\n'
  before(async () => {
    await one.start(shared)
    await two.start(shared)
  })
  after(async () => {
    await two.stop()
    await one.stop()
  })

  test('take one another’s tokens at once, and their revocations within a second', async () => {
    const { token } = await one.token('', basic('ci', password))
    assert.equal((await two.ask('/v2/', bearer(token))).status, 200)
    const made = ['--name', 'robot', '--scope', 'repository:team/*:pull']
    const key = (await one.run('token', 'create', ...made)).trim()
    assert.equal((await two.ask('/v2/', basic('x', key))).status, 200)
    await one.run('token', 'revoke', '--user', 'ci')
    assert.equal((await one.ask('/v2/', bearer(token))).status, 401)
    const began = performance.now()
    await poll('the revocation at the other server', async () =>
      (await two.ask('/v2/', bearer(token))).status === 401 ? true : undefined,
    )
    // The machine of a test may be busy; that of an operator polls each half second.
    assert.ok(performance.now() - began < 5000)
  })
})
