// Goal: nothing that anybody else made, altered or made up counts as a token. Method: real signatures
// over contents that are altered one by one; of each the reason for its refusal.
import assert from 'node:assert/strict'
import { createHmac, sign } from 'node:crypto'
import { describe, test } from 'node:test'
import { claimsOf } from '../../../src/authenticate/token/claims.ts'
import type { TokenProblem } from '../../../src/authenticate/token/contract.ts'
import { publicKeyOf, signToken, tokenLengthMax } from '../../../src/authenticate/token/jwt.ts'
import { freshKeyPair } from '../../support/fresh-key.ts'
import {
  contents,
  newScene,
  nowSeconds,
  privateKey,
  problemOf,
  refusedFor,
  service,
  signingKey,
  token,
  userVersion,
  verifyKey,
} from './scene.ts'

function jws(header: object, claims: object = claimsOf(contents()), signature = 'A'.repeat(86)) {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part(header)}.${part(claims)}.${signature}`
}

const header = { alg: 'ES256', typ: 'keelson+jwt', kid: verifyKey.kid }

describe('a token is refused', () => {
  const es256 = (text: string): string =>
    sign('sha256', Buffer.from(text), { key: signingKey, dsaEncoding: 'ieee-p1363' }).toString(
      'base64url',
    )
  const good = token()
  const [head = '', body = '', signature = ''] = good.split('.')
  const altered = Buffer.from(JSON.stringify({ ...claimsOf(contents()), sub: 'root' })).toString(
    'base64url',
  )
  const publicPem = '-----BEGIN PUBLIC KEY-----'
  const hs256 = (text: string, key: string): string =>
    createHmac('sha256', key).update(text).digest('base64url')
  const rsa = freshKeyPair('RSA-2048')

  const cases: readonly (readonly [what: string, text: string, problem: TokenProblem])[] = [
    ['whose contents were changed', `${head}.${altered}.${signature}`, 'signature'],
    [
      'whose signature is of another',
      `${head}.${body}.${token({ revision: 8 }).split('.')[2]}`,
      'signature',
    ],
    ['whose signature is all zeros', `${head}.${body}.${'A'.repeat(86)}`, 'signature'],
    ['without a signature', `${head}.${body}.`, 'malformed'],
    ['of algorithm none', jws({ ...header, alg: 'none' }), 'algorithm'],
    ['of algorithm none in capitals', jws({ ...header, alg: 'NONE' }), 'algorithm'],
    [
      'of algorithm HS256, with the public key as the secret',
      jws({ ...header, alg: 'HS256' }, claimsOf(contents()), hs256(`${head}.${body}`, publicPem)),
      'algorithm',
    ],
    ['of another elliptic algorithm', jws({ ...header, alg: 'ES384' }), 'algorithm'],
    [
      'with a signature in DER',
      `${head}.${body}.${sign('sha256', Buffer.from(`${head}.${body}`), signingKey).toString('base64url')}`,
      'signature',
    ],
    ['of a foreign key under a foreign name', token({}, privateKey(9)), 'unknown-key'],
    [
      'of a foreign key under the right name',
      signToken(claimsOf(contents()), verifyKey.kid, privateKey(9)),
      'signature',
    ],
    [
      'of an RSA key under the right name',
      jws(
        header,
        claimsOf(contents()),
        sign('sha256', Buffer.from('x'), rsa.privateKey).toString('base64url'),
      ),
      'signature',
    ],
    [
      'that brings its own key',
      jws({ ...header, jwk: publicKeyOf(privateKey(9)).jwk }),
      'malformed',
    ],
    [
      'that names a place for its key',
      jws({ ...header, jku: 'https://evil.example' }),
      'malformed',
    ],
    ['with a critical extension', jws({ ...header, crit: ['b64'], b64: false }), 'malformed'],
    ['without a type', jws({ alg: 'ES256', kid: verifyKey.kid }), 'wrong-type'],
    ['of the type of an identity provider', jws({ ...header, typ: 'JWT' }), 'wrong-type'],
    ['without the name of its key', jws({ alg: 'ES256', typ: 'keelson+jwt' }), 'malformed'],
    ['whose key name is a number', jws({ ...header, kid: 1 }), 'malformed'],
    [
      'with a key twice in its header',
      `${Buffer.from('{"alg":"none","alg":"ES256","typ":"keelson+jwt","kid":"x"}').toString('base64url')}.${body}.${signature}`,
      'malformed',
    ],
    ['of four parts', `${good}.x`, 'malformed'],
    ['with padding', `${good}=`, 'malformed'],
    ['that is longer than any', 'a.'.repeat(tokenLengthMax), 'too-large'],
    ['that has ended', token({ issuedAt: nowSeconds - 400, expiresAt: nowSeconds }), 'expired'],
    [
      'that was issued in times to come',
      token({ issuedAt: nowSeconds + 60, expiresAt: nowSeconds + 300 }),
      'not-yet-valid',
    ],
    ['that ends before it begins', token({ expiresAt: nowSeconds - 1 }), 'unfit-claim'],
    ['of another service', token({ service: 'other' }), 'wrong-issuer'],
    [
      'of a user that is gone',
      token({ bearer: { kind: 'user', username: 'eve', version: userVersion } }),
      'unknown-user',
    ],
    [
      'of a user with another password since',
      token({ bearer: { kind: 'user', username: 'ci', version: 'old' } }),
      'unknown-user',
    ],
    [
      'of a provider that is gone',
      token({
        bearer: { kind: 'oidc', username: 'x:y', groups: [], provider: 'gone', claims: {} },
      }),
      'unknown-provider',
    ],
    [
      'of an API key that is gone',
      token({ bearer: { kind: 'api-key', id: '0'.repeat(16), username: 'key:x' } }),
      'revoked',
    ],
    ['of an alien revision', token({ revision: 1.5 }), 'unfit-claim'],
  ]
  for (const [what, text, problem] of cases) {
    test(what, async () => assert.equal(await refusedFor(text), problem))
  }

  test('whose claims are not of the form that is written here', async () => {
    const claims = claimsOf(contents())
    for (const wrong of [
      { aud: [service] },
      { aud: 'other' },
      { iss: undefined },
      { exp: String(nowSeconds + 300) },
      { exp: undefined },
      { exp: nowSeconds + 0.5 },
      { exp: 1e300 },
      { nbf: nowSeconds - 1 },
      { iat: undefined },
      { jti: 'x' },
      { jti: undefined },
      { access: undefined },
      { access: [{ type: 'repository', name: '*', actions: ['pull'] }] },
      { access: [{ type: 'repository', name: 'team/*', actions: ['pull'] }] },
      { access: [{ type: 'repository', name: 'a', actions: ['*'] }] },
      { access: [{ type: 'repository', name: 'a', actions: ['pull', 'frob'] }] },
      { access: [{ type: 'repository', name: 'a:pull,push', actions: [] }] },
      { access: [{ type: 'repository', name: 'a', actions: 'pull' }] },
      {
        access: Array.from({ length: 33 }, () => ({
          type: 'registry',
          name: 'catalog',
          actions: ['*'],
        })),
      },
      { cnf: {} },
      { cnf: { 'x5t#S256': 'short' } },
      { cnf: null },
      { sub: '' },
      { sub: 1 },
      { keelson: undefined },
      { keelson: { kind: 'root', rev: 7 } },
      { keelson: { kind: 'anonymous', rev: 7 } },
      { keelson: { kind: 'user', rev: 7 } },
      { keelson: { kind: 'oidc', provider: 'gitlab', groups: [], claims: [], rev: 7 } },
      { keelson: { kind: 'oidc', provider: 'gitlab', groups: 'a', claims: {}, rev: 7 } },
    ]) {
      const text = signToken({ ...claims, ...wrong }, verifyKey.kid, signingKey)
      assert.notEqual(await refusedFor(text), undefined, JSON.stringify(wrong))
    }
    assert.equal(await refusedFor(signToken(claims, verifyKey.kid, signingKey)), undefined)
  })

  test('whose claims are no object', async () => {
    for (const text of ['null', '[]', '"x"', '1', '{"a":1,"a":2}', '{', '']) {
      const claims = Buffer.from(text).toString('base64url')
      const signed = `${head}.${claims}`
      const problem = await refusedFor(`${signed}.${es256(signed)}`)
      assert.ok(problem === 'malformed' || problem === 'unfit-claim', text)
    }
  })

  test('where there is no token service', async () => {
    const scene = newScene({ service: undefined })
    assert.equal(scene.tokens.isUsed, false)
    assert.equal(scene.tokens.recognises(good), false)
    assert.equal(await problemOf(scene, good), 'malformed')
  })
})
