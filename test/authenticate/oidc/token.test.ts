// Goal: nothing that can stand in a header is anything but a token or a refusal, and what is read of a
// token is bounded. Method: texts at the bounds and beyond, and random ones.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { TokenRefusal } from '../../../src/authenticate/oidc/contract.ts'
import { claimOf, parseToken } from '../../../src/authenticate/oidc/token.ts'
import { OciError } from '../../../src/oci/error.ts'

const header = { alg: 'RS256', kid: 'a', typ: 'JWT' }

function encode(value: unknown): string {
  return encodeText(JSON.stringify(value))
}

function encodeText(text: string): string {
  return Buffer.from(text).toString('base64url')
}

function problemOf(token: string): string | undefined {
  try {
    parseToken(token, 'idp')
    return undefined
  } catch (error) {
    assert.ok(error instanceof OciError && error.cause instanceof TokenRefusal, String(error))
    assert.equal(error.cause.provider, 'idp')
    return error.cause.problem
  }
}

describe('a token', () => {
  test('is read into its parts, and its claims are frozen', () => {
    const claims = { iss: 'a', deep: { list: [1, { b: 2 }] } }
    const token = `${encode(header)}.${encode(claims)}.c2ln`
    const parsed = parseToken(token, undefined)
    assert.deepEqual(parsed, { token, algorithm: 'RS256', keyId: 'a', claims })
    assert.throws(() => (parsed.claims['deep'] as { list: unknown[] }).list.push(1), TypeError)
  })

  const deep = '['.repeat(32) + ']'.repeat(32)
  const numbers = `[${Array(250).fill('1e20').join()}]`
  const faulty: readonly (readonly [string, string, string])[] = [
    ['nothing', 'malformed', ''],
    ['two parts', 'malformed', `${encode(header)}.${encode({})}`],
    ['five parts, as encrypted ones have', 'malformed', 'a.b.c.d.e'],
    ['padding', 'malformed', `${encode(header)}.${encode({})}.YQ==`],
    ['a space', 'malformed', `${encode(header)}.${encode({})}.YQ `],
    ['a header that is no JSON', 'malformed', `${encodeText('{')}.${encode({})}.YQ`],
    ['a header that is a list', 'malformed', `${encode([])}.${encode({})}.YQ`],
    ['claims that are null', 'malformed', `${encode(header)}.${encode(null)}.YQ`],
    ['claims that are text', 'malformed', `${encode(header)}.${encode('a')}.YQ`],
    ['claims twice', 'malformed', `${encode(header)}.${encodeText('{"iss":"a","iss":"b"}')}.YQ`],
    [
      'an algorithm twice',
      'malformed',
      `${encodeText('{"alg":"RS256","alg":"none","kid":"a"}')}.${encode({})}.YQ`,
    ],
    ['a prototype', 'malformed', `${encode(header)}.${encodeText('{"__proto__":{}}')}.YQ`],
    ['claims too deep', 'malformed', `${encode(header)}.${encodeText(`{"a":${deep}}`)}.YQ`],
    ['more than 16 KiB', 'too-large', `${encode(header)}.${encode({})}.${'A'.repeat(16_384)}`],
    [
      'claims that grow',
      'too-large',
      `${encode(header)}.${encodeText(`{"a":${numbers},"b":${numbers},"c":${numbers}}`)}.YQ`,
    ],
    ['a long list', 'too-large', `${encode(header)}.${encode({ a: [Array(257).fill(0)] })}.YQ`],
    ['no algorithm', 'algorithm', `${encode({ kid: 'a' })}.${encode({})}.YQ`],
    ['an algorithm that is a list', 'algorithm', `${encode({ ...header, alg: ['RS256'] })}.e30.YQ`],
  ]
  for (const [what, problem, token] of faulty) {
    test(`with ${what} is refused: ${problem}`, () => {
      assert.equal(problemOf(token), problem)
    })
  }

  test('of any text is a token or a refusal', () => {
    const part = fc.oneof(
      fc.json().map(encodeText),
      fc
        .dictionary(fc.constantFrom('alg', 'kid', 'typ', 'crit', 'iss'), fc.jsonValue())
        .map(encode),
      fc.string().map(encodeText),
      fc.string(),
    )
    const texts = fc.oneof(
      fc.string(),
      fc.tuple(part, part, part).map((parts) => parts.join('.')),
    )
    fc.assert(fc.property(texts, (text) => typeof problemOf(text) !== 'boolean'))
  })
})

describe('a claim', () => {
  const claims = { flat: 1, realm: { roles: ['a'] }, 'realm.roles': 'flat', 'https://a.b/c': 2 }
  test('is found by its name before its path, and never in a prototype', () => {
    assert.equal(claimOf(claims, 'flat'), 1)
    assert.equal(claimOf(claims, 'realm.roles'), 'flat')
    assert.deepEqual(claimOf({ realm: claims.realm }, 'realm.roles'), ['a'])
    assert.equal(claimOf(claims, 'https://a.b/c'), 2)
    for (const name of ['constructor', 'realm.constructor', 'realm.roles.length.a', 'flat.a', '']) {
      assert.equal(claimOf({ realm: {}, flat: 1 }, name), undefined, name)
    }
  })
})
