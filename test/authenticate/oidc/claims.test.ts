// Goal: tokens of a real provider are taken, and those that anything is wrong with are not. Method:
// oidc-provider over TLS, its own tokens and tokens under its key, each with one fault.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { OidcConfig } from '../../../src/authenticate/oidc/contract.ts'
import { type IdentityProvider, startIdentityProvider } from '../../support/identity-provider.ts'
import { createPki, needsOpenssl } from '../../support/pki.ts'
import { minuteMs, oidcConfig, oidcScene, refusalOf, sceneOf, temporaryFolder } from './scene.ts'

describe('tokens of a provider', needsOpenssl, () => {
  let idp: IdentityProvider
  before(async () => {
    const pki = await createPki(temporaryFolder())
    idp = await startIdentityProvider(pki, {
      claims: { preferred_username: 'ada', groups: ['builders', 'readers'], team: { name: 'x' } },
    })
  })
  after(() => idp.close())

  test('a token of its own becomes an identity', async () => {
    const { providers } = sceneOf(idp, {
      requiredAudience: ['other', idp.audience],
      groupsClaim: 'groups',
      requiredClaims: ['sub', 'team.name'],
    })
    const { identity, expiresAtMs, tokenId } = await providers.verify(await idp.token())
    assert.equal(identity.username, 'idp:ada')
    assert.equal(identity.id, null)
    assert.equal(identity.authMethod, 'oidc')
    assert.deepEqual(identity.groups, ['builders', 'readers'])
    assert.equal(identity.oidc?.providerName, 'idp')
    assert.equal(identity.oidc.claims['client_id'], 'ci')
    assert.ok(Math.abs(expiresAtMs - Date.now() - 300_000) < 60_000)
    assert.equal(tokenId, identity.oidc.claims['jti'])
    assert.ok(Object.isFrozen(identity.oidc.claims['team']))
    assert.deepEqual([...providers.names], ['idp'])
  })

  test('the user name is sub, or the claim that is configured', async () => {
    const names = async (config: Partial<OidcConfig>, claims: object) =>
      (await sceneOf(idp, config).providers.verify(await idp.sign({ claims: { ...claims } })))
        .identity.username
    assert.equal(await names({}, {}), 'idp:build')
    assert.equal(await names({}, { preferred_username: '' }), 'idp:build')
    assert.equal(await names({ usernameClaim: 'email' }, { email: 'a@b.test' }), 'idp:a@b.test')
    assert.equal(await names({ usernameClaim: 'a.b' }, { a: { b: 'deep' } }), 'idp:deep')
    assert.equal(
      await names({ usernameClaim: 'a.b' }, { 'a.b': 'flat', a: { b: 'no' } }),
      'idp:flat',
    )
  })

  const nowSeconds = Math.floor(Date.now() / 1000)
  const hour = 3600
  const faulty: readonly (readonly [string, string, Record<string, unknown>])[] = [
    ['a wrong issuer', 'unknown-issuer', { iss: 'https://elsewhere.test' }],
    ['an issuer with a slash more', 'unknown-issuer', { iss: 'slash' }],
    ['no issuer', 'missing-claim', { iss: undefined }],
    ['a wrong audience', 'wrong-audience', { aud: 'https://other.test' }],
    ['wrong audiences', 'wrong-audience', { aud: ['https://other.test', 7] }],
    ['no audience', 'wrong-audience', { aud: undefined }],
    ['no expiry', 'missing-claim', { exp: undefined }],
    ['an expiry that is text', 'unfit-claim', { exp: String(nowSeconds + hour) }],
    ['an expiry beyond all dates', 'unfit-claim', { exp: 1e300 }],
    ['an expiry long ago', 'expired', { exp: nowSeconds - hour }],
    ['a beginning in future', 'not-yet-valid', { nbf: nowSeconds + hour }],
    ['a beginning that is text', 'unfit-claim', { nbf: 'now' }],
    ['an id that is a number', 'unfit-claim', { jti: 7 }],
    ['no required claim', 'missing-claim', { team: null }],
    ['no user name', 'missing-claim', { sub: undefined }],
    ['a user name that is a list', 'unfit-claim', { preferred_username: ['ada'] }],
    ['a user name with a line end', 'unfit-claim', { preferred_username: 'a\nb' }],
    ['a user name too long', 'unfit-claim', { preferred_username: 'a'.repeat(401) }],
    ['groups that are numbers', 'unfit-claim', { groups: [7] }],
    ['too many groups', 'too-large', { groups: Array.from({ length: 257 }, () => 'g') }],
    ['a long list anywhere', 'too-large', { a: { b: Array.from({ length: 257 }, () => 0) } }],
  ]
  for (const [what, problem, claims] of faulty) {
    test(`${what}: ${problem}`, async () => {
      const { providers } = sceneOf(idp, {
        requiredAudience: [idp.audience],
        requiredClaims: ['team'],
        groupsClaim: 'groups',
      })
      const iss = claims['iss'] === 'slash' ? { iss: `${idp.issuer}/` } : {}
      const token = await idp.sign({ claims: { team: 'x', ...claims, ...iss } })
      assert.equal(await refusalOf(providers.verify(token)), problem)
    })
  }

  test('clocks that differ within the tolerance are no fault', async () => {
    const { providers, advance } = sceneOf(idp)
    const exp = Math.floor(Date.now() / 1000) + 30
    const token = await idp.sign({ claims: { exp, nbf: exp } })
    const { expiresAtMs } = await providers.verify(token)
    assert.equal(expiresAtMs, exp * 1000)
    advance(minuteMs)
    await providers.verify(token)
    advance(minuteMs)
    assert.equal(await refusalOf(providers.verify(token)), 'expired')
  })

  test('a provider that is named takes no token of another', async () => {
    const ca = { serverCaBundle: idp.caFile }
    const { providers } = oidcScene([
      oidcConfig('https://localhost:1', { name: 'first', jwksUri: `${idp.issuer}/jwks`, ...ca }),
      oidcConfig(idp.issuer, { name: 'second', ...ca }),
    ])
    const token = await idp.sign()
    assert.equal(await refusalOf(providers.verify(token, 'first')), 'wrong-issuer')
    assert.equal(await refusalOf(providers.verify(token, 'third')), 'unknown-issuer')
    assert.equal((await providers.verify(token, 'second')).identity.username, 'second:build')
    assert.equal((await providers.verify(token)).identity.username, 'second:build')
  })

  test('of providers with one issuer the first that wants the token takes it', async () => {
    const ca = { serverCaBundle: idp.caFile }
    const before = idp.requests.get('/jwks') ?? 0
    const { providers } = oidcScene([
      oidcConfig(idp.issuer, { name: 'a', requiredAudience: ['a'], ...ca }),
      oidcConfig(idp.issuer, { name: 'b', requiredAudience: ['b'], ...ca }),
    ])
    const nameFor = async (aud: string) =>
      (await providers.verify(await idp.sign({ claims: { aud } }))).identity.username
    assert.equal(await nameFor('a'), 'a:build')
    assert.equal(await nameFor('b'), 'b:build')
    assert.equal(await refusalOf(nameFor('c')), 'wrong-audience')
    assert.equal(idp.requests.get('/jwks'), before + 1)
  })
})
