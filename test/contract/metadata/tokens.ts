// Credentials of a metadata store: API keys, revocations, refresh tokens, signing keys, their revision.

import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import type {
  StoredApiKey,
  StoredRefreshToken,
  StoredSigningKey,
} from '../../../src/storage/metadata/token-store.ts'
import type { Check } from './scene.ts'

const day = 24 * 60 * 60_000
const now = 1_700_000_000_000
const plenty = 100

function apiKey(name: string, parts: Partial<StoredApiKey> = {}): StoredApiKey {
  const secretSha256 = hash('sha256', `${name} ${JSON.stringify(parts)}`)
  return {
    id: secretSha256.slice(0, 16),
    name,
    secretSha256,
    scopes: ['repository:team/*:pull,push'],
    createdAtMs: now,
    expiresAtMs: now + day,
    ...parts,
  }
}

function refreshToken(name: string, parts: Partial<StoredRefreshToken> = {}): StoredRefreshToken {
  const secretSha256 = hash('sha256', name)
  return {
    id: secretSha256.slice(0, 16),
    secretSha256,
    username: 'alice',
    userVersion: 'v1',
    createdAtMs: now,
    expiresAtMs: now + day,
    ...parts,
  }
}

function signingKey(kid: string): StoredSigningKey {
  return { kid, privateKey: `private key ${kid}`, createdAtMs: now }
}

export function keepingApiKeys(check: Check): void {
  check('API keys read back as they were made', async ({ store }) => {
    const bare = apiKey('bare')
    const owned = apiKey('owned', { username: 'zoë/!"x', scopes: [] })
    assert.equal(await store.readTokenRevision(), 0)
    assert.deepEqual(await store.readTokenState(), {
      ...{ revision: 0, apiKeys: [], revocations: [], signingKeys: [] },
    })
    assert.equal(await store.createApiKey(bare, plenty), 'created')
    assert.equal(await store.createApiKey(owned, plenty), 'created')
    const { revision, apiKeys } = await store.readTokenState()
    assert.equal(revision, 2)
    assert.equal(await store.readTokenRevision(), 2)
    const byName = [...apiKeys].sort((a, b) => (a.name < b.name ? -1 : 1))
    assert.deepEqual(byName, [bare, owned])
  })

  check('the name of an API key that is good is taken, and of no other', async ({ store }) => {
    assert.equal(
      await store.createApiKey(apiKey('ci', { expiresAtMs: now + 10 }), plenty),
      'created',
    )
    const revision = await store.readTokenRevision()
    assert.equal(
      await store.createApiKey(apiKey('ci', { createdAtMs: now + 9 }), plenty),
      'name-taken',
    )
    assert.equal(await store.readTokenRevision(), revision)
    const next = apiKey('ci', { createdAtMs: now + 10 })
    assert.equal(await store.createApiKey(next, plenty), 'created')
    assert.equal(await store.revokeApiKey(next.id, now + 11), true)
    const third = apiKey('ci', { createdAtMs: now + 12 })
    assert.equal(await store.createApiKey(third, plenty), 'created')
  })

  check('there are at most so many API keys', async ({ store }) => {
    assert.equal(await store.createApiKey(apiKey('a'), 2), 'created')
    assert.equal(await store.createApiKey(apiKey('b'), 2), 'created')
    assert.equal(await store.createApiKey(apiKey('c'), 2), 'full')
    assert.equal((await store.readTokenState()).apiKeys.length, 2)
  })

  check('an API key is revoked once, and stays listed', async ({ store }) => {
    const made = apiKey('ci')
    await store.createApiKey(made, plenty)
    assert.equal(await store.revokeApiKey('0'.repeat(16), now + 1), false)
    assert.equal(await store.revokeApiKey(made.id, now + 1), true)
    assert.equal(await store.revokeApiKey(made.id, now + 2), false)
    const { apiKeys, revision } = await store.readTokenState()
    assert.deepEqual(apiKeys, [{ ...made, revokedAtMs: now + 1 }])
    assert.equal(revision, 2)
  })
}

export function revokingTokens(check: Check): void {
  check('a token is revoked by its id, again and again', async ({ store }) => {
    const id = '0f8fad5b-d9cb-469f-a165-70867728950e'
    assert.equal(await store.revokeToken(id, now, now + day, 1), 'revoked')
    assert.equal(await store.revokeToken(id, now + 1, now + day, 1), 'revoked')
    const other = '1f8fad5b-d9cb-469f-a165-70867728950e'
    assert.equal(await store.revokeToken(other, now, now + day, 1), 'full')
    assert.deepEqual((await store.readTokenState()).revocations, [
      { of: 'token', subject: id, revision: 2, atMs: now + 1, forgetAtMs: now + day },
    ])
  })

  check('revoking a user takes all that the user has, and nothing of others', async ({ store }) => {
    const own = apiKey('own', { username: 'alice' })
    const other = apiKey('other', { username: 'alice2' })
    for (const key of [own, other, apiKey('robot')]) await store.createApiKey(key, plenty)
    await store.createRefreshToken(refreshToken('a'), plenty)
    await store.createRefreshToken(refreshToken('b'), plenty)
    await store.createRefreshToken(refreshToken('c', { username: 'bob' }), plenty)
    const counts = await store.revokeUser('alice', now + 5, now + day)
    assert.deepEqual(counts, { apiKeys: 1, refreshTokens: 2 })
    const { revision, apiKeys, revocations } = await store.readTokenState()
    assert.deepEqual(
      apiKeys.filter(({ revokedAtMs }) => revokedAtMs !== undefined),
      [{ ...own, revokedAtMs: now + 5 }],
    )
    assert.deepEqual(revocations, [
      { of: 'user', subject: 'alice', revision, atMs: now + 5, forgetAtMs: now + day },
    ])
    assert.equal(await store.readRefreshToken(refreshToken('a').secretSha256), undefined)
    assert.deepEqual(await store.listRefreshTokens(), [refreshToken('c', { username: 'bob' })])
    assert.deepEqual(await store.revokeUser('zoë', now, now + day), {
      ...{ apiKeys: 0, refreshTokens: 0 },
    })
  })

  check('a key that stands for itself is revoked by the name of its user', async ({ store }) => {
    const robot = apiKey('robot')
    const others = [apiKey('robot2'), apiKey('own', { username: 'robot' })]
    for (const key of [robot, ...others]) await store.createApiKey(key, plenty)
    const counts = await store.revokeUser('key:robot', now + 5, now + day)
    assert.deepEqual(counts, { apiKeys: 1, refreshTokens: 0 })
    const { apiKeys } = await store.readTokenState()
    assert.deepEqual(
      apiKeys.filter(({ revokedAtMs }) => revokedAtMs !== undefined),
      [{ ...robot, revokedAtMs: now + 5 }],
    )
  })

  check('every change has a revision of its own', async ({ store }) => {
    const seen = new Set<number>()
    await Promise.all(
      Array.from({ length: 20 }, (_, i) => store.revokeUser(`user ${i}`, now, now + day)),
    )
    const { revision, revocations } = await store.readTokenState()
    for (const each of revocations) seen.add(each.revision)
    assert.equal(seen.size, 20)
    assert.equal(revision, 20)
  })

  check('a sweep drops what has ended, and nothing else', async ({ store }) => {
    const id = '0f8fad5b-d9cb-469f-a165-70867728950e'
    await store.createApiKey(apiKey('old', { expiresAtMs: now + 1 }), plenty)
    await store.createApiKey(apiKey('long', { expiresAtMs: now + 300 * day }), plenty)
    await store.revokeToken(id, now, now + 100, plenty)
    await store.revokeUser('alice', now, now + 2 * day)
    await store.createRefreshToken(refreshToken('a', { expiresAtMs: now + 100 }), plenty)
    await store.createRefreshToken(refreshToken('b'), plenty)
    await store.putSigningKey(signingKey('k1'), undefined)
    await store.putSigningKey(signingKey('k2'), { kid: 'k1', verifiesUntilMs: now + 100 })
    const before = await store.readTokenState()
    await store.sweepTokens(now + 99)
    assert.deepEqual(await store.readTokenState(), before)
    await store.sweepTokens(now + 100)
    const after = await store.readTokenState()
    assert.equal(after.revision, before.revision + 1)
    assert.deepEqual(
      after.revocations.map(({ subject }) => subject),
      ['alice'],
    )
    assert.deepEqual(after.signingKeys, [signingKey('k2')])
    assert.equal(after.apiKeys.length, 2)
    assert.deepEqual(await store.listRefreshTokens(), [refreshToken('b')])
    await store.sweepTokens(now + 1 + 30 * day)
    const { apiKeys } = await store.readTokenState()
    assert.deepEqual(
      apiKeys.map(({ name }) => name),
      ['long'],
    )
  })
}

export function sharingRevocations(check: Check): void {
  const id = '0f8fad5b-d9cb-469f-a165-70867728950e'
  const token = { of: 'token', subject: id, atMs: now, forgetAtMs: now + day } as const
  const user = { of: 'user', subject: 'zoë', atMs: now, forgetAtMs: now + day } as const
  const key = { of: 'api-key', subject: 'a'.repeat(16), atMs: now, forgetAtMs: now + day } as const

  check('revocations of other stores are kept, once, and only grow stricter', async ({ store }) => {
    const all = [token, user, key]
    assert.deepEqual(await store.applyRevocations(all, plenty), { applied: 3, dropped: 0 })
    const first = await store.readTokenState()
    const kept = first.revocations.map(({ revision: _revision, ...rest }) => rest)
    assert.deepEqual(new Set(kept), new Set(all))
    const weaker = all.map((each) => ({ ...each, atMs: 1, forgetAtMs: 2 }))
    for (const again of [all, weaker, []]) {
      assert.deepEqual(await store.applyRevocations(again, plenty), { applied: 0, dropped: 0 })
    }
    assert.deepEqual(await store.readTokenState(), first)
    const later = { ...user, atMs: now + 5, forgetAtMs: now + 1 }
    assert.deepEqual(await store.applyRevocations([later], plenty), { applied: 1, dropped: 0 })
    const { revision, revocations } = await store.readTokenState()
    assert.equal(revision, first.revision + 1)
    assert.deepEqual(
      revocations.find(({ of }) => of === 'user'),
      { ...user, atMs: now + 5, revision },
    )
  })

  check('of a user they take what was made until then', async ({ store }) => {
    const old = apiKey('old', { username: 'zoë' })
    const young = apiKey('young', { username: 'zoë', createdAtMs: now + 1 })
    const other = apiKey('other', { username: 'alice' })
    for (const each of [old, young, other]) await store.createApiKey(each, plenty)
    const times = [now, now + 1] as const
    for (const createdAtMs of times) {
      const made = refreshToken(`token ${createdAtMs}`, { username: 'zoë', createdAtMs })
      await store.createRefreshToken(made, plenty)
    }
    await store.applyRevocations([user], plenty)
    const { apiKeys } = await store.readTokenState()
    const revoked = apiKeys.filter(({ revokedAtMs }) => revokedAtMs !== undefined)
    assert.deepEqual(revoked, [{ ...old, revokedAtMs: now }])
    const left = await store.listRefreshTokens()
    assert.deepEqual(
      left.map(({ createdAtMs }) => createdAtMs),
      [now + 1],
    )
  })

  check('of an API key that the store has, they revoke it, once', async ({ store }) => {
    const made = apiKey('ci')
    await store.createApiKey(made, plenty)
    const revocation = { ...key, subject: made.id }
    assert.deepEqual(await store.applyRevocations([revocation], 0), { applied: 1, dropped: 0 })
    const { apiKeys, revocations, revision } = await store.readTokenState()
    assert.deepEqual([apiKeys, revocations], [[{ ...made, revokedAtMs: now }], []])
    const later = { ...revocation, atMs: now + 9 }
    assert.deepEqual(await store.applyRevocations([later], 0), { applied: 0, dropped: 0 })
    assert.equal(await store.readTokenRevision(), revision)
  })

  check(
    'there are at most so many of a kind, and known ones have their place',
    async ({ store }) => {
      const many = Array.from({ length: 3 }, (_, i) => ({ ...user, subject: `user ${i}` }))
      assert.deepEqual(await store.applyRevocations([...many, token], 2), {
        applied: 3,
        dropped: 1,
      })
      const later = { ...user, subject: 'user 0', atMs: now + 1 }
      assert.deepEqual(await store.applyRevocations([later], 2), { applied: 1, dropped: 0 })
    },
  )

  check('a sweep drops them when they have ended', async ({ store }) => {
    await store.applyRevocations([token, user, key], plenty)
    await store.sweepTokens(now + day - 1)
    assert.equal((await store.readTokenState()).revocations.length, 3)
    await store.sweepTokens(now + day)
    assert.equal((await store.readTokenState()).revocations.length, 0)
  })
}

export function renewingTokens(check: Check): void {
  check('refresh tokens read back, and are removed by their ids', async ({ store }) => {
    const made = refreshToken('a')
    await store.createRefreshToken(made, plenty)
    assert.deepEqual(await store.readRefreshToken(made.secretSha256), made)
    assert.equal(await store.readRefreshToken('f'.repeat(64)), undefined)
    assert.equal(await store.removeRefreshToken('f'.repeat(16)), false)
    assert.equal(await store.removeRefreshToken(made.id), true)
    assert.equal(await store.removeRefreshToken(made.id), false)
    assert.equal(await store.readRefreshToken(made.secretSha256), undefined)
  })

  check('of too many refresh tokens the oldest of the user make room', async ({ store }) => {
    await store.createRefreshToken(refreshToken('bob', { username: 'bob' }), 2)
    for (const [name, at] of [
      ['second', 2],
      ['first', 1],
      ['third', 3],
    ] as const) {
      await store.createRefreshToken(refreshToken(name, { createdAtMs: now + at }), 2)
    }
    const left = (await store.listRefreshTokens()).map(({ createdAtMs }) => createdAtMs - now)
    assert.deepEqual(left.sort(), [0, 2, 3])
  })

  check('one key signs at a time, and who comes second is told', async ({ store }) => {
    const puts = ['k1', 'k2', 'k3'].map((kid) => store.putSigningKey(signingKey(kid), undefined))
    const results = await Promise.all(puts)
    assert.deepEqual(results.filter(Boolean), [true])
    const [first] = (await store.readTokenState()).signingKeys
    assert.ok(first)
    const wrong = { kid: 'nobody', verifiesUntilMs: now + day }
    assert.equal(await store.putSigningKey(signingKey('k4'), wrong), false)
    const after = { kid: first.kid, verifiesUntilMs: now + day }
    assert.equal(await store.putSigningKey(signingKey('k4'), after), true)
    assert.equal(await store.putSigningKey(signingKey('k5'), after), false)
    const { signingKeys } = await store.readTokenState()
    const byKid = [...signingKeys].sort((a, b) => (a.kid < b.kid ? -1 : 1))
    assert.deepEqual(byKid, [{ ...first, verifiesUntilMs: now + day }, signingKey('k4')])
  })

  check('credentials are there after a restart', async ({ store, reopen }) => {
    if (reopen === undefined) return
    const key = apiKey('ci', { username: 'alice' })
    await store.createApiKey(key, plenty)
    await store.revokeUser('bob', now, now + day)
    await store.createRefreshToken(refreshToken('a'), plenty)
    await store.putSigningKey(signingKey('k1'), undefined)
    const before = await store.readTokenState()
    const opened = await reopen()
    assert.deepEqual(await opened.readTokenState(), before)
    assert.equal(await opened.readTokenRevision(), before.revision)
    assert.deepEqual(await opened.listRefreshTokens(), [refreshToken('a')])
  })
}
