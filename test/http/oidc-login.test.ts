// Logging in with a token of an identity provider, as CI jobs do: as Bearer, and as a password.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import {
  type IdentityProvider,
  introspectionClient,
  startIdentityProvider,
} from '../support/identity-provider.ts'
import { createPki, needsOpenssl } from '../support/pki.ts'
import { type Server, startServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { poll } from './product.ts'

const folder = mkdtempSync(join(tmpdir(), 'keelson-oidc-login-'))
after(() => rmSync(folder, { recursive: true, force: true }))

describe('a token of an identity provider', needsOpenssl, () => {
  let server: Server
  let idp: IdentityProvider

  before(async () => {
    idp = await startIdentityProvider(await createPki(folder))
    server = await startServer({
      base: `
[server]
port = 0
[auth.oidc.actions]
issuer = ${JSON.stringify(idp.issuer)}
server_ca_bundle = ${JSON.stringify(idp.caFile)}
required_audience = [${JSON.stringify(idp.audience)}]
allowed_algorithms = ["RS256", "ES256"]
groups_claim = "teams"
[blob_store.memory]
[metadata_store.memory]
[global.access_policy]
default = "deny"
rules = [
  "identity.oidc != null && identity.oidc.provider_name == 'actions' && 'core' in identity.groups",
]
`,
    })
  })
  after(async () => {
    await server.stop()
    await idp.close()
  })

  async function statusOf(authorization: string, path = '/v2/'): Promise<number> {
    const reply = await fetch(`${server.url}${path}`, { headers: { authorization } })
    await reply.arrayBuffer()
    return reply.status
  }

  const asPassword = (name: string, token: string): string =>
    `Basic ${Buffer.from(`${name}:${token}`).toString('base64')}`

  test('logs in as Bearer and as the password of the provider', async () => {
    const token = await idp.sign({ claims: { teams: ['core'] } })
    assert.equal(await statusOf(`Bearer ${token}`), 200)
    assert.equal(await statusOf(asPassword('actions', token)), 200)
    assert.equal(await statusOf(`Bearer ${token}`, '/v2/a/manifests/v1'), 404)
  })

  test('is subject to the policy like anybody', async () => {
    const token = await idp.sign({ claims: { teams: ['other'] } })
    assert.equal(await statusOf(`Bearer ${token}`, '/v2/a/manifests/v1'), 403)
  })

  test('that is wrong is refused at once, wherever it is shown', async () => {
    const token = await idp.sign({ claims: { teams: ['core'], aud: 'https://elsewhere.test' } })
    for (const authorization of [`Bearer ${token}`, asPassword('actions', token), 'Bearer abc']) {
      assert.equal(await statusOf(authorization), 401)
      assert.equal(await statusOf(authorization, '/v2/a/manifests/v1'), 401)
    }
  })

  test('that nobody can check while the provider is away is answered 503', async () => {
    await idp.rotate()
    const token = await idp.sign({ claims: { teams: ['core'] } })
    await idp.stop()
    assert.equal(await statusOf(`Bearer ${token}`), 503)
    await idp.start()
  })

  test('is never in the log', async () => {
    assert.doesNotMatch(server.log.join('\n'), /eyJ/)
    await until('the log says why', () =>
      server.log.some((line) => line.includes('wrong-audience')),
    )
  })
})

describe('a token that its provider is asked about', needsOpenssl, () => {
  let server: Server
  let idp: IdentityProvider

  before(async () => {
    idp = await startIdentityProvider(await createPki(join(folder, 'asked')))
    server = await startServer({
      toml: `
[auth.oidc.actions]
issuer = ${JSON.stringify(idp.issuer)}
server_ca_bundle = ${JSON.stringify(idp.caFile)}
introspection_url = ${JSON.stringify(idp.introspectionUrl)}
introspection_client_id = ${JSON.stringify(introspectionClient.id)}
introspection_client_secret = ${JSON.stringify(introspectionClient.secret)}
introspection_ttl = "1s"
`,
    })
  })
  after(async () => {
    await server.stop()
    await idp.close()
  })

  async function statusOf(token: string): Promise<number> {
    const headers = { authorization: `Bearer ${token}` }
    const reply = await fetch(`${server.url}/v2/`, { headers })
    await reply.arrayBuffer()
    return reply.status
  }

  test('ends within the time that an answer holds once it is revoked', async () => {
    const token = await idp.sign({ claims: { jti: 'of one job' } })
    assert.equal(await statusOf(token), 200)
    assert.equal(await statusOf(token), 200)
    idp.revoke(token)
    const revokedAtMs = performance.now()
    await poll('the end of the token', async () => (await statusOf(token)) === 401 || undefined)
    assert.ok(performance.now() - revokedAtMs < 3000)
    await until('the log says why', () => server.log.some((line) => line.includes('"inactive"')))
    assert.doesNotMatch(server.log.join('\n'), /eyJ/)
  })

  test('is answered 503 while the provider does not say', async () => {
    const token = await idp.sign({ claims: { jti: 'of another job' } })
    idp.answer('/introspect', (_request, response) => response.writeHead(500).end())
    assert.equal(await statusOf(token), 503)
    idp.answer('/introspect', undefined)
    assert.equal(await statusOf(token), 200)
  })
})
