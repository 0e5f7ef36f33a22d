// Goal: a server that asks an OPA serves what the OPA allows, and nothing when it cannot tell. Method: whole
// servers, beside an OPA that is scripted, one that fails, and a real one with the seed's policy.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { startRealOpa } from '../authorize/opa/real-opa.ts'
import {
  type Answer,
  deadUrl,
  type ScriptedOpa,
  says,
  startScriptedOpa,
} from '../authorize/opa/scene.ts'
import { needsGo } from '../support/go-tools.ts'
import { startIdentityProvider } from '../support/identity-provider.ts'
import { createPki, needsOpenssl } from '../support/pki.ts'
import { digestOf, RegistryClient } from '../support/registry-client.ts'
import { projectRoot, type Server, startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

const password = 'tuesday-fjord-lemon'
const hash = hashPassword(password)
const blob = Buffer.from('what an OPA may give away')
const digest = digestOf(blob)
const session = '123e4567-e89b-42d3-a456-426614174000'

interface Input {
  readonly method: string
  readonly path: readonly string[]
  readonly action: string
  readonly repository?: string
  readonly user?: { readonly name: string; readonly role?: string }
}

function inputsOf(opa: ScriptedOpa): readonly Input[] {
  return opa.asked.map(({ body }) => (body as { readonly input: Input }).input)
}

function as(username: string): Readonly<Record<string, string>> {
  return { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` }
}

const identity = (name: string, ...groups: readonly string[]): string => `
[auth.identity.${name}]
username = "${name}"
password = ${JSON.stringify(hash)}
groups = ${JSON.stringify(groups)}
`

function tableOf(url: string, more = 'path = "keelson/allow"\n'): string {
  // A busy machine must not look like an OPA that hangs.
  const patience = more.includes('timeout') ? '' : 'timeout = "1m"\n'
  return `[auth.opa.central]\nurl = ${JSON.stringify(url)}\n${patience}${more}`
}

const open = '[global.access_policy]\ndefault = "allow"\n'
const chosen = `[global]\nauthorization_opa = "central"\n${open}`

async function serve(t: TestContext, toml: string): Promise<Server> {
  const stores = '[server]\nport = 0\n[blob_store.memory]\n[metadata_store.memory]\n'
  const server = await startServer({ base: `${stores}${toml}` })
  t.after(async () => {
    const exit = await server.stop()
    assert.equal(exit.code, 0)
  })
  return server
}

async function statusOf(
  server: Server,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<number> {
  const body = ['POST', 'PUT', 'PATCH'].includes(method) ? { body: blob } : {}
  const reply = await fetch(`${server.url}${path}`, { method, headers, ...body })
  await reply.arrayBuffer()
  return reply.status
}

const everything: readonly (readonly [string, string])[] = [
  ['GET', '/v2/'],
  ['GET', '/v2/_catalog'],
  ['GET', '/v2/a/tags/list'],
  ['GET', '/v2/a/manifests/v1'],
  ['HEAD', '/v2/a/manifests/v1'],
  ['PUT', '/v2/a/manifests/v1'],
  ['DELETE', '/v2/a/manifests/v1'],
  ['GET', `/v2/a/blobs/${digest}`],
  ['DELETE', `/v2/a/blobs/${digest}`],
  ['GET', `/v2/a/referrers/${digest}`],
  ['POST', '/v2/a/blobs/uploads/'],
  ['POST', `/v2/a/blobs/uploads/?digest=${digest}`],
  ['POST', `/v2/a/blobs/uploads/?mount=${digest}&from=b`],
  ['GET', `/v2/a/blobs/uploads/${session}`],
  ['PATCH', `/v2/a/blobs/uploads/${session}`],
  ['PUT', `/v2/a/blobs/uploads/${session}?digest=${digest}`],
  ['DELETE', `/v2/a/blobs/uploads/${session}`],
]

describe('a server with an OPA', () => {
  test('asks it about what the policies allow, and about nothing else', async (t) => {
    const opa = await startScriptedOpa(t, says('{"result":true}'))
    const server = await serve(
      t,
      `[global]\nauthorization_opa = "central"\n[global.access_policy]
rules = ["identity.username == 'alice' && request.action != 'list-catalog'"]
${identity('alice', 'dev')}${tableOf(opa.url)}`,
    )
    assert.equal(await statusOf(server, 'GET', '/v2/a/manifests/v1'), 401)
    assert.equal(await statusOf(server, 'GET', '/v2/_catalog', as('alice')), 403)
    assert.deepEqual(opa.asked, [])
    assert.equal(await statusOf(server, 'GET', '/v2/%61/manifests/v1', as('alice')), 404)
    const [input, ...others] = inputsOf(opa)
    assert.deepEqual(others, [])
    assert.deepEqual(input, {
      ...{ method: 'GET', path: ['v2', 'a', 'manifests', 'v1'], action: 'get-manifest' },
      ...{ repository: 'a', reference: 'v1', client_ip: '127.0.0.1', groups: ['dev'] },
      user: { name: 'alice', id: 'alice', role: 'dev' },
    })
  })

  test('tells who is refused no reason, and the log all of it under the same id', async (t) => {
    const opa = await startScriptedOpa(
      t,
      says('{"result":{"allow":false,"reason":"frozen until Monday"},"decision_id":"opa-7"}'),
    )
    const toml = `${chosen}${identity('alice')}${tableOf(opa.url)}`
    const server = await serve(t, toml)
    assert.equal(await statusOf(server, 'GET', '/v2/'), 401)
    const reply = await fetch(`${server.url}/v2/a/manifests/v1`, { headers: as('alice') })
    assert.equal(reply.status, 403)
    const text = await reply.text()
    assert.doesNotMatch(text, /frozen|opa/)
    const { errors } = JSON.parse(text) as { errors: [{ detail: { decisionId: string } }] }
    const { decisionId } = errors[0].detail
    await until('the denial in the log', () => server.log.some((line) => line.includes(decisionId)))
    const line = server.log.find((each) => each.includes(decisionId)) ?? ''
    assert.match(line, /auth\.opa\.central/)
    assert.match(line, /frozen until Monday/)
    assert.match(line, /opa-7/)
  })

  const failing: Readonly<Record<string, Answer | 'dead'>> = {
    'is not there': 'dead',
    'is never done': () => {},
    'answers 500': (response) => void response.writeHead(500).end('{"result":true}'),
    'answers "true"': says('{"result":"true"}'),
    'sends elsewhere': (response, { url }) =>
      void response.writeHead(307, { location: url ?? '' }).end('{"result":true}'),
  }
  for (const [what, answer] of Object.entries(failing)) {
    test(`serves nothing where it ${what}`, async (t) => {
      const url = answer === 'dead' ? await deadUrl() : (await startScriptedOpa(t, answer)).url
      const more = 'path = "keelson/allow"\ntimeout = "50ms"\nbreaker_failures = 1000\n'
      const server = await serve(t, `${chosen}${identity('alice')}${tableOf(url, more)}`)
      for (const [method, path] of everything) {
        assert.equal(await statusOf(server, method, path), 401, `${method} ${path}`)
        assert.equal(await statusOf(server, method, path, as('alice')), 403, `${method} ${path}`)
      }
    })
  }

  test('asks the one of a repository about this repository, beside that of all', async (t) => {
    const everywhere = await startScriptedOpa(t, says('{"result":true}'))
    const inside = await startScriptedOpa(t, says('{"result":false}'))
    const server = await serve(
      t,
      `${chosen}[repository."prod"]\nauthorization_opa = "inside"\n${tableOf(everywhere.url)}
[auth.opa.inside]\nurl = ${JSON.stringify(inside.url)}\npath = "keelson/prod"\n`,
    )
    assert.equal(await statusOf(server, 'GET', '/v2/production/manifests/v1'), 404)
    assert.deepEqual([everywhere.asked.length, inside.asked.length], [1, 0])
    assert.equal(await statusOf(server, 'GET', '/v2/prod/app/manifests/v1'), 401)
    assert.deepEqual([everywhere.asked.length, inside.asked.length], [2, 1])
    assert.equal(inside.asked[0]?.path, '/v1/data/keelson/prod')
  })

  test('asks whether the source of a mount may be read, as what it is', async (t) => {
    const opa = await startScriptedOpa(t, (response, request) => {
      const { path } = inputsOf(opa).at(-1) ?? { path: [] }
      const isSecretRead = path[1] === 'secret' && path[2] === 'blobs' && path[3] !== 'uploads'
      says(JSON.stringify({ result: !isSecretRead }))(response, request)
    })
    const server = await serve(t, `${chosen}${tableOf(opa.url)}`)
    const client = new RegistryClient(server.url)
    t.after(() => client.close())
    await client.pushBlob('secret', blob)
    await client.pushBlob('shared', blob)
    const mount = (from: string): Promise<number> =>
      statusOf(server, 'POST', `/v2/mine/blobs/uploads/?mount=${digest}&from=${from}`)
    assert.equal(await mount('secret'), 202)
    const [asMount, asRead] = inputsOf(opa).slice(-2)
    assert.deepEqual([asMount?.action, asMount?.repository], ['mount-blob', 'mine'])
    assert.deepEqual([asRead?.action, asRead?.repository], ['get-blob', 'secret'])
    assert.deepEqual([asRead?.method, asRead?.path], ['GET', ['v2', 'secret', 'blobs', digest]])
    assert.equal(await mount('shared'), 201)
  })

  test('remembers answers only where it is told to, and for each question by itself', async (t) => {
    for (const [more, expected] of [
      ['', 3],
      ['cache_ttl = "10m"\n', 1],
    ] as const) {
      const opa = await startScriptedOpa(t, says('{"result":true}'))
      const toml = tableOf(opa.url, `path = "keelson/allow"\n${more}`)
      const server = await serve(t, `${chosen}${identity('alice')}${toml}`)
      for (let i = 0; i < 3; i++) {
        assert.equal(await statusOf(server, 'GET', '/v2/a/manifests/v1'), 404)
      }
      assert.equal(opa.asked.length, expected)
      await statusOf(server, 'HEAD', '/v2/a/manifests/v1')
      await statusOf(server, 'GET', '/v2/a/manifests/v2')
      await statusOf(server, 'GET', '/v2/a/manifests/v1', as('alice'))
      assert.equal(opa.asked.length, expected + 3)
    }
  })
})

const needsBoth = needsGo().skip === false ? needsOpenssl : needsGo()

test(
  'a real OPA guards the catalogue by roles, with the policy of the seed',
  needsBoth,
  async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'keelson-opa-'))
    t.after(() => rm(folder, { recursive: true, force: true }))
    const seed = await readFile(join(projectRoot, 'test/authorize/opa/seed.rego'), 'utf8')
    const opa = await startRealOpa(t, { policies: [seed], isOldSyntax: true })
    if (opa === undefined) return
    const idp = await startIdentityProvider(await createPki(folder))
    t.after(() => idp.close())
    const server = await serve(
      t,
      `${chosen}${identity('root', 'admin')}${identity('dev', 'dev')}
[auth.oidc.idp]
issuer = ${JSON.stringify(idp.issuer)}
server_ca_bundle = ${JSON.stringify(idp.caFile)}
required_audience = [${JSON.stringify(idp.audience)}]
allowed_algorithms = ["RS256", "ES256"]
${tableOf(opa.url, 'path = "registry/authz"\n')}`,
    )
    const bearerOf = async (role: string): Promise<Readonly<Record<string, string>>> => {
      return { authorization: `Bearer ${await idp.sign({ claims: { role } })}` }
    }
    const catalogue = (headers: Readonly<Record<string, string>>): Promise<number> =>
      statusOf(server, 'GET', '/v2/_catalog', headers)
    assert.equal(await catalogue(await bearerOf('admin')), 200)
    assert.equal(await catalogue(as('root')), 200)
    assert.equal(await catalogue(await bearerOf('user')), 403)
    assert.equal(await catalogue(as('dev')), 403)
    assert.equal(await catalogue({}), 401)
    const admin = await bearerOf('admin')
    for (const [method, path] of everything) {
      if (path === '/v2/_catalog') continue
      assert.equal(await statusOf(server, method, path, admin), 403, `${method} ${path}`)
    }
  },
)
