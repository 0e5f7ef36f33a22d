// Goal: a token or an API key counts for who it was issued to, for as long as it should, and nothing that
// anybody else made counts at all. Method: real signatures over contents that are altered one by one.
import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync, sign } from 'node:crypto'
import { describe, test } from 'node:test'
import { claimsOf } from '../../../src/authenticate/token/claims.ts'
import {
  type ActiveApiKey,
  RegistryTokenRefusal,
  type TokenProblem,
} from '../../../src/authenticate/token/contract.ts'
import { publicKeyOf, signToken, tokenLengthMax } from '../../../src/authenticate/token/jwt.ts'
import { makeSecret, readSecret } from '../../../src/authenticate/token/secret-text.ts'
import { OciError } from '../../../src/oci/error.ts'
import { parseScope, type Scope } from '../../../src/oci/scope.ts'
import {
  certificate,
  contents,
  emptySnapshot,
  HandState,
  newScene,
  nowMs,
  nowSeconds,
  privateKey,
  type Scene,
  type SceneOptions,
  service,
  signingKey,
  token,
  tokenId,
  user,
  userVersion,
  verifyKey,
} from './scene.ts'

function scope(text: string): Scope {
  const parsed = parseScope(text, 'patterns')
  assert.ok(parsed, text)
  return parsed
}

/** The problem that it is refused with, or undefined. */
async function refusedFor(
  text: string,
  options: SceneOptions = {},
): Promise<TokenProblem | undefined> {
  return problemOf(newScene(options), text)
}

async function problemOf(
  scene: Scene,
  text: string,
  username?: string,
): Promise<TokenProblem | undefined> {
  try {
    const verified = await scene.tokens.verify(text, username)
    return scene.tokens.problem(verified, undefined)
  } catch (error) {
    assert.ok(error instanceof OciError && error.status === 401, String(error))
    assert.ok(error.cause instanceof RegistryTokenRefusal)
    return error.cause.problem
  }
}

function jws(header: object, claims: object = claimsOf(contents()), signature = 'A'.repeat(86)) {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part(header)}.${part(claims)}.${signature}`
}

const header = { alg: 'ES256', typ: 'keelson+jwt', kid: verifyKey.kid }

describe('a good token', () => {
  test('stands for its user, with the groups of today and the scopes of its own', async () => {
    const pull = scope('repository:team/app:pull')
    const changed = { ...user, groups: ['today'] }
    const { tokens } = newScene({ users: [changed] })
    const text = token({ scopes: [pull] })
    assert.equal(tokens.recognises(text), true)
    const verified = await tokens.verify(text)
    assert.equal(tokens.problem(verified, undefined), undefined)
    const { id, username, groups, authMethod, scopes, certificate: shown } = verified.identity
    assert.deepEqual(
      { id, username, groups, authMethod, scopes, shown },
      {
        ...{ id: 'build', username: 'ci', groups: ['today'], authMethod: 'token' },
        ...{ scopes: [pull], shown: null },
      },
    )
    assert.equal(verified.identity.tokenId, tokenId)
    assert.equal(verified.expiresAtMs, nowMs + 300_000)
    assert.ok(Object.isFrozen(verified.identity))
  })

  test('of nobody is as anonymous as no token', async () => {
    const { tokens } = newScene()
    const { identity } = await tokens.verify(token({ bearer: { kind: 'anonymous' } }))
    assert.equal(identity.authMethod, 'anonymous')
    assert.equal(identity.username, null)
    assert.deepEqual(identity.scopes, [])
  })

  test('of a provider carries its claims', async () => {
    const { tokens } = newScene()
    const claims = { sub: 'alice', roles: ['a'] }
    const oidc = { kind: 'oidc', provider: 'gitlab', username: 'gitlab:alice' } as const
    const verified = await tokens.verify(token({ bearer: { ...oidc, groups: ['g'], claims } }))
    assert.deepEqual(verified.identity.oidc, { providerName: 'gitlab', claims })
    assert.equal(verified.identity.username, 'gitlab:alice')
    assert.deepEqual(verified.identity.groups, ['g'])
  })

  test('is still good when another key signs by now', async () => {
    const other = publicKeyOf(privateKey(2))
    const keys = new Map([...emptySnapshot.keys, [other.kid, other] as const])
    assert.equal(await refusedFor(token(), { state: new HandState({ keys }) }), undefined)
    assert.equal(
      await refusedFor(token({}, privateKey(2)), { state: new HandState({ keys }) }),
      undefined,
    )
  })

  test('that another process signed with a new key is taken after a look', async () => {
    const other = publicKeyOf(privateKey(2))
    const state = new HandState()
    state.next = { ...emptySnapshot, keys: new Map([[other.kid, other]]) }
    assert.equal(await refusedFor(token({}, privateKey(2)), { state }), undefined)
    assert.equal(state.refreshes, 1)
  })
})

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
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })

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

describe('a token that was good', () => {
  test('ends in its time', async () => {
    const scene = newScene()
    const verified = await scene.tokens.verify(token())
    scene.now = nowMs + 299_999
    assert.equal(scene.tokens.problem(verified, undefined), undefined)
    scene.now = nowMs + 300_000
    assert.equal(scene.tokens.problem(verified, undefined), 'expired')
  })

  test('is refused from the moment that it is revoked, and no other is', async () => {
    const { tokens, state } = newScene()
    const verified = await tokens.verify(token())
    const other = await tokens.verify(token({ tokenId: tokenId.replace('0f', '1f') }))
    state.current = { ...state.current, revokedTokens: new Set([tokenId]) }
    assert.equal(tokens.problem(verified, undefined), 'revoked')
    assert.equal(tokens.problem(other, undefined), undefined)
    assert.equal(await problemOf(newScene({ state }), token()), 'revoked')
  })

  test('is refused when its user is revoked, unless it was issued after that', async () => {
    const { tokens, state } = newScene()
    const before = await tokens.verify(token())
    // In the same second, which only the revision tells apart.
    const revokedUsers = new Map([['ci', { revision: 8, atMs: nowMs + 500 }]])
    state.current = { ...state.current, revision: 8, revokedUsers }
    assert.equal(tokens.problem(before, undefined), 'revoked')
    const after = await tokens.verify(token({ revision: 8 }))
    assert.equal(tokens.problem(after, undefined), undefined)
  })

  test('is refused by the time as well, should the store be one of an older day', async () => {
    const { tokens, state } = newScene()
    const verified = await tokens.verify(token({ revision: 99 }))
    const revokedUsers = new Map([['ci', { revision: 8, atMs: nowMs + 5000 }]])
    state.current = { ...state.current, revision: 8, revokedUsers }
    assert.equal(tokens.problem(verified, undefined), 'revoked')
  })

  test('of somebody else lives on', async () => {
    const { tokens, state } = newScene()
    const verified = await tokens.verify(token({ bearer: { kind: 'anonymous' } }))
    const revokedUsers = new Map([['', { revision: 8, atMs: nowMs + 5000 }]])
    state.current = { ...state.current, revision: 8, revokedUsers }
    assert.equal(tokens.problem(verified, undefined), undefined)
  })

  test('is bound to the certificate that it was obtained with', async () => {
    const { tokens } = newScene()
    const certificateSha256 = certificate.fingerprintSha256
    const verified = await tokens.verify(token({ certificateSha256 }))
    assert.equal(tokens.problem(verified, certificate), undefined)
    assert.equal(tokens.problem(verified, undefined), 'wrong-certificate')
    const other = { ...certificate, fingerprintSha256: 'cd'.repeat(32) }
    assert.equal(tokens.problem(verified, other), 'wrong-certificate')
  })
})

describe('an API key', () => {
  const text = makeSecret('api-key', new Uint8Array(32).fill(5))
  const sha256 = readSecret(text)?.sha256 ?? ''
  const robot: ActiveApiKey = {
    id: sha256.slice(0, 16),
    name: 'deploy',
    username: null,
    scopes: [scope('repository:team/*:pull')],
    expiresAtMs: nowMs + 1000,
  }
  const holding = (key: ActiveApiKey): HandState =>
    new HandState({ apiKeys: new Map([[sha256, key]]), apiKeysById: new Map([[key.id, key]]) })

  test('stands for itself, by a name that no user can have', async () => {
    const scene = newScene({ state: holding(robot), service: undefined })
    assert.equal(scene.tokens.isUsed, true)
    assert.equal(scene.tokens.recognises(text), true)
    const verified = await scene.tokens.verify(text, 'anything')
    assert.equal(scene.tokens.problem(verified, undefined), undefined)
    const { id, username, groups, authMethod, scopes } = verified.identity
    assert.deepEqual(
      { id, username, groups, authMethod, scopes },
      {
        ...{ id: robot.id, username: 'key:deploy', groups: [] },
        ...{ authMethod: 'api-key', scopes: robot.scopes },
      },
    )
  })

  test('of a user has the name and the groups of the user, and no other name beside it', async () => {
    const scene = newScene({ state: holding({ ...robot, username: 'ci' }) })
    const verified = await scene.tokens.verify(text, 'ci')
    assert.equal(verified.identity.username, 'ci')
    assert.deepEqual(verified.identity.groups, ['builders'])
    assert.deepEqual(verified.identity.scopes, robot.scopes)
    assert.equal(await problemOf(scene, text), undefined)
    assert.equal(await problemOf(scene, text, 'root'), 'wrong-user')
  })

  test('is refused when its user is gone', async () => {
    const state = holding({ ...robot, username: 'eve' })
    assert.equal(await problemOf(newScene({ state }), text, 'eve'), 'unknown-user')
  })

  test('is refused when it ends, and when it is revoked', async () => {
    const scene = newScene({ state: holding(robot) })
    const verified = await scene.tokens.verify(text)
    scene.now = nowMs + 1000
    assert.equal(scene.tokens.problem(verified, undefined), 'expired')
    scene.now = nowMs
    scene.state.current = emptySnapshot
    assert.equal(scene.tokens.problem(verified, undefined), 'revoked')
    assert.equal(await problemOf(scene, text), 'unknown-api-key')
  })

  test('takes the tokens with it that were issued for it', async () => {
    const scene = newScene({ state: holding(robot) })
    const bearer = { kind: 'api-key', id: robot.id, username: 'key:deploy' } as const
    const verified = await scene.tokens.verify(token({ bearer }))
    assert.equal(verified.identity.username, 'key:deploy')
    assert.equal(scene.tokens.problem(verified, undefined), undefined)
    scene.state.current = emptySnapshot
    assert.equal(scene.tokens.problem(verified, undefined), 'revoked')
  })

  test('that another process made just now is found after a look', async () => {
    const state = new HandState()
    state.next = holding(robot).current
    assert.equal(await problemOf(newScene({ state }), text), undefined)
  })

  test('that is mistyped, unknown or a refresh token is refused', async () => {
    const scene = newScene({ state: holding(robot) })
    const other = makeSecret('api-key', new Uint8Array(32).fill(6))
    const refresh = makeSecret('refresh-token', new Uint8Array(32).fill(5))
    assert.equal(await problemOf(scene, `${text}x`), 'malformed')
    assert.equal(await problemOf(scene, 'keelson_'), 'malformed')
    assert.equal(await problemOf(scene, other), 'unknown-api-key')
    assert.equal(await problemOf(scene, refresh), 'malformed')
  })
})
