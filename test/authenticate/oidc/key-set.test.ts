// Goal: of a published set the fit keys serve and the others do not spoil it. Method: sets that mix good
// keys with alien, broken, weak, private and doubled ones.
import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { describe, test } from 'node:test'
import { calculateJwkThumbprint, type JWK } from 'jose'
import { type KeySet, parseKeySet, type UsableKey } from '../../../src/authenticate/oidc/key-set.ts'

type Jwk = Readonly<Record<string, unknown>>

// Made as text: to export the very object that was made can wait for itself for ever (Node 20.20).
const asText = {
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
} as const

function rsa(bits = 2048, exponent = 65_537): Jwk {
  const { publicKey } = generateKeyPairSync('rsa', {
    modulusLength: bits,
    publicExponent: exponent,
    ...asText,
  })
  return {
    ...createPublicKey(publicKey).export({ format: 'jwk' }),
    kid: 'r',
    use: 'sig',
    alg: 'RS256',
  }
}

function ec(namedCurve: 'P-256' | 'P-384' | 'P-521' | 'secp256k1'): Jwk {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve, ...asText })
  return { ...createPublicKey(publicKey).export({ format: 'jwk' }), kid: 'e', use: 'sig' }
}

const good = rsa()
const curve = ec('P-256')

function setOf(...keys: readonly unknown[]): KeySet {
  return parseKeySet({ keys })
}

function usable(set: KeySet, kid: string, algorithm: 'RS256' | 'RS512' | 'ES256'): UsableKey {
  const key = set.find(kid, algorithm)
  assert.ok(typeof key === 'object')
  return key
}

describe('a key set', () => {
  test('gives a key by its id, for its algorithm alone', async () => {
    const set = setOf(good, curve)
    assert.equal(set.size, 2)
    assert.deepEqual(set.problems, [])
    const { jwk, thumbprint } = usable(set, 'r', 'RS256')
    assert.deepEqual(jwk, { kty: 'RSA', n: good['n'], e: 'AQAB' })
    assert.equal(thumbprint, await calculateJwkThumbprint(good as JWK))
    assert.equal(usable(set, 'e', 'ES256').thumbprint, await calculateJwkThumbprint(curve as JWK))
    assert.equal(set.find('r', 'RS512'), 'unfit')
    assert.equal(set.find('r', 'ES256'), 'unfit')
    assert.equal(set.find('e', 'ES384'), 'unfit')
    assert.equal(set.find('R', 'RS256'), undefined)
    const { alg: _, ...anyAlgorithm } = good
    assert.ok(usable(setOf(anyAlgorithm), 'r', 'RS512'))
  })

  const point = (x: string): Jwk => ({ ...curve, x })
  const aliens: readonly (readonly [string, unknown, RegExp | undefined])[] = [
    ['null', null, /no usable kid/],
    ['text', 'key', /no usable kid/],
    ['one without an id', { ...good, kid: undefined }, /no usable kid/],
    ['one with an id that is a number', { ...good, kid: 7 }, /no usable kid/],
    ['a secret', { kty: 'oct', k: 'c2VjcmV0', kid: 'a', alg: 'HS256' }, /not public/],
    ['a private key', { ...good, kid: 'a', d: 'AQAB' }, /not public/],
    ['another kind', { kty: 'OKP', crv: 'Ed25519', x: 'AA', kid: 'a' }, /not supported/],
    ['another curve', { ...ec('P-521'), kid: 'a' }, /not supported/],
    ['a Koblitz curve', { ...ec('secp256k1'), kid: 'a' }, /not supported/],
    ['an unknown kind', { kty: 'AKP', kid: 'a' }, /not supported/],
    ['no modulus', { kty: 'RSA', e: 'AQAB', kid: 'a' }, /cannot be read|bits/],
    ['a modulus of no alphabet', { ...good, kid: 'a', n: '!!' }, /cannot be read|bits/],
    ['a weak modulus', { ...rsa(1024), kid: 'a' }, /1024 bits/],
    ['an exponent of 1', { ...good, kid: 'a', e: 'AQ' }, /exponent|cannot be read/],
    ['an even exponent', { ...good, kid: 'a', e: 'AQAC' }, /exponent|cannot be read/],
    ['a huge exponent', { ...good, kid: 'a', e: good['n'] }, /exponent|cannot be read/],
    ['a point off its curve', { ...point(String(curve['y'])), kid: 'a' }, /cannot be read/],
    ['an algorithm that is no text', { ...good, kid: 'a', alg: [] }, /alg is not text/],
    ['a key for encryption', { ...good, kid: 'a', use: 'enc' }, undefined],
  ]
  for (const [what, alien, problem] of aliens) {
    test(`serves in spite of ${what}`, () => {
      const set = setOf(alien, good, alien, curve, alien)
      assert.equal(set.size, 2)
      usable(set, 'r', 'RS256')
      usable(set, 'e', 'ES256')
      assert.equal(set.find('a', 'RS256'), undefined)
      assert.equal(set.problems.length, problem === undefined ? 0 : 3)
      for (const found of set.problems) assert.match(found, problem ?? /never/)
    })
  }

  test('two keys with one id are told apart by their kind, or not at all', () => {
    const mixed = setOf(good, { ...curve, kid: 'r' })
    assert.ok(usable(mixed, 'r', 'RS256'))
    assert.ok(usable(mixed, 'r', 'ES256'))
    const twice = setOf(good, good)
    assert.ok(usable(twice, 'r', 'RS256'))
    for (const doubled of [setOf(good, rsa()), setOf(good, rsa(), good)]) {
      assert.equal(doubled.find('r', 'RS256'), 'unfit')
      assert.equal(doubled.size, 0)
      assert.match(String(doubled.problems[0]), /another key has its kid/)
    }
  })

  test('names of properties that every object has are no ids', () => {
    for (const kid of ['__proto__', 'constructor', 'toString']) {
      assert.equal(setOf(good).find(kid, 'RS256'), undefined)
    }
  })

  test('what is no key set is refused whole', () => {
    for (const document of [null, [], 'keys', {}, { keys: {} }, { keys: Array(257).fill(good) }]) {
      assert.throws(() => parseKeySet(document), /^Error: the key set has/)
    }
    assert.equal(parseKeySet({ keys: [] }).size, 0)
  })

  test('a key of the set is what node:crypto reads', () => {
    const { jwk } = usable(setOf(good), 'r', 'RS256')
    const key = createPublicKey({ key: { ...jwk }, format: 'jwk' })
    assert.equal(key.asymmetricKeyDetails?.modulusLength, 2048)
  })
})
