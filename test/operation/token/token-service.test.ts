// Goal: who asks for a token gets one for what the policies allow of what was asked, and nobody gets more.
// Method: the service over a store in memory; what it issues is verified as requests would be.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { anonymous, type Identity } from '../../../src/authenticate/identity.ts'
import { OciError } from '../../../src/oci/error.ts'
import { parseScope, type Scope } from '../../../src/oci/scope.ts'
import { certificate } from '../../authenticate/token/scene.ts'
import { ci, ciIdentity, claims, day, nowMs, Scene } from './scene.ts'

function isRefused(status: number): (error: unknown) => boolean {
  return (error) => error instanceof OciError && error.status === status
}

function scope(text: string): Scope {
  const parsed = parseScope(text, 'patterns')
  assert.ok(parsed, text)
  return parsed
}

test('the answer is that of the Docker token specification', async () => {
  const scene = await Scene.open()
  const query = 'service=registry.example.com&scope=repository:a/b:pull,push&client_id=docker'
  const answer = await scene.get(query, ciIdentity)
  assert.equal(answer.token, answer.access_token)
  assert.equal(answer.expires_in, 300)
  assert.equal(answer.issued_at, new Date(nowMs).toISOString())
  assert.equal(answer.scope, 'repository:a/b:pull,push')
  assert.equal(answer.refresh_token, undefined)
  const { jti, keelson: _own, ...rest } = claims(answer.token)
  assert.deepEqual(rest, {
    iss: 'registry.example.com',
    sub: 'ci',
    aud: 'registry.example.com',
    exp: nowMs / 1000 + 300,
    nbf: nowMs / 1000,
    iat: nowMs / 1000,
    access: [{ type: 'repository', name: 'a/b', actions: ['pull', 'push'] }],
  })
  const verified = await scene.tokens.verify(answer.token)
  assert.equal(verified.identity.username, 'ci')
  assert.deepEqual(verified.identity.scopes, [scope('repository:a/b:pull,push')])
  assert.deepEqual(scene.events, [
    {
      ...{ result: 'issued', grant: 'query', tokenId: jti },
      ...{ method: 'basic', id: 'build', username: 'ci' },
      ...{ scopes: ['repository:a/b:pull,push'], clientId: 'docker' },
      ...{ refreshId: null, reason: null },
    },
  ])
  assert.ok(!JSON.stringify(scene.events).includes(answer.token))
})

test('what the policies deny is left out, and nothing at all is no error', async () => {
  const scene = await Scene.open()
  scene.mayBeAllowed = (_who, action) =>
    'repository' in action && action.repository === 'open' && action.kind.startsWith('get-')
  const query =
    'scope=repository:open:pull,push,delete&scope=repository:shut:pull%20registry:catalog:*'
  const answer = await scene.get(query)
  assert.equal(answer.scope, 'repository:open:pull')
  const none = await scene.get('scope=repository:shut:pull')
  assert.equal(none.scope, '')
  assert.deepEqual(claims(none.token)['access'], [])
  const { identity } = await scene.tokens.verify(none.token)
  assert.deepEqual(identity.scopes, [])
})

test('clients get no patterns, whatever they ask for', async () => {
  const scene = await Scene.open()
  const answer = await scene.get('scope=repository:*:pull&scope=repository:a/*:pull', ciIdentity)
  assert.equal(answer.scope, '')
})

test('an API key gives what it has, and no more', async () => {
  const scene = await Scene.open()
  const made = await scene.admin.create({
    ...{ name: 'deploy', scopes: ['repository:team/*:pull'], ttlMs: day },
  })
  const { key } = made.body as { key: string }
  const { identity } = await scene.tokens.verify(key)
  const query = 'scope=repository:team/a:pull,push&scope=repository:teamwork/a:pull'
  const answer = await scene.get(query, identity)
  assert.equal(answer.scope, 'repository:team/a:pull')
  const verified = await scene.tokens.verify(answer.token)
  assert.equal(verified.identity.username, 'key:deploy')
  assert.equal((await scene.get('offline_token=true', identity)).refresh_token, undefined)
  await scene.admin.revoke({ id: identity.tokenId })
  assert.equal(scene.tokens.problem(verified, undefined), 'revoked')
})

test('a token is not exchanged for another, since it would never end', async () => {
  const scene = await Scene.open()
  for (const identity of [ciIdentity, anonymous]) {
    const { token } = await scene.get('scope=repository:a:pull', identity)
    const verified = await scene.tokens.verify(token)
    await assert.rejects(scene.get('scope=repository:a:pull', verified.identity), isRefused(401))
  }
})

test('a token obtained with a certificate is bound to it', async () => {
  const scene = await Scene.open()
  for (const base of [ciIdentity, { ...anonymous, authMethod: 'mtls' } as const]) {
    const identity: Identity = { ...base, certificate }
    const { token } = await scene.get('', identity)
    const verified = await scene.tokens.verify(token)
    assert.equal(scene.tokens.problem(verified, undefined), 'wrong-certificate')
    assert.equal(scene.tokens.problem(verified, certificate), undefined)
  }
})

test('the claims of a provider go with the token, if they fit', async () => {
  const scene = await Scene.open()
  const claimed = { sub: 'alice', project: 'a/b' }
  const identity: Identity = {
    ...{ ...anonymous, username: 'gitlab:alice', groups: ['dev'], authMethod: 'oidc' },
    oidc: { providerName: 'gitlab', claims: claimed },
  }
  const { token, refresh_token } = await scene.get('offline_token=true', identity)
  assert.equal(refresh_token, undefined)
  const verified = await scene.tokens.verify(token)
  assert.deepEqual(verified.identity.oidc, { providerName: 'gitlab', claims: claimed })
  const large = { ...claimed, text: 'x'.repeat(20_000) }
  const oidc = { providerName: 'gitlab', claims: large }
  await assert.rejects(scene.get('', { ...identity, oidc }), isRefused(400))
})

test('a token never outlives what it was obtained with, nor lives under a minute', async () => {
  const ending = { ...ci, expiresAtMs: nowMs + 100_000 }
  const scene = await Scene.open({ users: [ending] })
  assert.equal((await scene.get('', ciIdentity)).expires_in, 100)
  scene.now = nowMs + 90_000
  assert.equal((await scene.get('', ciIdentity)).expires_in, 60)
  const short = await Scene.open({ ttlMs: 1000 })
  assert.equal((await short.get('')).expires_in, 60)
})

test('a login by the form gives a token, and a refresh token where one is asked for', async () => {
  const scene = await Scene.open()
  const form = { grant_type: 'password', username: 'ci', password: 'secret', client_id: 'x' }
  const plain = await scene.post({ ...form, scope: 'repository:a:pull repository:b:pull' })
  assert.equal(plain.scope, 'repository:a:pull repository:b:pull')
  assert.equal(plain.refresh_token, undefined)
  const offline = await scene.post({ ...form, access_type: 'offline' })
  assert.match(offline.refresh_token ?? '', /^keelson_refresh_/)
  const byQuery = await scene.get('offline_token=true', ciIdentity)
  assert.match(byQuery.refresh_token ?? '', /^keelson_refresh_/)
  await assert.rejects(scene.post({ ...form, password: 'wrong' }), isRefused(401))
  const stored = JSON.stringify(await scene.store.listRefreshTokens())
  assert.ok(!stored.includes(offline.refresh_token ?? ''))
})

test('a refresh token gives tokens again and again, until it is revoked', async () => {
  const scene = await Scene.open()
  const { refresh_token = '' } = await scene.get('offline_token=true', ciIdentity)
  const form = { grant_type: 'refresh_token', refresh_token, scope: 'repository:a:pull' }
  for (const offline of ['', 'offline']) {
    const answer = await scene.post({ ...form, access_type: offline })
    const { identity } = await scene.tokens.verify(answer.token)
    assert.equal(identity.username, 'ci')
    assert.deepEqual(identity.groups, ['builders'])
    assert.equal(answer.refresh_token, offline === '' ? undefined : refresh_token)
  }
  const { refreshId } = scene.events.at(-1) ?? {}
  assert.equal((await scene.admin.revoke({ id: refreshId })).status, 200)
  await assert.rejects(scene.post(form), isRefused(401))
  assert.equal(scene.events.at(-1)?.result, 'refused')
})

test('a refresh token ends with its time, its user, the password and their revocation', async () => {
  const scene = await Scene.open()
  const { refresh_token = '' } = await scene.get('offline_token=true', ciIdentity)
  const form = { grant_type: 'refresh_token', refresh_token }
  const reasonWith = async (users: Parameters<typeof Scene.open>[0] & object, now = nowMs) => {
    const other = await Scene.open({ store: scene.store, ...users })
    other.now = now
    await assert.rejects(other.post(form), isRefused(401))
    return other.events.at(-1)?.reason
  }
  assert.equal(await reasonWith({ users: [] }), 'unknown-user')
  assert.equal(await reasonWith({ users: [{ ...ci, passwordHash: 'new' }] }), 'unknown-user')
  assert.equal(await reasonWith({ users: [{ ...ci, expiresAtMs: nowMs }] }), 'password-expired')
  assert.equal(await reasonWith({}, nowMs + 30 * day), 'expired')
  await scene.post(form)
  await scene.admin.revoke({ username: 'ci' })
  await assert.rejects(scene.post(form), isRefused(401))
})

test('what is no form, or not one of ours, is refused before anything is looked up', async () => {
  const scene = await Scene.open()
  const json = 'application/json'
  const form = { grant_type: 'password', username: 'ci', password: 'secret' }
  const many = Array.from({ length: 10_000 }, (_, i) => `repository:r${i}:pull`).join(' ')
  for (const [body, type] of [
    [JSON.stringify(form), json],
    ['', undefined],
    ['grant_type=frob', undefined],
    ['grant_type=password&username=ci', undefined],
    ['grant_type=password&username=ci&password=', undefined],
    ['grant_type=password&username=ci&password=secret&password=other', undefined],
    ['grant_type=refresh_token', undefined],
    [`${new URLSearchParams(form)}&scope=${many.slice(0, 30_000)}`, undefined],
  ] as const) {
    await assert.rejects(scene.post(body, anonymous, type), isRefused(400), body.slice(0, 60))
  }
  const long = `${new URLSearchParams(form)}&scope=${'x'.repeat(64 * 1024)}`
  await assert.rejects(scene.post(long), isRefused(413))
  await assert.rejects(scene.post({ ...form }, ciIdentity), isRefused(400))
  for (const text of ['', 'x', 'keelson_refresh_', `keelson_${'A'.repeat(49)}`]) {
    const refresh = { grant_type: 'refresh_token', refresh_token: text || ' ' }
    await assert.rejects(scene.post(refresh), isRefused(401), text)
  }
  assert.deepEqual(
    scene.events.filter(({ result }) => result === 'issued'),
    [],
  )
})
