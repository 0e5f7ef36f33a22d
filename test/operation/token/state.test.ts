// Goal: authentication sees what was issued and revoked, at once here and soon elsewhere, and old keys
// verify for as long as a token of theirs may live. Method: two keepers over one store, clocks by hand.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { publicKeyOf, signToken } from '../../../src/authenticate/token/jwt.ts'
import { TokenKeeper, tokensOutlivedMs } from '../../../src/operation/token/state.ts'
import { StorageError } from '../../../src/storage/error.ts'
import { MemoryMetadataStore } from '../../../src/storage/metadata/memory/store.ts'
import { privateKey } from '../../authenticate/token/scene.ts'
import { day, nowMs, Scene } from './scene.ts'

function pem(number: number): string {
  return privateKey(number).export({ type: 'pkcs8', format: 'pem' }).toString()
}

function keeperOf(
  store: MemoryMetadataStore,
  privateKeys: readonly { readonly path: string; readonly pem: string }[] = [],
): Promise<TokenKeeper> {
  return TokenKeeper.open({
    ...{ store, service: { keyRotationMs: 30 * day }, privateKeys, shared: false },
    ...{ now: () => nowMs, elapsed: () => 0, onFault: () => {} },
  })
}

test('the first key is made once, whoever comes first, and kept', async () => {
  const store = new MemoryMetadataStore()
  const [one, two] = await Promise.all([keeperOf(store), keeperOf(store)])
  assert.ok(one?.signing)
  assert.equal(one.signing.kid, two?.signing?.kid)
  const again = await keeperOf(store)
  assert.equal(again.signing?.kid, one.signing.kid)
  assert.equal((await store.readTokenState()).signingKeys.length, 1)
  // A private key that is shown in a snapshot could be shown in a reply.
  assert.ok(!JSON.stringify([...one.current.keys]).includes('"d"'))
})

test('without a token service no key is made', async () => {
  const scene = await Scene.open({ service: undefined })
  assert.equal(scene.keeper.signing, undefined)
  assert.equal(scene.keeper.current.keys.size, 0)
})

test('a key is rotated in its time, and the old one verifies until its tokens have ended', async () => {
  const scene = await Scene.open({ keyRotationMs: 10 * day })
  const { token } = await scene.get('')
  const first = scene.keeper.signing?.kid ?? ''
  scene.now = nowMs + 10 * day - 1
  await scene.keeper.tend()
  assert.equal(scene.keeper.signing?.kid, first)
  scene.now = nowMs + 10 * day
  await scene.keeper.tend()
  const second = scene.keeper.signing?.kid ?? ''
  assert.notEqual(second, first)
  assert.deepEqual(new Set(scene.keeper.current.keys.keys()), new Set([first, second]))
  await scene.tokens.verify(token)
  scene.now += tokensOutlivedMs
  await scene.keeper.reload()
  assert.deepEqual([...scene.keeper.current.keys.keys()], [second])
})

test('keys of files sign and verify alone, the first of them signs', async () => {
  const store = new MemoryMetadataStore()
  await keeperOf(store)
  const keeper = await keeperOf(store, [
    { path: 'new.pem', pem: pem(1) },
    { path: 'old.pem', pem: pem(2) },
  ])
  const [first, second] = [1, 2].map((number) => publicKeyOf(privateKey(number)).kid)
  assert.equal(keeper.signing?.kid, first)
  assert.deepEqual([...keeper.current.keys.keys()], [first, second])
  const refused = keeperOf(store, [{ path: '/etc/k.pem', pem: 'SECRET that is no key' }])
  await assert.rejects(refused, (error) => {
    return error instanceof Error && /k\.pem/.test(error.message) && !/SECRET/.test(error.message)
  })
})

test('what one process revokes, another one sees when it looks', async () => {
  const one = await Scene.open()
  const two = await Scene.open({ store: one.store })
  const { token } = await one.get('')
  const verified = await two.tokens.verify(token)
  await one.admin.revoke({ id: verified.tokenId })
  assert.equal(one.tokens.problem(verified, undefined), 'revoked')
  assert.equal(two.tokens.problem(verified, undefined), undefined)
  await two.keeper.refresh()
  assert.equal(two.tokens.problem(verified, undefined), 'revoked')
})

test('a process that shares its store looks by itself, within a second', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const one = await Scene.open()
  const two = await Scene.open({ store: one.store, shared: true })
  const { token } = await one.get('')
  const verified = await two.tokens.verify(token)
  await one.admin.revoke({ id: verified.tokenId })
  t.mock.timers.tick(1000)
  await two.keeper.close()
  assert.equal(two.tokens.problem(verified, undefined), 'revoked')
})

test('while the store cannot be read, the last known list stays in force and grows old', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const scene = await Scene.open({ shared: true })
  const { token } = await scene.get('')
  const verified = await scene.tokens.verify(token)
  await scene.admin.revoke({ id: verified.tokenId })
  scene.store.readTokenRevision = () => {
    throw new StorageError('unavailable', 'planted')
  }
  scene.elapsed += 5000
  t.mock.timers.tick(2000)
  await scene.keeper.close()
  assert.equal(scene.tokens.problem(verified, undefined), 'revoked')
  assert.equal(scene.keeper.status.ageMs, 5000)
  assert.equal(scene.faults.length, 1)
})

test('what has ended is swept away, but not while the clock jumps', async () => {
  const scene = await Scene.open()
  await scene.admin.revoke({ username: 'ci' })
  const advance = (ms: number, jumpMs = 0): void => {
    scene.elapsed += ms
    scene.now += ms + jumpMs
  }
  // A clock that is set two days ahead would forget a revocation that still counts.
  advance(2 * 60 * 60_000, 2 * day)
  await scene.keeper.tend()
  assert.equal(scene.keeper.current.revokedUsers.size, 1)
  advance(tokensOutlivedMs)
  await scene.keeper.tend()
  assert.equal(scene.keeper.current.revokedUsers.size, 0)
})

test('a token that a stored key has signed elsewhere is not ours for that', async () => {
  const scene = await Scene.open()
  const { signing } = scene.keeper
  assert.ok(signing)
  const text = signToken({ sub: 'root' }, signing.kid, signing.key)
  await assert.rejects(scene.tokens.verify(text))
})
