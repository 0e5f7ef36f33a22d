// Goal: a policy sees of a request what it is, in one shape, and nothing that is not there. Method: the
// input of every action and of every kind of identity, compared as a whole.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { anonymous, type Identity } from '../../../src/authenticate/identity.ts'
import { opaInput } from '../../../src/authorize/opa/input.ts'
import { limits } from '../../../src/authorize/policy/limits.ts'
import type { PolicyAction } from '../../../src/authorize/policy/variables.ts'
import { parseRepositoryName } from '../../../src/oci/name.ts'
import { act, bearer, certified, clientIp, digest, from, requested, user } from '../scene.ts'
import { openGuard, question, says, startScriptedOpa } from './scene.ts'

const session = '123e4567-e89b-42d3-a456-426614174000'
const repository = 'team/app'
const base = ['v2', 'team', 'app']

function inputOf(asked: Parameters<typeof opaInput>[0]): Readonly<Record<string, unknown>> {
  const input = opaInput(asked)
  assert.ok(input.ok)
  const { input: value, ...others } = JSON.parse(input.json) as Record<string, unknown>
  assert.deepEqual(others, {})
  return value as Record<string, unknown>
}

const actions: Readonly<Record<PolicyAction, Readonly<Record<string, unknown>>>> = {
  'get-api-version': { method: 'GET', path: ['v2'] },
  metrics: { method: 'GET', path: ['metrics'] },
  healthz: { method: 'GET', path: ['healthz'] },
  readyz: { method: 'GET', path: ['readyz'] },
  'list-catalog': { method: 'GET', path: ['v2', '_catalog'] },
  'list-tags': { method: 'GET', path: [...base, 'tags', 'list'], repository },
  'get-referrers': { method: 'GET', path: [...base, 'referrers', digest], repository, digest },
  'get-manifest': {
    ...{ method: 'GET', path: [...base, 'manifests', 'v1'] },
    ...{ repository, reference: 'v1' },
  },
  'put-manifest': {
    ...{ method: 'PUT', path: [...base, 'manifests', 'v1'] },
    ...{ repository, reference: 'v1', tags: ['v1'] },
  },
  'delete-manifest': {
    ...{ method: 'DELETE', path: [...base, 'manifests', 'v1'] },
    ...{ repository, reference: 'v1' },
  },
  'get-blob': { method: 'GET', path: [...base, 'blobs', digest], repository, digest },
  'delete-blob': { method: 'DELETE', path: [...base, 'blobs', digest], repository, digest },
  'start-upload': { method: 'POST', path: [...base, 'blobs', 'uploads'], repository },
  'mount-blob': {
    ...{ method: 'POST', path: [...base, 'blobs', 'uploads'] },
    ...{ repository, digest, from: 'base' },
  },
  'get-upload': { method: 'GET', path: [...base, 'blobs', 'uploads', session], repository },
  'update-upload': { method: 'PATCH', path: [...base, 'blobs', 'uploads', session], repository },
  'complete-upload': {
    ...{ method: 'PUT', path: [...base, 'blobs', 'uploads', session] },
    ...{ repository, digest },
  },
  'cancel-upload': { method: 'DELETE', path: [...base, 'blobs', 'uploads', session], repository },
}

describe('the input of', () => {
  for (const [kind, expected] of Object.entries(actions)) {
    test(kind, () => {
      const input = inputOf(question(kind as PolicyAction, anonymous))
      assert.deepEqual(input, { ...expected, action: kind, client_ip: '192.0.2.7', groups: [] })
    })
  }

  test('HEAD has that method, and the action of GET', () => {
    for (const target of ['/v2/', '/v2/_catalog', '/v2/a/tags/list', '/v2/a/manifests/v1']) {
      const action = requested('HEAD', target)
      const asked = { ...from(clientIp), method: 'HEAD', path: target }
      const input = inputOf({ identity: anonymous, action, asked })
      assert.equal(input['method'], 'HEAD', target)
      assert.equal(input['action'], requested('GET', target).kind)
    }
  })

  test('a push by digest has the tags that it sets', () => {
    const action = requested('PUT', `/v2/a/manifests/${digest}?tag=latest&tag=v2`)
    const input = inputOf({ identity: anonymous, action, asked: from(clientIp) })
    assert.equal(input['reference'], digest)
    assert.deepEqual(input['tags'], ['latest', 'v2'])
  })

  test('an escaped path is that of the plain one', () => {
    const action = requested('GET', '/v2/%61/manifests/v%31')
    const asked = { ...from(clientIp), path: '/v2/%61/manifests/v%31' }
    const input = inputOf({ identity: anonymous, action, asked })
    assert.deepEqual(input['path'], ['v2', 'a', 'manifests', 'v1'])
  })

  test('a read that a mount implies is that read, and not the mount again', () => {
    const source = parseRepositoryName('secret/base')
    assert.ok(source)
    const mount = act('mount-blob')
    assert.ok(mount.kind === 'mount-blob')
    const action = {
      kind: 'get-blob',
      repository: source,
      digest: mount.digest,
      head: false,
    } as const
    const asked = { ...from(clientIp), method: 'POST', path: '/v2/team/app/blobs/uploads/' }
    const { method, path } = inputOf({ identity: anonymous, action, asked })
    assert.deepEqual([method, path], ['GET', ['v2', 'secret', 'base', 'blobs', digest]])
  })
})

describe('the identity of', () => {
  const identityOf = (identity: Identity): Readonly<Record<string, unknown>> => {
    const {
      groups,
      user: who,
      claims,
      certificate,
    } = inputOf(question('get-api-version', identity))
    return { groups, user: who, claims, certificate }
  }
  const nothing = { user: undefined, claims: undefined, certificate: undefined }

  for (const [who, identity, expected] of [
    ['nobody', anonymous, { ...nothing, groups: [] }],
    ['a user without a name', { ...user('x', 'a'), username: '' }, { ...nothing, groups: ['a'] }],
    [
      'a user of one group',
      user('alice', 'dev'),
      { ...nothing, groups: ['dev'], user: { name: 'alice', id: 'id-alice', role: 'dev' } },
    ],
    [
      'a user of two groups, neither of which is the role',
      user('alice', 'dev', 'ops'),
      { ...nothing, groups: ['dev', 'ops'], user: { name: 'alice', id: 'id-alice' } },
    ],
    [
      'a bearer of a role',
      { ...bearer({ role: 'admin', n: [1, { a: null }] }), groups: ['dev'] },
      {
        ...{ certificate: undefined, groups: ['dev'] },
        claims: { role: 'admin', n: [1, { a: null }] },
        user: { name: 'token', id: 'id-token', role: 'admin', provider: 'ci' },
      },
    ],
    [
      'a bearer of roles that are no text',
      bearer({ role: ['admin'] }),
      {
        ...{ certificate: undefined, groups: [], claims: { role: ['admin'] } },
        user: { name: 'token', id: 'id-token', provider: 'ci' },
      },
    ],
    [
      'a certificate',
      certified({ commonNames: ['a', 'b'], organizations: ['O'] }),
      {
        ...{ ...nothing, groups: [] },
        certificate: {
          common_names: ['a', 'b'],
          organizations: ['O'],
          sans: { dns: [], uri: [], email: [] },
          serial: '1F',
          fingerprint_sha256: 'f'.repeat(64),
          not_after: '2030-01-01T00:00:00.000Z',
        },
      },
    ],
  ] as const) {
    test(who, () => assert.deepEqual(identityOf(identity), expected))
  }

  test('a user with a name that would be markup is that name', () => {
    const odd = 'a","role":"admin\u2028\ud800'
    const { user: who } = identityOf(user(odd))
    assert.deepEqual(who, { name: odd, id: `id-${odd}` })
  })
})

describe('too much', () => {
  let deep: unknown = 'end'
  for (let i = 0; i < limits.claimsDepthMax + 1; i++) deep = [deep]
  const names = Array.from({ length: 10_000 }, (_, index) => `group-${index}`)

  for (const [what, identity, reason] of [
    ['claims that are long', bearer({ a: 'x'.repeat(limits.claimsBytesMax) }), /claims are longer/],
    ['claims that are deep', bearer({ a: deep }), /deeper than 32/],
    ['groups', user('alice', ...names), /longer than 65536 characters/],
    [
      'a certificate whose end is no time',
      certified({ notAfterMs: Number.NaN }),
      /no input can be made/,
    ],
  ] as const) {
    test(`${what}: denied at once, and nobody is asked`, async (t) => {
      const opa = await startScriptedOpa(t, says('{"result":true}'))
      const { guard, tally } = await openGuard(t, { url: opa.url })
      const verdict = guard.ask(question('get-blob', identity))
      assert.ok(!(verdict instanceof Promise))
      assert.equal(verdict.result, 'unavailable')
      assert.match(verdict.reason ?? '', reason)
      assert.deepEqual([opa.asked.length, tally.unavailable], [0, 1])
    })
  }
})

test('the question is a POST of JSON below the base path, with the token', async (t) => {
  const opa = await startScriptedOpa(t, says('{"result":true}'))
  const { guard } = await openGuard(t, { url: `${opa.url}/base/`, path: 'a/b-c/allow' })
  await guard.ask(question())
  const [asked] = opa.asked
  assert.equal(asked?.method, 'POST')
  assert.equal(asked.path, '/base/v1/data/a/b-c/allow')
  assert.deepEqual(asked.body, { input: inputOf(question()) })
  assert.equal(opa.headers[0]?.['content-type'], 'application/json')
})

test('a configuration that cannot be meant is refused', async (t) => {
  for (const [options, message] of [
    [
      { url: 'http://127.0.0.1:1/?pretty' },
      /^auth\.opa\.central\.url: expected a URL without a query/,
    ],
    [{ url: 'ftp://127.0.0.1:1' }, /^auth\.opa\.central\.url: /],
    [{ url: 'http://u:p@127.0.0.1:1' }, /^auth\.opa\.central\.url: expected a URL without a user/],
    [{ url: 'http://127.0.0.1:1', path: '../policies' }, /^auth\.opa\.central\.path: /],
    [{ url: 'http://127.0.0.1:1', path: '/keelson' }, /^auth\.opa\.central\.path: /],
    [{ url: 'http://127.0.0.1:1', path: 'a/b?x' }, /^auth\.opa\.central\.path: /],
    [{ url: 'http://127.0.0.1:1', serverCaBundle: '/nowhere' }, /server_ca_bundle: \/nowhere/],
  ] as const) {
    await assert.rejects(openGuard(t, options), { message })
  }
})
