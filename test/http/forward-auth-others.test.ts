// Goal: whoever else has a say, a token service, a webhook, an OPA, has it when a proxy asks, too, and the
// proxy's own certificate says nothing. Method: as test/http/forward-auth.test.ts, and services of the
// test's own.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { needsOpenssl } from '../support/pki.ts'
import type { RawReply } from '../support/raw-http.ts'
import { openRudeService, type RudeService } from '../support/rude-service.ts'
import { type Server, startServer } from '../support/server.ts'
import { usePki, useTlsServer } from '../support/tls-server.ts'
import {
  ask,
  assertAllowed,
  assertRefused,
  bob,
  ci,
  digest,
  forwardAuth,
  gateway,
  type Headers,
  manifest,
  mount,
  policy,
  proxy,
  send,
  users,
} from './forward-auth-scene.ts'

describe('forward_auth with a token service', () => {
  let server: Server
  before(async () => {
    const own = `[server]\ntrusted_proxies = ["${proxy}"]\n`
    const service = '[auth.token_service]\nservice = "registry.test"\n'
    // Nobody answers there.
    const away =
      '[auth.oidc.away]\nissuer = "https://127.0.0.1:1/"\nrequired_audience = ["registry"]\n'
    const toml = [own, forwardAuth, users, service, away, policy].join('\n')
    const stores = '[blob_store.memory]\n[metadata_store.memory]\n'
    server = await startServer({ base: `[server]\nport = 0\n${stores}`, toml })
  })
  after(async () => {
    assert.deepEqual(await server.stop(), { code: 0, signal: null })
  })
  const nginx = (request: string, headers: Headers = []): Promise<RawReply> =>
    ask({ port: server.port, localAddress: proxy }, request, headers)

  async function bearer(scope: string): Promise<Headers> {
    const target = { port: server.port, localAddress: proxy }
    const reply = await send(target, `GET /token?service=registry.test&scope=${scope}`, ci)
    assert.equal(reply.status, 200)
    const { token } = JSON.parse(reply.body.toString()) as { readonly token: string }
    return [['Authorization', `Bearer ${token}`]]
  }

  test('its realm is where the client came to, and its scope what the request needs', async () => {
    const https = ['X-Forwarded-Proto', 'https'] as const
    const { headers } = assertRefused(await nginx(`PUT ${manifest}`, [https]), 401)
    assert.equal(
      headers['www-authenticate'],
      'Bearer realm="https://registry.test/token",service="registry.test",scope="repository:team/app:pull,push"',
    )
    const login = assertRefused(await nginx('GET /v2/'), 401).headers['www-authenticate']
    assert.equal(login, 'Bearer realm="http://registry.test/token",service="registry.test"')
    const from = assertRefused(await nginx(`POST ${mount}&from=team/base`), 401)
    assert.match(
      from.headers['www-authenticate'] ?? '',
      /team\/app:pull,push repository:team\/base/,
    )
  })

  test('tokens allow what they are for, where the policies do', async () => {
    const pull = await bearer('repository:team/app:pull')
    assertAllowed(await nginx(`GET ${manifest}`, pull), 'ci', 'devs,a%2cb')
    assertAllowed(await nginx('GET /v2/', pull), 'ci', 'devs,a%2cb')
    for (const request of [
      `PUT ${manifest}`,
      `DELETE ${manifest}`,
      'POST /v2/team/app/blobs/uploads/',
      'GET /v2/team/other/manifests/v1',
      'GET /v2/_catalog',
    ]) {
      const reply = assertRefused(await nginx(request, pull), 401, request)
      assert.match(reply.headers['www-authenticate'] ?? '', /error="insufficient_scope"/, request)
    }
    const push = await bearer('repository:team/app:pull,push')
    assertAllowed(await nginx(`PUT ${manifest}`, push), 'ci', 'devs,a%2cb')
    // The source of a mount needs a scope, too.
    assertRefused(await nginx(`POST ${mount}&from=team/base`, push), 401)
    const both = await bearer('repository:team/app:pull,push&scope=repository:team/base:pull')
    assertAllowed(await nginx(`POST ${mount}&from=team/base`, both), 'ci', 'devs,a%2cb')
    const core = await bearer('repository:core/app:pull')
    assert.notEqual((await nginx('GET /v2/core/app/manifests/v1', core)).status, 200)
  })

  test('a wrong token is refused also where nobody needs one', async () => {
    const wrong: Headers = [['Authorization', 'Bearer nonsense']]
    const reply = assertRefused(await nginx('GET /v2/public/app/manifests/v1', wrong), 401)
    assert.match(reply.headers['www-authenticate'] ?? '', /error="invalid_token"/)
  })

  test('where the one who could tell is away, the answer is a failure and no leave', async () => {
    const part = (value: unknown): string =>
      Buffer.from(JSON.stringify(value)).toString('base64url')
    const exp = Math.floor(Date.now() / 1000) + 600
    const claims = { iss: 'https://127.0.0.1:1/', aud: 'registry', sub: 'a', exp, iat: exp - 700 }
    const token = [part({ alg: 'RS256', kid: 'a' }), part(claims), 'AAAA'].join('.')
    const headers: Headers = [['Authorization', `Bearer ${token}`]]
    const reply = await nginx('GET /v2/public/app/manifests/v1', headers)
    assert.equal(reply.status, 503)
    assert.equal(reply.headers['x-forwarded-user'], undefined)
    assert.equal(reply.headers['cache-control'], 'no-store')
  })
})

describe('forward_auth asked with a client certificate', needsOpenssl, () => {
  const scene = usePki()
  const product = useTlsServer(scene, () => ({
    clientAuth: 'optional',
    toml: [
      forwardAuth.replace(proxy, '127.0.0.1", "::1'),
      users,
      `${gateway.replace(proxy, '127.0.0.1", "::1')}common_names = ["edge"]\n`,
      policy,
    ].join('\n'),
  }))

  test('the certificate is that of the proxy, and no part of its client', async () => {
    const edge = await scene.pki.clientCa.clientCertificate({ commonNames: ['edge'] })
    const tls = { ca: scene.pki.serverCa.pem, servername: 'localhost' }
    const target = {
      port: product.get().port,
      tls: { ...tls, cert: edge.bundlePem, key: edge.keyPem },
    }
    assertRefused(await ask(target, `GET ${manifest}`), 401)
    assertRefused(await ask(target, 'GET /v2/core/app/manifests/v1', bob), 403)
    assertRefused(await ask(target, `GET ${manifest}`, [['X-Forwarded-User', 'ci']]), 401)
    assertAllowed(await ask(target, `GET ${manifest}`, ci), 'ci', 'devs,a%2cb')
  })
})

describe('forward_auth with a webhook and an OPA', () => {
  let services: readonly RudeService[] = []
  let server: Server
  before(async () => {
    services = [
      await openRudeService({ status: 200, body: 'yes' }),
      await openRudeService({ status: 200, body: '{"result":true}' }),
    ]
    const [webhook, opa] = services.map(({ url }) => url)
    const toml = `
[global]
authorization_webhook = "scanner"
authorization_opa = "central"
[auth.webhook.scanner]
url = "${webhook}/decide"
timeout = "1s"
cache_ttl = "0s"
breaker_failures = 1000
[auth.opa.central]
url = "${opa}"
path = "keelson/allow"
timeout = "1s"
breaker_failures = 1000
[server]
trusted_proxies = ["${proxy}"]
${[forwardAuth, users, policy].join('\n')}`
    const stores = '[blob_store.memory]\n[metadata_store.memory]\n'
    server = await startServer({ base: `[server]\nport = 0\n${stores}`, toml })
  })
  after(async () => {
    assert.deepEqual(await server.stop(), { code: 0, signal: null })
    for (const service of services) await service.close()
  })
  const nginx = (request: string, headers: Headers = []): Promise<RawReply> =>
    ask({ port: server.port, localAddress: proxy }, request, headers)

  test('both are told of the original request, and must allow it', async () => {
    const [webhook, opa] = services as readonly [RudeService, RudeService]
    const client: Headers = [...ci, ['X-Forwarded-For', '198.51.100.7']]
    assertAllowed(await nginx(`PUT ${manifest}`, client), 'ci', 'devs,a%2cb')
    const heard = new Map(webhook.requests.at(-1)?.headers)
    assert.equal(heard.get('x-forwarded-method'), 'PUT')
    assert.equal(heard.get('x-forwarded-uri'), manifest)
    assert.equal(heard.get('x-forwarded-for'), '198.51.100.7')
    assert.equal(heard.get('x-registry-action'), 'put-manifest')
    assert.equal(heard.get('x-registry-username'), 'ci')
    const { input } = JSON.parse(opa.requests.at(-1)?.body ?? '{}') as {
      readonly input: Readonly<Record<string, unknown>>
    }
    assert.equal(input['method'], 'PUT')
    assert.equal(input['action'], 'put-manifest')
    assert.equal(input['repository'], 'team/app')

    for (const deny of [
      { status: 403 },
      { status: 500 },
      'never answers',
      'closes at once',
    ] as const) {
      webhook.behave(deny)
      assertRefused(await nginx(`GET ${manifest}`, ci), 403)
      assertRefused(await nginx('GET /v2/public/app/manifests/v1'), 401)
      webhook.behave({ status: 200, body: 'yes' })
    }
    opa.behave({ status: 200, body: '{"result":false}' })
    assertRefused(await nginx(`GET ${manifest}`, ci), 403)
    opa.behave({ status: 200, body: '{"result":true}' })
    // The source of a mount is a question of its own.
    webhook.behave((request) => {
      const isRead = new Map(request.headers).get('x-registry-action') === 'get-blob'
      return isRead ? { status: 403 } : { status: 200, body: 'yes' }
    })
    assertRefused(await nginx(`POST ${mount}&from=team/base`, ci), 403)
    assert.equal(
      new Map(webhook.requests.at(-1)?.headers).get('x-forwarded-uri'),
      `/v2/team/base/blobs/${digest}`,
    )
  })
})
