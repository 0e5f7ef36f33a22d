// Goal: a token is for what its scopes say, and for nothing else. Method: every action against every
// scope, and the scopes that challenges name against what they allow.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { anonymous } from '../../../src/authenticate/identity.ts'
import { scopeAllows, scopeFor, scopeRefusal } from '../../../src/authenticate/token/scope.ts'
import { parseScope, parseScopes, type Scope } from '../../../src/oci/scope.ts'
import type { Action } from '../../../src/route/action.ts'
import { route } from '../../../src/route/route.ts'

const digest = `sha256:${'a'.repeat(64)}`
const upload = '0f8fad5b-d9cb-469f-a165-70867728950e'

function action(line: string): Action {
  const [method = '', target = ''] = line.split(' ')
  const [path = '', query = ''] = target.split('?')
  return route({ method, path, query })
}

const byNeed = {
  nothing: [
    ...['GET /v2/', 'GET /token', 'GET /token/jwks', 'POST /token', 'GET /healthz', 'GET /readyz'],
  ],
  catalog: ['GET /v2/_catalog'],
  metrics: ['GET /metrics', 'HEAD /metrics'],
  pull: [
    'GET /v2/team/app/tags/list',
    `GET /v2/team/app/referrers/${digest}`,
    'GET /v2/team/app/manifests/v1',
    'HEAD /v2/team/app/manifests/v1',
    `GET /v2/team/app/blobs/${digest}`,
  ],
  push: [
    'PUT /v2/team/app/manifests/v1',
    'POST /v2/team/app/blobs/uploads/',
    `POST /v2/team/app/blobs/uploads/?mount=${digest}&from=base/os`,
    `GET /v2/team/app/blobs/uploads/${upload}`,
    `PATCH /v2/team/app/blobs/uploads/${upload}`,
    `PUT /v2/team/app/blobs/uploads/${upload}?digest=${digest}`,
    `DELETE /v2/team/app/blobs/uploads/${upload}`,
  ],
  delete: ['DELETE /v2/team/app/manifests/v1', `DELETE /v2/team/app/blobs/${digest}`],
} as const

const lines = Object.entries(byNeed).flatMap(([need, each]) =>
  each.map((line) => [need, line] as const),
)

function scopes(...texts: readonly string[]): readonly Scope[] {
  return texts.map((text) => {
    const scope = parseScope(text, 'patterns')
    assert.ok(scope, text)
    return scope
  })
}

describe('scopes allow', () => {
  test('what they name, and nothing else', () => {
    for (const [need, line] of lines) {
      for (const granted of ['pull', 'push', 'delete', 'catalog', 'metrics'] as const) {
        const isOfRegistry = granted === 'catalog' || granted === 'metrics'
        const own = isOfRegistry ? `registry:${granted}:*` : `repository:team/app:${granted}`
        const isAllowed = need === 'nothing' || need === granted
        assert.equal(scopeAllows(scopes(own), action(line)), isAllowed, `${own} ${line}`)
      }
      assert.equal(scopeAllows([], action(line)), need === 'nothing', line)
      assert.equal(scopeAllows(null, action(line)), true, line)
    }
  })

  test('no other repository, however much alike its name', () => {
    const pull = action('GET /v2/team/app/manifests/v1')
    for (const name of ['team', 'team/app2', 'team/ap', 'team/app/x', 'x/team/app', 'teamwork/*']) {
      assert.equal(scopeAllows(scopes(`repository:${name}:pull,push,delete`), pull), false, name)
    }
    for (const name of ['team/app', 'team/*', '*']) {
      assert.equal(scopeAllows(scopes(`repository:${name}:pull`), pull), true, name)
    }
    assert.equal(
      scopeAllows(scopes('repository:*:pull,push,delete'), action('GET /v2/_catalog')),
      false,
    )
  })
})

describe('the scope that a client is told to ask for', () => {
  test('allows what it was refused', () => {
    for (const [need, line] of lines) {
      const asked = scopeFor(action(line))
      assert.equal(asked === undefined, need === 'nothing', line)
      if (asked === undefined) continue
      const granted = parseScopes([asked], 'names')
      assert.equal(scopeAllows(granted ?? [], action(line)), true, line)
    }
  })

  test('is that of Docker’s own clients', () => {
    assert.equal(scopeFor(action('GET /v2/a/b/manifests/v1')), 'repository:a/b:pull')
    assert.equal(scopeFor(action('POST /v2/a/b/blobs/uploads/')), 'repository:a/b:pull,push')
    assert.equal(scopeFor(action('DELETE /v2/a/b/manifests/v1')), 'repository:a/b:delete')
    assert.equal(scopeFor(action('GET /v2/_catalog')), 'registry:catalog:*')
  })

  test('names the source of a mount too', () => {
    const mount = `POST /v2/a/blobs/uploads/?mount=${digest}`
    assert.equal(
      scopeFor(action(`${mount}&from=base/os`)),
      'repository:a:pull,push repository:base/os:pull',
    )
    assert.equal(scopeFor(action(`${mount}&from=a`)), 'repository:a:pull,push')
    assert.equal(scopeFor(action(mount)), 'repository:a:pull,push')
  })
})

test('a token is told to be fetched anew, and an API key that it has no more', () => {
  const pull = action('GET /v2/a/manifests/v1')
  assert.equal(scopeRefusal({ ...anonymous, authMethod: 'token', scopes: [] }, pull).status, 401)
  assert.equal(scopeRefusal({ ...anonymous, scopes: [] }, pull).status, 401)
  assert.equal(scopeRefusal({ ...anonymous, authMethod: 'api-key', scopes: [] }, pull).status, 403)
})
