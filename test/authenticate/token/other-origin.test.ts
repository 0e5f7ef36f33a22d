// Goal: a token that another host has issued is told from a revocation by the time, since the hosts count
// their revisions apart. Method: a state by hand, tokens of other origins.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { claimsOf } from '../../../src/authenticate/token/claims.ts'
import { signToken } from '../../../src/authenticate/token/jwt.ts'
import { contents, HandState, newScene, nowMs, problemOf, signingKey, verifyKey } from './scene.ts'

/** What is said of a token of `origin` and `revision`, issued now, after a revocation. */
async function problem(
  origin: string | undefined,
  revision: number,
  revocation: { readonly revision: number; readonly atMs: number },
): Promise<string | undefined> {
  const state = new HandState({ revokedUsers: new Map([['ci', revocation]]) })
  const { tokens } = newScene({ state })
  const claims = claimsOf(contents({ origin, revision }))
  const text = signToken(claims, verifyKey.kid, signingKey)
  return tokens.problem(await tokens.verify(text), undefined)
}

describe('a token of another host', () => {
  test('is good after the revocation, whatever the revisions are', async () => {
    for (const revision of [1, 99]) {
      assert.equal(
        await problem('there', revision, { revision: 8, atMs: nowMs - 5_000 }),
        undefined,
      )
    }
  })

  test('is revoked before it, and so shortly after it that its host may not have heard', async () => {
    for (const revision of [1, 99]) {
      for (const atMs of [nowMs + 60_000, nowMs, nowMs - 4_999]) {
        assert.equal(await problem('there', revision, { revision: 8, atMs }), 'revoked')
      }
    }
  })
})

test('a token of this host, or of none, is told by its revision', async () => {
  for (const origin of ['here', undefined]) {
    assert.equal(await problem(origin, 7, { revision: 8, atMs: nowMs - 60_000 }), 'revoked')
    assert.equal(await problem(origin, 8, { revision: 8, atMs: nowMs }), undefined)
  }
})

test('an origin that is no text is none', async () => {
  const claims = claimsOf(contents()) as { keelson: object }
  const odd = { ...claims, keelson: { ...claims.keelson, origin: 7 } }
  const text = signToken(odd, verifyKey.kid, signingKey)
  assert.equal(await problemOf(newScene(), text), 'unfit-claim')
})
