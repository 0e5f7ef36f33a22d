// Goal: an operator makes, lists and ends credentials, every call is told, and no secret is. Method: the
// calls over a store in memory, with inputs as JSON brings them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ciIdentity, day, nowMs, Scene } from './scene.ts'

const input = { name: 'deploy', scopes: ['repository:team/*:push,pull'], ttlMs: day }

test('a key is made, told once, and listed without its text', async () => {
  const scene = await Scene.open({ service: undefined })
  const { status, body } = await scene.admin.create(input)
  assert.equal(status, 200)
  const { key, id, ...shown } = body as { key: string; id: string }
  assert.match(key, /^keelson_[0-9A-Za-z]{49}$/)
  assert.deepEqual(shown, {
    name: 'deploy',
    username: null,
    scopes: ['repository:team/*:pull,push'],
    state: 'good',
    createdAt: new Date(nowMs).toISOString(),
    expiresAt: new Date(nowMs + day).toISOString(),
    revokedAt: null,
  })
  assert.equal((await scene.tokens.verify(key)).tokenId, id)
  const listed = (await scene.admin.list()).body as { apiKeys: readonly object[] }
  assert.deepEqual(listed.apiKeys, [{ id, ...shown }])
  const stored = JSON.stringify([await scene.store.readTokenState(), listed, scene.calls])
  assert.ok(!stored.includes(key))
  assert.deepEqual(
    scene.calls.map(({ call, result, subject }) => [call, result, subject]),
    [
      ['create', 'done', id],
      ['list', 'done', null],
    ],
  )
})

test('a key that is revoked or has ended is listed as such', async () => {
  const scene = await Scene.open()
  const { id } = (await scene.admin.create(input)).body as { id: string }
  await scene.admin.create({ ...input, name: 'short', ttlMs: 60_000 })
  assert.deepEqual(await scene.admin.revoke({ id }), {
    ...{ status: 200, body: { revoked: 'api-key', id } },
  })
  assert.equal((await scene.admin.revoke({ id })).status, 404)
  scene.now = nowMs + 60_000
  const { apiKeys } = (await scene.admin.list()).body as { apiKeys: readonly { state: string }[] }
  assert.deepEqual(apiKeys.map(({ state }) => state).sort(), ['ended', 'revoked'])
  // The name is free again.
  assert.equal((await scene.admin.create(input)).status, 200)
  assert.equal((await scene.admin.create(input)).status, 409)
})

test('revoking a user ends all that the user has, and says how much', async () => {
  const scene = await Scene.open()
  await scene.admin.create({ ...input, username: 'ci' })
  await scene.get('offline_token=true', ciIdentity)
  const { token } = await scene.get('', ciIdentity)
  const verified = await scene.tokens.verify(token)
  assert.deepEqual((await scene.admin.revoke({ username: 'ci' })).body, {
    ...{ revoked: 'user', username: 'ci', apiKeys: 1, refreshTokens: 1 },
  })
  assert.equal(scene.tokens.problem(verified, undefined), 'revoked')
  const again = await scene.tokens.verify((await scene.get('', ciIdentity)).token)
  assert.equal(scene.tokens.problem(again, undefined), undefined)
})

test('inputs that are not understood change nothing, and are told', async () => {
  const scene = await Scene.open()
  const creates: readonly unknown[] = [
    ...[null, [], 'x', {}, { ...input, name: '' }, { ...input, name: 'A' }, { ...input, name: 1 }],
    ...[
      { ...input, name: 'a'.repeat(65) },
      { ...input, name: '../x' },
      { ...input, more: 1 },
    ],
    ...[
      { ...input, scopes: [] },
      { ...input, scopes: 'repository:a:pull' },
    ],
    ...[
      { ...input, scopes: ['repository:te*:pull'] },
      { ...input, scopes: ['*'] },
    ],
    { ...input, scopes: ['repository:a:pull,pusch'] },
    { ...input, scopes: Array.from({ length: 33 }, (_, i) => `repository:a${i}:pull`) },
    ...[
      { ...input, ttlMs: 0 },
      { ...input, ttlMs: -1 },
      { ...input, ttlMs: 1e15 },
    ],
    ...[
      { ...input, ttlMs: '90d' },
      { ...input, ttlMs: undefined },
      { ...input, ttlMs: 1e9 + 0.5 },
    ],
    ...[
      { ...input, username: 'eve' },
      { ...input, username: 1 },
      { ...input, username: '' },
    ],
  ]
  for (const each of creates) {
    assert.equal((await scene.admin.create(each)).status, 400, JSON.stringify(each))
  }
  const revokes: readonly unknown[] = [
    ...[null, [], {}, { id: 'x' }, { id: 1 }, { id: '' }, { id: '*' }, { username: '' }],
    ...[{ username: 1 }, { username: 'a'.repeat(513) }, { id: '0'.repeat(16), username: 'ci' }],
    ...[{ username: 'ci', more: 1 }, { id: '0F8FAD5B-D9CB-469F-A165-70867728950E' }],
  ]
  for (const each of revokes) {
    assert.equal((await scene.admin.revoke(each)).status, 400, JSON.stringify(each))
  }
  const { apiKeys, revocations } = await scene.store.readTokenState()
  assert.deepEqual([apiKeys, revocations], [[], []])
  assert.equal(scene.calls.length, creates.length + revokes.length)
  assert.ok(scene.calls.every(({ result }) => result === 'refused'))
})
