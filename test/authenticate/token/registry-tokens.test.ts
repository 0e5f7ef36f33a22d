// Goal: a token or an API key counts for who it was issued to, for as long as it should. Method: real
// signatures over a state that is written by hand.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ActiveApiKey } from '../../../src/authenticate/token/contract.ts'
import { publicKeyOf } from '../../../src/authenticate/token/jwt.ts'
import { makeSecret, readSecret } from '../../../src/authenticate/token/secret-text.ts'
import {
  certificate,
  emptySnapshot,
  HandState,
  newScene,
  nowMs,
  privateKey,
  problemOf,
  refusedFor,
  scope,
  token,
  tokenId,
  user,
} from './scene.ts'

describe('a good token', () => {
  test('stands for its user, with the groups of today and the scopes of its own', async () => {
    const pull = scope('repository:team/app:pull')
    const changed = { ...user, groups: ['today'] }
    const { tokens } = newScene({ users: [changed] })
    const text = token({ scopes: [pull] })
    assert.equal(tokens.recognises(text), true)
    const verified = await tokens.verify(text)
    assert.equal(tokens.problem(verified, undefined), undefined)
    const { id, username, groups, authMethod, scopes, certificate: shown } = verified.identity
    assert.deepEqual(
      { id, username, groups, authMethod, scopes, shown },
      {
        ...{ id: 'build', username: 'ci', groups: ['today'], authMethod: 'token' },
        ...{ scopes: [pull], shown: null },
      },
    )
    assert.equal(verified.identity.tokenId, tokenId)
    assert.equal(verified.expiresAtMs, nowMs + 300_000)
    assert.ok(Object.isFrozen(verified.identity))
  })

  test('of nobody is as anonymous as no token', async () => {
    const { tokens } = newScene()
    const { identity } = await tokens.verify(token({ bearer: { kind: 'anonymous' } }))
    assert.equal(identity.authMethod, 'anonymous')
    assert.equal(identity.username, null)
    assert.deepEqual(identity.scopes, [])
  })

  test('of a provider carries its claims', async () => {
    const { tokens } = newScene()
    const claims = { sub: 'alice', roles: ['a'] }
    const oidc = { kind: 'oidc', provider: 'gitlab', username: 'gitlab:alice' } as const
    const verified = await tokens.verify(token({ bearer: { ...oidc, groups: ['g'], claims } }))
    assert.deepEqual(verified.identity.oidc, { providerName: 'gitlab', claims })
    assert.equal(verified.identity.username, 'gitlab:alice')
    assert.deepEqual(verified.identity.groups, ['g'])
  })

  test('of a directory carries its groups, while the directory is there and the name is its own', async () => {
    const ldap = { kind: 'ldap', id: 'ldap:corp', username: 'alice', groups: ['g'] } as const
    const there = { providers: ['ldap:corp'] }
    const { identity } = await newScene(there).tokens.verify(token({ bearer: ldap }))
    const { id, username, groups, oidc } = identity
    assert.deepEqual(
      { id, username, groups, oidc },
      { id: ldap.id, username: ldap.username, groups: ldap.groups, oidc: null },
    )
    assert.equal(await refusedFor(token({ bearer: ldap })), 'unknown-provider')
    const local = { ...ldap, username: user.username }
    assert.equal(await refusedFor(token({ bearer: local }), there), 'unknown-user')
  })

  test('is still good when another key signs by now', async () => {
    const other = publicKeyOf(privateKey(2))
    const keys = new Map([...emptySnapshot.keys, [other.kid, other] as const])
    assert.equal(await refusedFor(token(), { state: new HandState({ keys }) }), undefined)
    assert.equal(
      await refusedFor(token({}, privateKey(2)), { state: new HandState({ keys }) }),
      undefined,
    )
  })

  test('that another process signed with a new key is taken after a look', async () => {
    const other = publicKeyOf(privateKey(2))
    const state = new HandState()
    state.next = { ...emptySnapshot, keys: new Map([[other.kid, other]]) }
    assert.equal(await refusedFor(token({}, privateKey(2)), { state }), undefined)
    assert.equal(state.refreshes, 1)
  })
})

describe('a token that was good', () => {
  test('ends in its time', async () => {
    const scene = newScene()
    const verified = await scene.tokens.verify(token())
    scene.now = nowMs + 299_999
    assert.equal(scene.tokens.problem(verified, undefined), undefined)
    scene.now = nowMs + 300_000
    assert.equal(scene.tokens.problem(verified, undefined), 'expired')
  })

  test('is refused from the moment that it is revoked, and no other is', async () => {
    const { tokens, state } = newScene()
    const verified = await tokens.verify(token())
    const other = await tokens.verify(token({ tokenId: tokenId.replace('0f', '1f') }))
    state.current = { ...state.current, revokedTokens: new Set([tokenId]) }
    assert.equal(tokens.problem(verified, undefined), 'revoked')
    assert.equal(tokens.problem(other, undefined), undefined)
    assert.equal(await problemOf(newScene({ state }), token()), 'revoked')
  })

  test('is refused when its user is revoked, unless it was issued after that', async () => {
    const { tokens, state } = newScene()
    const before = await tokens.verify(token())
    // In the same second, which only the revision tells apart.
    const revokedUsers = new Map([['ci', { revision: 8, atMs: nowMs + 500 }]])
    state.current = { ...state.current, revision: 8, revokedUsers }
    assert.equal(tokens.problem(before, undefined), 'revoked')
    const after = await tokens.verify(token({ revision: 8 }))
    assert.equal(tokens.problem(after, undefined), undefined)
  })

  test('is refused by the time as well, should the store be one of an older day', async () => {
    const { tokens, state } = newScene()
    const verified = await tokens.verify(token({ revision: 99 }))
    const revokedUsers = new Map([['ci', { revision: 8, atMs: nowMs + 5000 }]])
    state.current = { ...state.current, revision: 8, revokedUsers }
    assert.equal(tokens.problem(verified, undefined), 'revoked')
  })

  test('of somebody else lives on', async () => {
    const { tokens, state } = newScene()
    const verified = await tokens.verify(token({ bearer: { kind: 'anonymous' } }))
    const revokedUsers = new Map([['', { revision: 8, atMs: nowMs + 5000 }]])
    state.current = { ...state.current, revision: 8, revokedUsers }
    assert.equal(tokens.problem(verified, undefined), undefined)
  })

  test('is bound to the certificate that it was obtained with', async () => {
    const { tokens } = newScene()
    const certificateSha256 = certificate.fingerprintSha256
    const verified = await tokens.verify(token({ certificateSha256 }))
    assert.equal(tokens.problem(verified, certificate), undefined)
    assert.equal(tokens.problem(verified, undefined), 'wrong-certificate')
    const other = { ...certificate, fingerprintSha256: 'cd'.repeat(32) }
    assert.equal(tokens.problem(verified, other), 'wrong-certificate')
  })
})

describe('an API key', () => {
  const text = makeSecret('api-key', new Uint8Array(32).fill(5))
  const sha256 = readSecret(text)?.sha256 ?? ''
  const robot: ActiveApiKey = {
    id: sha256.slice(0, 16),
    name: 'deploy',
    username: null,
    scopes: [scope('repository:team/*:pull')],
    expiresAtMs: nowMs + 1000,
  }
  const holding = (key: ActiveApiKey): HandState =>
    new HandState({ apiKeys: new Map([[sha256, key]]), apiKeysById: new Map([[key.id, key]]) })

  test('stands for itself, by a name that no user can have', async () => {
    const scene = newScene({ state: holding(robot), service: undefined })
    assert.equal(scene.tokens.isUsed, true)
    assert.equal(scene.tokens.recognises(text), true)
    const verified = await scene.tokens.verify(text, 'anything')
    assert.equal(scene.tokens.problem(verified, undefined), undefined)
    const { id, username, groups, authMethod, scopes } = verified.identity
    assert.deepEqual(
      { id, username, groups, authMethod, scopes },
      {
        ...{ id: robot.id, username: 'key:deploy', groups: [] },
        ...{ authMethod: 'api-key', scopes: robot.scopes },
      },
    )
  })

  test('of a user has the name and the groups of the user, and no other name beside it', async () => {
    const scene = newScene({ state: holding({ ...robot, username: 'ci' }) })
    const verified = await scene.tokens.verify(text, 'ci')
    assert.equal(verified.identity.username, 'ci')
    assert.deepEqual(verified.identity.groups, ['builders'])
    assert.deepEqual(verified.identity.scopes, robot.scopes)
    assert.equal(await problemOf(scene, text), undefined)
    assert.equal(await problemOf(scene, text, 'root'), 'wrong-user')
  })

  test('is refused when its user is gone', async () => {
    const state = holding({ ...robot, username: 'eve' })
    assert.equal(await problemOf(newScene({ state }), text, 'eve'), 'unknown-user')
  })

  test('is refused when it ends, and when it is revoked', async () => {
    const scene = newScene({ state: holding(robot) })
    const verified = await scene.tokens.verify(text)
    scene.now = nowMs + 1000
    assert.equal(scene.tokens.problem(verified, undefined), 'expired')
    scene.now = nowMs
    scene.state.current = emptySnapshot
    assert.equal(scene.tokens.problem(verified, undefined), 'revoked')
    assert.equal(await problemOf(scene, text), 'unknown-api-key')
  })

  test('takes the tokens with it that were issued for it', async () => {
    const scene = newScene({ state: holding(robot) })
    const bearer = { kind: 'api-key', id: robot.id, username: 'key:deploy' } as const
    const verified = await scene.tokens.verify(token({ bearer }))
    assert.equal(verified.identity.username, 'key:deploy')
    assert.equal(scene.tokens.problem(verified, undefined), undefined)
    // The token itself would be good for longer.
    scene.now = robot.expiresAtMs
    assert.equal(scene.tokens.problem(verified, undefined), 'expired')
    scene.now = nowMs
    scene.state.current = emptySnapshot
    assert.equal(scene.tokens.problem(verified, undefined), 'revoked')
  })

  test('that another process made just now is found after a look', async () => {
    const state = new HandState()
    state.next = holding(robot).current
    assert.equal(await problemOf(newScene({ state }), text), undefined)
  })

  test('that is mistyped, unknown or a refresh token is refused', async () => {
    const scene = newScene({ state: holding(robot) })
    const other = makeSecret('api-key', new Uint8Array(32).fill(6))
    const refresh = makeSecret('refresh-token', new Uint8Array(32).fill(5))
    assert.equal(await problemOf(scene, `${text}x`), 'malformed')
    assert.equal(await problemOf(scene, 'keelson_'), 'malformed')
    assert.equal(await problemOf(scene, other), 'unknown-api-key')
    assert.equal(await problemOf(scene, refresh), 'malformed')
  })
})
