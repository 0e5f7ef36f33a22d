// Goal: a token that its provider has revoked is refused, and where the provider does not say, nobody is
// let in. Method: a provider over TLS whose endpoint revokes, fails, hangs and answers nonsense.
import assert from 'node:assert/strict'
import type { RequestListener } from 'node:http'
import { after, before, describe, test } from 'node:test'
import type { OidcConfig } from '../../../src/authenticate/oidc/contract.ts'
import { Secret } from '../../../src/config/secret.ts'
import {
  createKey,
  type IdentityProvider,
  introspectionClient,
  startIdentityProvider,
} from '../../support/identity-provider.ts'
import { createPki, needsOpenssl } from '../../support/pki.ts'
import { minuteMs, type OidcScene, refusalOf, sceneOf, temporaryFolder } from './scene.ts'

const { id, secret } = introspectionClient

describe('asking a provider about its tokens', needsOpenssl, () => {
  let idp: IdentityProvider
  before(async () => {
    idp = await startIdentityProvider(await createPki(temporaryFolder()))
  })
  after(() => idp.close())

  const sceneWith = (options: Partial<OidcConfig> = {}): OidcScene =>
    sceneOf(idp, {
      introspectionUrl: idp.introspectionUrl,
      introspectionClientId: id,
      introspectionClientSecret: new Secret(secret),
      ...options,
    })
  // No two alike: what one test revokes, another one shows.
  let count = 0
  const sign = (): Promise<string> => idp.sign({ claims: { jti: `token-${count++}` } })
  const questions = (): number => idp.requests.get('/introspect') ?? 0

  async function whileAnswering<T>(listener: RequestListener, use: () => Promise<T>): Promise<T> {
    idp.answer('/introspect', listener)
    try {
      return await use()
    } finally {
      idp.answer('/introspect', undefined)
    }
  }

  test('a token that counts is taken, for as long as the answer holds', async () => {
    const { providers, advance } = sceneWith()
    const token = await sign()
    assert.equal((await providers.verify(token)).goodForMs, minuteMs)
    advance(20_000)
    assert.equal((await providers.verify(token)).goodForMs, 40_000)
  })

  test('without an endpoint nobody is asked, and a token is good until it expires', async () => {
    const before = questions()
    const { providers } = sceneOf(idp)
    assert.equal((await providers.verify(await sign())).goodForMs, undefined)
    assert.equal(questions(), before)
  })

  test('a revoked token is refused', async () => {
    const { providers } = sceneWith()
    const token = await sign()
    idp.revoke(token)
    assert.equal(await refusalOf(providers.verify(token)), 'inactive')
  })

  test('one that is revoked later is refused when the answer is too old, not later', async () => {
    const { providers, advance } = sceneWith()
    const token = await sign()
    await providers.verify(token)
    idp.revoke(token)
    advance(minuteMs - 1)
    await providers.verify(token)
    advance(1)
    assert.equal(await refusalOf(providers.verify(token)), 'inactive')
  })

  test('a token is one question, for many at a time and after', async () => {
    const { providers } = sceneWith()
    const before = questions()
    const token = await sign()
    await Promise.all(Array.from({ length: 50 }, () => providers.verify(token)))
    await providers.verify(token, 'idp')
    assert.equal(questions(), before + 1)
    assert.equal(providers.status().providers[0]?.introspections, 1)
  })

  test('a token that is wrong by itself is no question', async () => {
    const { providers } = sceneWith()
    const before = questions()
    const forged = { ...(await createKey('RS256')), kid: idp.key.kid ?? '' }
    assert.equal(await refusalOf(providers.verify(await idp.sign({ key: forged }))), 'signature')
    const expired = await idp.sign({ claims: { exp: 1 } })
    assert.equal(await refusalOf(providers.verify(expired)), 'expired')
    assert.equal(questions(), before)
  })

  const nonsense: Readonly<Record<string, RequestListener>> = {
    'an error': (_request, response) => void response.writeHead(500).end('{"active":true}'),
    'a redirect': (_request, response) =>
      void response.writeHead(307, { location: `${idp.issuer}/jwks` }).end('{"active":true}'),
    'no JSON': (_request, response) => void response.end('active'),
    'a list': (_request, response) => void response.end('[true]'),
    null: (_request, response) => void response.end('null'),
    'no word on it': (_request, response) => void response.end('{"sub":"build"}'),
    'a text for true': (_request, response) => void response.end('{"active":"true"}'),
    'two words on it': (_request, response) => void response.end('{"active":false,"active":true}'),
    'too much': (_request, response) =>
      void response.end(`{"active":true,"x":"${'x'.repeat(70_000)}"}`),
    'half an answer': (_request, response) => {
      response.writeHead(200, { 'content-length': 100 })
      response.write('{"active":true}')
      response.destroy()
    },
  }
  for (const [name, listener] of Object.entries(nonsense)) {
    test(`${name} for an answer lets nobody in, and is not remembered`, async () => {
      const { providers, warnings } = sceneWith()
      const token = await sign()
      const refusal = await whileAnswering(listener, () => refusalOf(providers.verify(token)))
      assert.equal(refusal, '503')
      const [warning] = warnings
      assert.match(String(warning?.message), /does not answer about tokens/)
      assert.ok(!JSON.stringify(warnings).includes(token.slice(-40)))
      await providers.verify(token)
      const [status] = providers.status().providers
      assert.deepEqual([status?.introspections, status?.failedIntrospections], [2, 1])
    })
  }

  test('a provider that hangs is waited for no longer than configured', async () => {
    const { providers } = sceneWith({ httpTimeoutMs: 200 })
    const token = await sign()
    // The keys are there, so that it is the question which is late.
    await providers.verify(token)
    const other = await sign()
    const refusal = await whileAnswering(
      () => undefined,
      () => refusalOf(providers.verify(other)),
    )
    assert.equal(refusal, '503')
  })

  test('a provider that is away lets in whom it answered for, and nobody else', async () => {
    const { providers, advance } = sceneWith()
    const token = await sign()
    const other = await sign()
    await providers.verify(token)
    await idp.stop()
    try {
      await providers.verify(token)
      assert.equal(await refusalOf(providers.verify(other)), '503')
      advance(minuteMs)
      assert.equal(await refusalOf(providers.verify(token)), '503')
    } finally {
      await idp.start()
    }
    await providers.verify(token)
  })

  test('a wrong secret, and an endpoint that does not know such tokens, let nobody in', async () => {
    const introspectionClientSecret = new Secret('another')
    const token = await sign()
    const wrong = sceneWith({ introspectionClientSecret })
    assert.equal(await refusalOf(wrong.providers.verify(token)), '503')
    assert.ok(!JSON.stringify(wrong.warnings).includes('another'))
    // Of oidc-provider itself.
    const strange = sceneWith({ introspectionUrl: `${idp.issuer}/token/introspection` })
    assert.equal(await refusalOf(strange.providers.verify(token)), '503')
  })

  test('the endpoint is trusted by the CA of the provider alone, and never without TLS', async () => {
    const token = await sign()
    const plain = sceneWith({ introspectionUrl: 'http://idp.test/introspect' })
    assert.equal(await refusalOf(plain.providers.verify(token)), '503')
    assert.match(JSON.stringify(plain.warnings), /expected an https URL/)
  })

  test('many questions at once have a bound', async () => {
    const { providers } = sceneWith({ httpTimeoutMs: 1000 })
    await providers.verify(await sign())
    const tokens = await Promise.all(Array.from({ length: 300 }, () => sign()))
    const before = questions()
    const ends = await whileAnswering(
      () => undefined,
      () => Promise.allSettled(tokens.map((token) => providers.verify(token))),
    )
    assert.ok(ends.every(({ status }) => status === 'rejected'))
    assert.ok(providers.status().providers[0]?.introspections === 257)
    // Connections, too: the others never left.
    assert.ok(questions() - before <= 8)
  })
})
