// Goal: what a store tells other hosts is what still counts, and of what they tell nothing is believed
// that would make it forget. Method: keepers over stores in memory, a clock by hand.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RevocationList } from '../../../src/operation/token/revocation-list.ts'
import { tokensOutlivedMs } from '../../../src/operation/token/state.ts'
import type { Revocation } from '../../../src/storage/metadata/token-store.ts'
import { ciIdentity, day, nowMs, Scene } from './scene.ts'

const jti = '0f8fad5b-d9cb-469f-a165-70867728950e'
const hour = 60 * 60_000

async function open(): Promise<{ readonly scene: Scene; readonly list: RevocationList }> {
  const scene = await Scene.open()
  const { store, keeper } = scene
  return { scene, list: new RevocationList({ store, keeper, now: () => scene.now }) }
}

test('what was revoked is told until it has ended, keys among it', async () => {
  const { scene, list } = await open()
  const input = { name: 'deploy', scopes: ['repository:a:pull'], ttlMs: day }
  const { id } = (await scene.admin.create(input)).body as { id: string }
  await scene.admin.create({ ...input, name: 'good' })
  let changes = 0
  list.onChange(() => {
    changes += 1
  })
  await scene.admin.revoke({ id })
  await scene.admin.revoke({ id: jti })
  await scene.admin.revoke({ username: 'ci' })
  assert.equal(changes, 3)
  const told = (): readonly string[] => list.live().map(({ of, subject }) => `${of} ${subject}`)
  assert.deepEqual(told(), [`token ${jti}`, 'user ci', `api-key ${id}`])
  scene.now += day
  assert.deepEqual(told(), [`token ${jti}`, 'user ci'])
  scene.now = nowMs + tokensOutlivedMs
  assert.deepEqual(told(), [])
})

test('what another host tells is in force when it is taken, and is passed on', async () => {
  const [one, two] = [await open(), await open()]
  const { token } = await two.scene.get('', ciIdentity)
  const verified = await two.scene.tokens.verify(token)
  one.scene.now += 1
  await one.scene.admin.revoke({ username: 'ci' })
  two.scene.now += 500
  assert.deepEqual(await two.list.apply(one.list.live()), { applied: 1, dropped: 0 })
  assert.equal(two.scene.tokens.problem(verified, undefined), 'revoked')
  assert.deepEqual(await two.list.apply(one.list.live()), { applied: 0, dropped: 0 })
  const bare = ({ of, subject, atMs }: Revocation): unknown => [of, subject, atMs]
  assert.deepEqual(two.list.live().map(bare), one.list.live().map(bare))
  const again = await two.scene.tokens.verify((await two.scene.get('', ciIdentity)).token)
  assert.equal(two.scene.tokens.problem(again, undefined), undefined)
})

test('a time that makes no sense neither forgets nor locks out for good', async () => {
  const { scene, list } = await open()
  const user = { of: 'user', subject: 'ci' } as const
  // Told to end at once: tokens of before last for a day all the same.
  await list.apply([{ ...user, atMs: nowMs, forgetAtMs: nowMs + 1 }])
  assert.equal(list.live()[0]?.forgetAtMs, nowMs + tokensOutlivedMs)
  await list.apply([{ ...user, atMs: 1, forgetAtMs: 9e15 }])
  assert.equal(list.live()[0]?.atMs, nowMs)
  await list.apply([{ ...user, atMs: 8e15, forgetAtMs: 9e15 }])
  assert.equal(list.live()[0]?.atMs, nowMs + hour)
  assert.equal(list.live().length, 1)
  const key = { of: 'api-key', subject: 'a'.repeat(16), atMs: nowMs } as const
  await list.apply([{ ...key, forgetAtMs: 9e15 }])
  assert.equal(list.live()[1]?.forgetAtMs, nowMs + 3650 * day)
  await scene.keeper.close()
})

test('an API key of another host that is revoked there can never be used here', async () => {
  const [one, two] = [await open(), await open()]
  const input = { name: 'deploy', scopes: ['repository:a:pull'], ttlMs: day }
  const { id, key } = (await one.scene.admin.create(input)).body as { id: string; key: string }
  await one.scene.admin.revoke({ id })
  await two.list.apply(one.list.live())
  // As from a copy of a store that knew the key when it was good.
  const [stored] = (await one.scene.store.readTokenState()).apiKeys
  assert.ok(stored)
  const { revokedAtMs: _revokedAtMs, ...good } = stored
  assert.equal(await two.scene.store.createApiKey(good, 10), 'created')
  await two.scene.keeper.reload()
  await assert.rejects(two.scene.tokens.verify(key))
})
