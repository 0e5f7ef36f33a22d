// Goal: every row of the table "Fail-Closed Design" of the document "Security Model" holds, with its
// example policy as it is written there. Method: the rows by their names, each against a real server.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { type IdentityProvider, startIdentityProvider } from '../support/identity-provider.ts'
import { type Certificate, needsOpenssl } from '../support/pki.ts'
import { type Answer, RegistryClient } from '../support/registry-client.ts'
import { type Server, startServer } from '../support/server.ts'
import { clientTls, stopServer, tlsTable, usePki } from '../support/tls-server.ts'

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
  let idp: IdentityProvider
  before(async () => {
    idp = await startIdentityProvider(scene.pki)
  })
  after(async () => {
    await Promise.all(running.map(stopServer))
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

  const rows: Readonly<
    Record<string, readonly [behavior: string, (() => Promise<void>) | undefined]>
  > = {
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
    // No webhooks are asked for authorization yet.
    'Webhook timeout': ['Access denied', undefined],
    'Webhook error': ['Access denied', undefined],
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
    if (check === undefined) test.todo(`${name}: ${behavior}`)
    else test(`${name}: ${behavior}`, check)
  }

  test('the example lets somebody in, and nobody else', async () => {
    const get = getFrom(await serve(listener, user, providerTable(idp), examplePolicy))
    await assertAllowed(get(manifest, basic('ci', password)))
    await assertAllowed(get(manifest, { authorization: `Bearer ${await idp.sign()}` }))
    for (const headers of [{}, basic('', ''), basic('ci', ''), basic('nobody', password)]) {
      await assertStatus(get(manifest, headers), 401)
    }
  })
})

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
