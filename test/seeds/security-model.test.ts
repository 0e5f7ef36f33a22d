// Goal: every row of the table "Fail-Closed Design" of the document "Security Model" holds, with its
// example policy as it is written there. Method: the rows by their names, each against a real server.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { adminCall } from '../http/product.ts'
import { type IdentityProvider, startIdentityProvider } from '../support/identity-provider.ts'
import { type Certificate, needsOpenssl } from '../support/pki.ts'
import { type Answer, RegistryClient } from '../support/registry-client.ts'
import { type Behaviour, openRudeService, type RudeService } from '../support/rude-service.ts'
import { type Server, startServer } from '../support/server.ts'
import { clientTls, stopServer, tlsTable, usePki } from '../support/tls-server.ts'
import { until } from '../support/until.ts'

const table = `
| Scenario | Behavior |
|---|---|
| No policies defined | Access denied |
| Webhook timeout | Access denied |
| Webhook error | Access denied |
| Invalid mTLS certificate | TLS handshake fails |
| Invalid OIDC token | Rejected immediately |
| Invalid Basic Auth password | Anonymous identity |
| CEL evaluation error | Rule skipped, evaluation continues |
`

// As the document has it, with its heading.
const examplePolicy = `
# Recommended: explicit allow
[global.access_policy]
default_allow = false
rules = ["identity.username != null"]
`

const stores = '[blob_store.memory]\n[metadata_store.memory]\n'
const password = 'tuesday-fjord-lemon'
const user = `
[auth.identity.build]
username = "ci"
password = ${JSON.stringify(hashPassword(password))}
`
const listener = '[server]\nbind_address = "127.0.0.1"\nport = 0\n'

function basic(username: string, secret: string): Readonly<Record<string, string>> {
  const credentials = Buffer.from(`${username}:${secret}`).toString('base64')
  return { authorization: `Basic ${credentials}` }
}

describe('Fail-Closed Design', needsOpenssl, () => {
  const scene = usePki()
  const running: Server[] = []
  const services: RudeService[] = []
  let idp: IdentityProvider
  before(async () => {
    idp = await startIdentityProvider(scene.pki)
  })
  after(async () => {
    await Promise.all(running.map(stopServer))
    await Promise.all(services.map((service) => service.close()))
    await idp.close()
  })

  async function serve(...parts: readonly string[]): Promise<Server> {
    const server = await startServer({ base: [...parts, stores].join('\n') })
    running.push(server)
    return server
  }

  type Get = (
    path: string,
    headers?: Readonly<Record<string, string>>,
    certificate?: Certificate,
  ) => Promise<Answer>

  /** Each on a connection of its own. */
  function getFrom(server: Server): Get {
    return async (path, headers = {}, certificate) => {
      const tls = server.url.startsWith('https') ? clientTls(scene.pki, certificate) : undefined
      const client = new RegistryClient(server.url, tls)
      try {
        return await client.call('GET', path, { headers })
      } finally {
        client.close()
      }
    }
  }

  const manifest = '/v2/private/app/manifests/v1'
  const publicManifest = '/v2/public/app/manifests/v1'

  /** Allowed, and not there. */
  async function assertAllowed(answer: Promise<Answer>): Promise<void> {
    assert.equal((await answer).status, 404)
  }

  async function assertStatus(answer: Promise<Answer>, status: number): Promise<void> {
    assert.equal((await answer).status, status)
  }

  /** Nobody whom the policies allow is let in while the webhook is like that, and all of them after. */
  async function assertWebhookDenies(
    service: RudeService,
    get: Get,
    ...manners: readonly Behaviour[]
  ): Promise<void> {
    for (const manner of [...manners, undefined]) {
      service.behave(manner ?? webhookAllows)
      const asked = service.requests.length
      const known = basic('ci', password)
      const [own, open, nobody] = await Promise.all([
        get(manifest, known),
        get(publicManifest, known),
        get(publicManifest),
      ])
      const statuses = [own.status, open.status, nobody.status]
      assert.deepEqual(statuses, manner === undefined ? [404, 404, 404] : [403, 403, 401])
      assert.ok(service.requests.length >= asked + 3)
    }
  }

  async function serveWithWebhook(timeout: string): Promise<readonly [RudeService, Server]> {
    const service = await openRudeService(webhookAllows)
    services.push(service)
    const server = await serve(listener, user, publicPolicy, webhookTable(service.url, timeout))
    return [service, server]
  }

  const rows: Readonly<Record<string, readonly [behavior: string, () => Promise<void>]>> = {
    'No policies defined': [
      'Access denied',
      async () => {
        const get = getFrom(await serve(listener, user))
        for (const path of ['/v2/', '/v2/_catalog', manifest, '/v2/private/app/tags/list']) {
          await assertStatus(get(path), 401)
          await assertStatus(get(path, basic('ci', password)), 403)
        }
      },
    ],
    'Webhook timeout': [
      'Access denied',
      async () => {
        const [service, server] = await serveWithWebhook('1s')
        const late = ['never answers', 'stops after the head', 'drips its body'] as const
        await assertWebhookDenies(service, getFrom(server), ...late)
        // Of those who are known; the anonymous are asked to log in, which is no news.
        const isTimeout = (line: string): boolean => line.includes('"reason":"timeout: ')
        await until('the reasons', () => server.log.filter(isTimeout).length === late.length * 2)
      },
    ],
    'Webhook error': [
      'Access denied',
      async () => {
        const [service, server] = await serveWithWebhook('1m')
        const get = getFrom(server)
        const away = { status: 302, headers: { Location: service.url } }
        const failing = [{ status: 500 }, { status: 404 }, away, 'resets the connection'] as const
        await assertWebhookDenies(service, get, ...failing, 'speaks another protocol')
        await service.stop()
        await assertStatus(get(manifest, basic('ci', password)), 403)
        await assertStatus(get(publicManifest), 401)
      },
    ],
    'Invalid mTLS certificate': [
      'TLS handshake fails',
      async () => {
        const { pki } = scene
        const tls = tlsTable(pki, { clientAuth: 'optional' })
        const get = getFrom(await serve(listener, tls, examplePolicy))
        const { clientCa } = pki
        const rogue = await pki.rogueCa()
        const past = new Date(Date.now() - 86_400_000)
        for (const certificate of [
          await rogue.clientCertificate(),
          await clientCa.clientCertificate({ notBefore: new Date(0), notAfter: past }),
          await clientCa.clientCertificate({ extendedKeyUsage: 'serverAuth' }),
        ]) {
          // Neither the certificate's bearer nor the anonymous: no answer at all.
          await assert.rejects(get(manifest, {}, certificate))
        }
        // A good one is known, if not by a user name, which the example asks for.
        await assertStatus(get(manifest, {}, pki.client), 403)
        await assertStatus(get(manifest), 401)
      },
    ],
    'Invalid OIDC token': [
      'Rejected immediately',
      async () => {
        const get = getFrom(await serve(listener, providerTable(idp), publicPolicy))
        const good = await idp.sign()
        await assertAllowed(get(manifest, { authorization: `Bearer ${good}` }))
        await assertAllowed(get(publicManifest))
        const past = Math.floor(Date.now() / 1000) - 3600
        for (const token of [
          await idp.sign({ claims: { exp: past } }),
          await idp.sign({ claims: { aud: 'https://elsewhere.test' } }),
          `${good.slice(0, -8)}AAAAAAAA`,
          'x.y.z',
        ]) {
          // Also where the anonymous may read: rejected, and not taken for nobody.
          for (const path of ['/v2/', manifest, publicManifest]) {
            await assertStatus(get(path, { authorization: `Bearer ${token}` }), 401)
            await assertStatus(get(path, basic('actions', token)), 401)
          }
        }
      },
    ],
    'Invalid Basic Auth password': [
      'Anonymous identity',
      async () => {
        const example = getFrom(await serve(listener, user, examplePolicy))
        await assertAllowed(example(manifest, basic('ci', password)))
        await assertStatus(example(manifest, basic('ci', 'wrong')), 401)
        await assertStatus(example(manifest), 401)
        const open = getFrom(await serve(listener, user, publicPolicy))
        for (const headers of [{}, basic('ci', 'wrong'), basic('nobody', password)]) {
          await assertAllowed(open(publicManifest, headers))
          await assertStatus(open(manifest, headers), 401)
          // Where it is the login itself it is refused, so that clients say so.
          await assertStatus(open('/v2/', headers), 401)
        }
      },
    ],
    'CEL evaluation error': [
      'Rule skipped, evaluation continues',
      async () => {
        const erring = "identity.oidc.claims.role == 'admin'"
        const somebody = 'identity.username != null'
        const skipped = getFrom(await serve(listener, user, denying([erring, somebody])))
        await assertAllowed(skipped(manifest, basic('ci', password)))
        await assertStatus(skipped(manifest), 401)
        const alone = getFrom(await serve(listener, user, denying([erring])))
        await assertStatus(alone(manifest, basic('ci', password)), 403)
        // What forbids and cannot be evaluated forbids: failing closed comes before the row.
        const forbidding = `[global.access_policy]\ndefault_allow = true\nrules = [${JSON.stringify(erring)}]\n`
        const allowing = getFrom(await serve(listener, user, forbidding))
        await assertStatus(allowing(manifest, basic('ci', password)), 403)
      },
    ],
  }

  test('the table has these rows', () => {
    const lines = Object.entries(rows).map(([name, [behavior]]) => `| ${name} | ${behavior} |`)
    assert.equal(table.trim(), ['| Scenario | Behavior |', '|---|---|', ...lines].join('\n'))
  })

  for (const [name, [behavior, check]] of Object.entries(rows)) {
    test(`${name}: ${behavior}`, check)
  }

  test('the metrics that the document names count, with its labels, and the log tells the events', async () => {
    const service = await openRudeService(webhookAllows)
    services.push(service)
    const socket = join(scene.dir, 'admin.sock')
    const admin = `[admin]\nsocket = ${JSON.stringify(socket)}\n`
    const table = webhookTable(service.url, '1m')
    const server = await serve(listener, admin, user, publicPolicy, table)
    const get = getFrom(server)
    await assertAllowed(get(manifest, basic('ci', password)))
    await assertStatus(get('/v2/', basic('ci', 'wrong')), 401)
    service.behave({ status: 403 })
    await assertStatus(get(manifest, basic('ci', password)), 403)
    const { body } = await adminCall(socket, '/metrics')
    for (const line of [
      'auth_attempts_total{method="basic",result="success"} 2',
      'auth_attempts_total{method="basic",result="failure"} 1',
      'webhook_authorization_requests_total{webhook="scanner",result="allow"} 1',
      'webhook_authorization_requests_total{webhook="scanner",result="deny"} 1',
    ]) {
      assert.ok(body.split('\n').includes(line), line)
    }
    const events = ['configuration loaded', 'logged in', 'login failed', 'denied']
    for (const event of events) {
      await until(event, () => server.log.some((line) => line.includes(`"msg":"${event}"`)))
    }
    assert.ok(!server.log.join('\n').includes(password), 'a password is in the log')
  })

  test('the example lets somebody in, and nobody else', async () => {
    const get = getFrom(await serve(listener, user, providerTable(idp), examplePolicy))
    await assertAllowed(get(manifest, basic('ci', password)))
    await assertAllowed(get(manifest, { authorization: `Bearer ${await idp.sign()}` }))
    for (const headers of [{}, basic('', ''), basic('ci', ''), basic('nobody', password)]) {
      await assertStatus(get(manifest, headers), 401)
    }
  })
})

const webhookAllows = { status: 200, body: 'yes' }

function webhookTable(url: string, timeout: string): string {
  return `
[global]
authorization_webhook = "scanner"
[auth.webhook.scanner]
url = ${JSON.stringify(url)}
timeout = "${timeout}"
cache_ttl = "0s"
breaker_failures = 1000
`
}

function providerTable(idp: IdentityProvider): string {
  return `
[auth.oidc.actions]
issuer = ${JSON.stringify(idp.issuer)}
server_ca_bundle = ${JSON.stringify(idp.caFile)}
required_audience = [${JSON.stringify(idp.audience)}]
`
}

function denying(rules: readonly string[]): string {
  return `[global.access_policy]\ndefault_allow = false\nrules = ${JSON.stringify(rules)}\n`
}

// It lets everybody ask /v2/, so that only authentication can refuse there.
const publicPolicy = denying([
  "identity.username != null || request.action == 'get-api-version'",
  "has(request.repository) && request.repository.startsWith('public/')",
])
