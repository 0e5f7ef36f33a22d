// Goal: whatever comes in the place of a token, a key or a scope, the answer is a value, and only what
// was written here is taken for good. Method: random texts, and random changes of good ones.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readClaims } from '../../src/authenticate/token/claims.ts'
import { readToken } from '../../src/authenticate/token/jwt.ts'
import { makeSecret, readSecret } from '../../src/authenticate/token/secret-text.ts'
import { parseScope, scopeText } from '../../src/oci/scope.ts'
import { newScene, refusedFor, service, token } from '../authenticate/token/scene.ts'

test('any text is read as a token or as a problem', () => {
  const part = fc.oneof(
    fc.string(),
    fc.json().map((text) => Buffer.from(text).toString('base64url')),
    fc
      .record({ alg: fc.constant('ES256'), typ: fc.constant('keelson+jwt'), kid: fc.string() })
      .map((header) => Buffer.from(JSON.stringify(header)).toString('base64url')),
  )
  fc.assert(
    fc.property(fc.array(part, { maxLength: 4 }), (parts) => {
      const read = readToken(parts.join('.'))
      assert.ok(typeof read === 'string' || typeof read.kid === 'string')
    }),
  )
})

test('any JSON is read as contents or as a problem', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (claims, keelson) => {
      const within = { iss: service, aud: service, exp: 2, iat: 1, nbf: 1, sub: 'a', access: [] }
      assert.equal(typeof readClaims(claims, service), 'string')
      assert.equal(typeof readClaims({ ...within, jti: 'x', keelson }, service), 'string')
    }),
  )
})

test('a good token with any one character changed is refused', async () => {
  const good = token()
  const { tokens } = newScene()
  await tokens.verify(good)
  await fc.assert(
    fc.asyncProperty(
      fc.nat(good.length - 1),
      fc.integer({ min: 33, max: 126 }),
      async (at, code) => {
        const changed = good.slice(0, at) + String.fromCharCode(code) + good.slice(at + 1)
        if (changed !== good) assert.notEqual(await refusedFor(changed), undefined, changed)
      },
    ),
    { numRuns: 300 },
  )
})

test('secrets read back, and no other text is one', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.string(), (bytes, text) => {
      for (const kind of ['api-key', 'refresh-token'] as const) {
        assert.equal(readSecret(makeSecret(kind, bytes))?.kind, kind)
      }
      assert.equal(readSecret(`keelson_${text}`), undefined)
    }),
  )
})

test('a scope that parses prints to itself', () => {
  const name = fc.stringMatching(/^[a-z0-9./*_-]{0,12}$/)
  const actions = fc.array(fc.constantFrom('pull', 'push', 'delete', '*', 'x'), { maxLength: 4 })
  fc.assert(
    fc.property(name, actions, (repository, asked) => {
      const scope = parseScope(`repository:${repository}:${asked.join(',')}`, 'patterns')
      if (scope === undefined) return
      assert.deepEqual(parseScope(scopeText(scope), 'patterns'), scope)
    }),
  )
})
