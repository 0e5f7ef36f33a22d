// Goal: only a signature by a fit key of the issuer, with an allowed algorithm, is believed. Method:
// the known attacks on JWT libraries, against a provider over TLS and the credentials threads.
import assert from 'node:assert/strict'
import { createPrivateKey, createPublicKey, sign } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { CompactSign, type JWK } from 'jose'
import type { OidcConfig, SignatureAlgorithm } from '../../../src/authenticate/oidc/contract.ts'
import { createCredentialPool } from '../../../src/offload/credential-pool.ts'
import { verifyToken } from '../../../workers/verify-token.ts'
import {
  createKey,
  type IdentityProvider,
  startIdentityProvider,
} from '../../support/identity-provider.ts'
import { createPki, needsOpenssl } from '../../support/pki.ts'
import { oidcConfig, oidcScene, refusalOf, sceneOf, temporaryFolder } from './scene.ts'

// A configuration that slipped past every check: the table of algorithms must still hold.
const careless = ['none', 'HS256', 'HS384', 'HS512', 'PS256', 'EdDSA', 'RS256'] as const
const anyAlgorithm = careless as readonly string[] as readonly SignatureAlgorithm[]

describe('signatures of tokens', needsOpenssl, () => {
  let idp: IdentityProvider
  before(async () => {
    idp = await startIdentityProvider(await createPki(temporaryFolder()))
  })
  after(() => idp.close())

  const problemOf = async (token: string, config: Partial<OidcConfig> = {}): Promise<string> =>
    refusalOf(sceneOf(idp, config).providers.verify(token))

  test('a token under the public key as an HMAC secret is refused', async () => {
    const { n = '', e = '' } = idp.key
    const publicKey = createPublicKey({ key: { kty: 'RSA', n, e }, format: 'jwk' })
    const secrets = [
      publicKey.export({ type: 'spki', format: 'pem' }).toString(),
      publicKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
      JSON.stringify({ kty: 'RSA', n, e }),
    ]
    for (const alg of ['HS256', 'HS384', 'HS512']) {
      for (const secret of secrets) {
        const bytes = Buffer.from(secret)
        const token = await new CompactSign(payloadOf(await idp.sign()))
          .setProtectedHeader({ alg, kid: idp.key.kid ?? '' })
          .sign(bytes)
        assert.equal(await problemOf(token), 'algorithm')
        assert.equal(await problemOf(token, { allowedAlgorithms: anyAlgorithm }), 'algorithm')
      }
    }
  })

  test('a token without a signature is refused', async () => {
    const [, payload = '', signature = ''] = (await idp.sign()).split('.')
    for (const alg of ['none', 'None', 'NONE', 'nOnE', '']) {
      const header = encode({ alg, kid: idp.key.kid })
      const config = { allowedAlgorithms: anyAlgorithm }
      assert.equal(await problemOf(`${header}.${payload}.${signature}`, config), 'algorithm')
      assert.equal(await problemOf(`${header}.${payload}.`, config), 'malformed')
      assert.equal(await problemOf(`${header}.${payload}`, config), 'malformed')
    }
  })

  test('a claim that was changed after it was signed is refused', async () => {
    const [header = '', payload = '', signature = ''] = (await idp.sign()).split('.')
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object
    const token = `${header}.${encode({ ...claims, sub: 'root' })}.${signature}`
    assert.equal(await problemOf(token), 'signature')
    const cut = `${header}.${payload}.${signature.slice(0, -4)}`
    assert.equal(await problemOf(cut), 'signature')
  })

  test('a key of the caller is not used, however it is offered', async () => {
    const own = await createKey('RS256')
    const { kty = '', n = '', e = '' } = own
    const offered = {
      jwk: { kty, n, e },
      jku: 'https://attacker.test/jwks',
      x5u: 'https://attacker.test/chain',
      x5c: ['MIIB'],
    }
    const stolenId = { ...own, kid: idp.key.kid ?? '' }
    assert.equal(await problemOf(await idp.sign({ key: stolenId, header: offered })), 'signature')
    assert.equal(await problemOf(await idp.sign({ key: own, header: offered })), 'unknown-key')
  })

  test('the key id must be there and be the same', async () => {
    const { kid = '' } = idp.key
    for (const id of [undefined, '', 7]) {
      assert.equal(await problemOf(await unchecked(idp, { kid: id })), 'unknown-key')
    }
    for (const id of [`${kid} `, kid.toUpperCase(), `../${kid}`, '__proto__', 'constructor']) {
      assert.equal(await problemOf(await idp.sign({ header: { kid: id } })), 'unknown-key')
    }
  })

  test('an extension that must be understood is refused', async () => {
    const token = await unchecked(idp, { crit: ['exp'], exp: 1 })
    assert.equal(await problemOf(token), 'malformed')
    assert.equal(await problemOf(await unchecked(idp, { crit: ['b64'], b64: false })), 'malformed')
  })

  test('a token of another type is refused', async () => {
    for (const typ of ['logout+jwt', 'dpop+jwt', 'application/secevent+jwt', 7]) {
      assert.equal(await problemOf(await unchecked(idp, { typ })), 'wrong-type')
    }
    for (const typ of ['jwt', 'application/at+jwt', undefined]) {
      const token = await unchecked(idp, { typ })
      await sceneOf(idp).providers.verify(token)
    }
  })

  test('an algorithm that is not allowed is refused, an allowed one is not', async () => {
    const kinds = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384'] as const
    const rsa = await createKey('RS256')
    const keys: readonly JWK[] = [
      rsa,
      ...(['RS384', 'RS512'] as const).map((alg) => ({ ...rsa, alg, kid: alg })),
      await createKey('ES256'),
      await createKey('ES384'),
    ]
    idp.answer('/jwks', (_request, response) =>
      response.end(JSON.stringify({ keys: keys.map(publicOf) })),
    )
    for (const [index, alg] of kinds.entries()) {
      const key = keys[index] ?? assert.fail()
      const token = await idp.sign({ key })
      await sceneOf(idp, { allowedAlgorithms: [alg] }).providers.verify(token)
      const others = kinds.filter((kind) => kind !== alg)
      assert.equal(await problemOf(token, { allowedAlgorithms: others }), 'algorithm')
      // The header of another algorithm than the key's own, or of another kind of key.
      for (const other of others) {
        const [, payload = '', signature = ''] = token.split('.')
        const header = encode({ alg: other, kid: key.kid })
        const swapped = `${header}.${payload}.${signature}`
        assert.equal(await problemOf(swapped, { allowedAlgorithms: kinds }), 'unfit-key')
      }
    }
    idp.answer('/jwks', undefined)
  })

  test('keys that are not for signatures verify nothing', async () => {
    const { kid = '' } = idp.key
    for (const more of [{ use: 'enc' }, { use: 7 }, { key_ops: ['sign'] }, { key_ops: 'verify' }]) {
      idp.answer('/jwks', (_request, response) =>
        response.end(JSON.stringify({ keys: [{ ...publicOf(idp.key), ...more }] })),
      )
      assert.equal(
        await problemOf(await idp.sign()),
        'unknown-key',
        `${kid} ${JSON.stringify(more)}`,
      )
    }
    idp.answer('/jwks', undefined)
  })

  test('credentials threads tell good signatures from bad ones', async () => {
    const pool = createCredentialPool({ workers: 1, queueMax: 64 })
    after(() => pool.close())
    const config = oidcConfig(idp.issuer, { serverCaBundle: idp.caFile })
    const { providers } = oidcScene([config], pool)
    const { identity } = await providers.verify(await idp.sign())
    assert.equal(identity.username, 'idp:build')
    const forged = await idp.sign({
      key: { ...(await createKey('RS256')), kid: idp.key.kid ?? '' },
    })
    assert.equal(await refusalOf(providers.verify(forged)), 'signature')
    assert.equal(await refusalOf(providers.verify(forged)), 'signature')
    await providers.verify(await idp.sign())
  })

  test('a thread takes no secret for a key, and no key that it cannot read', async () => {
    const token = await new CompactSign(Buffer.from('{}'))
      .setProtectedHeader({ alg: 'HS256' })
      .sign(Buffer.alloc(32, 'k'))
    const secret = { kty: 'oct', k: Buffer.alloc(32, 'k').toString('base64url') }
    for (const jwk of [secret, { kty: 'RSA', n: '', e: '' }, {}]) {
      const task = { token, algorithm: 'HS256', jwk, thumbprint: 'a' }
      assert.equal(verifyToken(task), false)
    }
  })

  test('more tokens than the threads can take are answered 503', async () => {
    const pool = createCredentialPool({ workers: 1, queueMax: 1 })
    after(() => pool.close())
    const config = oidcConfig(idp.issuer, { serverCaBundle: idp.caFile })
    const { providers } = oidcScene([config], pool)
    const token = await idp.sign()
    await providers.verify(token)
    const many = await Promise.allSettled(Array.from({ length: 50 }, () => providers.verify(token)))
    const refused = many.filter(({ status }) => status === 'rejected')
    assert.ok(refused.length > 0 && refused.length < 50)
    for (const one of refused) {
      const { reason } = one as PromiseRejectedResult
      assert.equal(await refusalOf(Promise.reject(reason)), '503')
    }
    await providers.verify(token)
  })
})

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

function payloadOf(token: string): Buffer {
  return Buffer.from(token.split('.')[1] ?? '', 'base64url')
}

function publicOf({ kty, n, e, crv, x, y, kid, alg, use }: JWK): object {
  return { kty, n, e, crv, x, y, kid, alg, use }
}

// Rightly signed, with a header that no honest library would write.
async function unchecked(idp: IdentityProvider, header: object): Promise<string> {
  const [, payload = ''] = (await idp.sign()).split('.')
  const signed = `${encode({ alg: 'RS256', kid: idp.key.kid, typ: 'JWT', ...header })}.${payload}`
  const key = createPrivateKey({ key: { ...idp.key }, format: 'jwk' })
  return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`
}
