// Goal: one issuer may stand behind two providers with wants of their own, and neither lends the other
// its name. Method: tokens for the one and for the other, shown to both; and a key with a passphrase.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import type { OidcConfig } from '../../../src/authenticate/oidc/contract.ts'
import { Secret } from '../../../src/config/secret.ts'
import { type IdentityProvider, startIdentityProvider } from '../../support/identity-provider.ts'
import { createPki, needsOpenssl, type Pki } from '../../support/pki.ts'
import { oidcConfig, oidcScene, refusalOf, temporaryFolder } from './scene.ts'

describe('one issuer behind two providers', needsOpenssl, () => {
  let idp: IdentityProvider
  before(async () => {
    idp = await startIdentityProvider(await createPki(temporaryFolder()))
  })
  after(() => idp.close())

  const provider = (name: string, options: Partial<OidcConfig> = {}): OidcConfig =>
    oidcConfig(idp.issuer, { serverCaBundle: idp.caFile, name, ...options })
  const both = (): readonly OidcConfig[] => [
    provider('builds', { requiredAudience: ['builds'], usernameClaim: 'sub' }),
    provider('people', {
      requiredAudience: ['people'],
      requiredClaims: ['email'],
      usernameClaim: 'email',
      allowedAlgorithms: ['RS256', 'RS384'],
    }),
  ]
  const forBuilds = { aud: 'builds', sub: 'job-7' }
  const forPeople = { aud: 'people', sub: '17', email: 'ann@example.com' }

  test('a Bearer token belongs to the one whose audience it has', async () => {
    const { providers } = oidcScene(both())
    const builds = await providers.verify(await idp.sign({ claims: forBuilds }))
    assert.equal(builds.identity.username, 'builds:job-7')
    assert.equal(builds.identity.oidc?.providerName, 'builds')
    const people = await providers.verify(await idp.sign({ claims: forPeople }))
    assert.equal(people.identity.username, 'people:ann@example.com')
    assert.equal(people.identity.oidc?.providerName, 'people')
  })

  test('a token for neither is refused', async () => {
    const { providers } = oidcScene(both())
    const token = await idp.sign({ claims: { aud: 'others', email: 'x' } })
    assert.equal(await refusalOf(providers.verify(token)), 'wrong-audience')
  })

  test('as the password of the other, a token is refused', async () => {
    const { providers } = oidcScene(both())
    const builds = await idp.sign({ claims: forBuilds })
    const people = await idp.sign({ claims: forPeople })
    assert.equal(await refusalOf(providers.verify(builds, 'people')), 'wrong-audience')
    assert.equal(await refusalOf(providers.verify(people, 'builds')), 'wrong-audience')
    await providers.verify(builds, 'builds')
    await providers.verify(people, 'people')
  })

  test('what one allows, the other need not: claims and algorithms are its own', async () => {
    const { providers } = oidcScene(both())
    const { email: _, ...nameless } = forPeople
    const without = await idp.sign({ claims: nameless })
    assert.equal(await refusalOf(providers.verify(without, 'people')), 'missing-claim')
    const { kid = '' } = idp.key
    const key = { ...idp.key, alg: 'RS384', kid }
    const token = await idp.sign({ claims: forBuilds, key })
    assert.equal(await refusalOf(providers.verify(token)), 'algorithm')
  })

  test('one whose algorithms do not fit leaves the token to the next', async () => {
    const aud = { requiredAudience: ['builds'] }
    const { providers } = oidcScene([
      provider('first', { ...aud, allowedAlgorithms: ['ES256'] }),
      provider('second', aud),
    ])
    const { identity } = await providers.verify(await idp.sign({ claims: forBuilds }))
    assert.equal(identity.oidc?.providerName, 'second')
  })

  test('they fetch the keys once where they ask alike, and each asks in its own way', async () => {
    const before = idp.requests.get('/jwks') ?? 0
    const { providers } = oidcScene(both())
    await providers.verify(await idp.sign({ claims: forBuilds }))
    await providers.verify(await idp.sign({ claims: forPeople }))
    assert.equal(idp.requests.get('/jwks'), before + 1)
  })
})

describe('a client key with a passphrase', needsOpenssl, () => {
  let pki: Pki
  let idp: IdentityProvider
  before(async () => {
    pki = await createPki(temporaryFolder())
    idp = await startIdentityProvider(pki, { wantsCertificate: true })
  })
  after(() => idp.close())

  test('is opened with it, and not with another or without', async () => {
    const { certificateFile, keyFile } = await pki.clientCa.clientCertificate({
      passphrase: 'open sesame',
    })
    assert.match(readFileSync(keyFile, 'utf8'), /ENCRYPTED/)
    const base = { clientCertificate: certificateFile, clientPrivateKey: keyFile }
    const files = { serverCaBundle: idp.caFile, ...base }
    const token = await idp.sign()
    const right = new Secret('open sesame')
    const good = oidcConfig(idp.issuer, { ...files, clientPrivateKeyPassphrase: right })
    await oidcScene([good]).providers.verify(token)
    for (const clientPrivateKeyPassphrase of [undefined, new Secret('open barley')]) {
      const config = oidcConfig(idp.issuer, { ...files, clientPrivateKeyPassphrase })
      const { providers, warnings } = oidcScene([config])
      assert.equal(await refusalOf(providers.verify(token)), '503')
      assert.doesNotMatch(JSON.stringify(warnings), /barley|sesame/)
    }
  })

  test('two providers that differ in nothing else do not share what they fetched', async () => {
    const { certificateFile, keyFile } = await pki.clientCa.clientCertificate({
      passphrase: 'open sesame',
    })
    const base = { clientCertificate: certificateFile, clientPrivateKey: keyFile }
    const files = { serverCaBundle: idp.caFile, ...base }
    const named = (name: string, text: string): OidcConfig =>
      oidcConfig(idp.issuer, { ...files, name, clientPrivateKeyPassphrase: new Secret(text) })
    const { providers } = oidcScene([named('wrong', 'open barley'), named('right', 'open sesame')])
    const token = await idp.sign()
    await providers.verify(token, 'right')
    assert.equal(await refusalOf(providers.verify(token, 'wrong')), '503')
  })
})
