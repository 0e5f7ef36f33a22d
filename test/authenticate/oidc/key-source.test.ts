// Goal: keys follow the provider, and a provider that is away or misbehaves neither lets anybody in nor
// takes anything else down. Method: a provider over TLS that rotates, stops and answers nonsense.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type IdentityProvider, startIdentityProvider } from '../../support/identity-provider.ts'
import { createPki, needsOpenssl, type Pki } from '../../support/pki.ts'
import { until } from '../../support/until.ts'
import { minuteMs, type OidcScene, refusalOf, sceneOf, temporaryFolder } from './scene.ts'

const discovery = '/.well-known/openid-configuration'

describe('the keys of a provider', needsOpenssl, () => {
  let pki: Pki
  let idp: IdentityProvider
  before(async () => {
    pki = await createPki(temporaryFolder())
    idp = await startIdentityProvider(pki)
  })
  after(() => idp.close())

  const fetches = (path = '/jwks'): number => idp.requests.get(path) ?? 0
  const firstRefresh = ({ providers }: OidcScene): Promise<void> =>
    until('the first refresh', () => providers.status().providers[0]?.isLastRefreshOk !== undefined)
  const reasonOf = ({ warnings }: OidcScene): string =>
    String((warnings[0]?.fields as { readonly reason?: string } | undefined)?.reason)

  test('a rotated key is found at once, and the old one is no longer taken', async () => {
    const { providers, advance } = sceneOf(idp)
    const old = await idp.sign()
    await providers.verify(old)
    await idp.rotate()
    const before = fetches()
    await providers.verify(await idp.token())
    assert.equal(fetches(), before + 1)
    assert.equal(await refusalOf(providers.verify(old)), 'unknown-key')
    advance(minuteMs)
    // The next unknown key may be asked for again.
    await idp.rotate({ alg: 'ES256' })
    const token = await idp.token()
    assert.equal(await refusalOf(providers.verify(token)), 'algorithm')
    assert.equal(await refusalOf(providers.verify(old)), 'unknown-key')
    assert.equal(fetches(), before + 2)
    await idp.rotate()
  })

  test('10,000 random key ids cost one fetch a minute', async () => {
    const { providers, advance } = sceneOf(idp)
    const good = await idp.sign()
    await providers.verify(good)
    const before = fetches()
    const [, payload, signature] = good.split('.')
    const flood = async (count: number): Promise<void> => {
      const problems = await Promise.all(
        Array.from({ length: count }, () => {
          const header = { alg: 'RS256', kid: `random-${Math.random()}` }
          const head = Buffer.from(JSON.stringify(header)).toString('base64url')
          return refusalOf(providers.verify(`${head}.${payload}.${signature}`))
        }),
      )
      assert.ok(problems.every((problem) => problem === 'unknown-key'))
    }
    await flood(5000)
    advance(minuteMs - 1)
    await flood(5000)
    assert.equal(fetches(), before + 1)
    advance(1)
    await flood(10)
    assert.equal(fetches(), before + 2)
    await providers.verify(good)
  })

  test('tokens that come while the keys are fetched wait for one fetch', async () => {
    const [keys, found] = [fetches(), fetches(discovery)]
    const { providers } = sceneOf(idp)
    const token = await idp.sign()
    const all = await Promise.all(Array.from({ length: 100 }, () => providers.verify(token)))
    assert.equal(new Set(all.map(({ identity }) => identity.username)).size, 1)
    assert.deepEqual([fetches(), fetches(discovery)], [keys + 1, found + 1])
  })

  test('cached keys serve while the provider is away, until they are too old', async () => {
    const scene = sceneOf(idp, {
      jwksMaxStaleMs: 60 * minuteMs,
      clockSkewToleranceMs: 120 * minuteMs,
    })
    const { providers, advance } = scene
    const token = await idp.sign()
    await providers.verify(token)
    await idp.stop()
    try {
      advance(59 * minuteMs)
      await providers.verify(token)
      // Nobody knows whether it is a new key of the provider's.
      const unknown = await idp.sign({ header: { kid: 'unknown' } })
      assert.equal(await refusalOf(providers.verify(unknown)), '503')
      const [status] = providers.status().providers
      assert.equal(status?.isLastRefreshOk, false)
      assert.equal(status.keys, 1)
      assert.equal(status.keySetAgeMs, 59 * minuteMs)
      advance(2 * minuteMs)
      assert.equal(await refusalOf(providers.verify(token)), '503')
      // What is wrong without any key is wrong at once.
      const expired = await idp.sign({ claims: { exp: 1 } })
      assert.equal(await refusalOf(providers.verify(expired)), 'expired')
    } finally {
      await idp.start()
    }
  })

  test('a provider that is away at the start is found when it comes', async () => {
    await idp.stop()
    const scene = sceneOf(idp, { jwksRefreshIntervalMs: 50 })
    try {
      const token = await idp.sign()
      await firstRefresh(scene)
      assert.equal(await refusalOf(scene.providers.verify(token)), '503')
      assert.equal(scene.providers.status().providers[0]?.keySetAgeMs, undefined)
      assert.match(reasonOf(scene), /ECONNREFUSED/)
    } finally {
      await idp.start()
    }
    await until('the keys are there', () => scene.providers.status().providers[0]?.keys === 1)
    await scene.providers.verify(await idp.sign())
    await scene.providers.close()
  })

  test('keys are refreshed in time, and not after the end', async () => {
    const keysAt = (path: string): OidcScene => {
      idp.answer(path, (_request, response) => response.end('{"keys":[]}'))
      return sceneOf(idp, { jwksUri: `${idp.issuer}${path}`, jwksRefreshIntervalMs: 20 })
    }
    const { providers } = keysAt('/closed')
    await until('some refreshes', () => fetches('/closed') >= 4)
    await providers.close()
    assert.ok((providers.status().providers[0]?.refreshes ?? 0) >= 3)
    const atEnd = fetches('/closed')
    const other = keysAt('/open')
    await until('as many of another', () => fetches('/open') >= 8)
    await other.providers.close()
    assert.equal(fetches('/closed'), atEnd)
  })

  const nonsense: readonly (readonly [string, RequestListener, RegExp])[] = [
    ['garbage', (_request, response) => response.end('<html>'), /not well-formed JSON/],
    ['another document', (_request, response) => response.end('{"keys":{}}'), /no list of keys/],
    [
      'too many keys',
      (_request, response) => response.end(JSON.stringify({ keys: Array(257).fill({}) })),
      /more than 256 keys/,
    ],
    [
      'a huge body',
      (_request, response) => {
        const more = (): void => {
          while (response.write('x'.repeat(65_536)));
        }
        response.on('drain', more).on('error', () => undefined)
        more()
      },
      /sends more than 524288 bytes/,
    ],
    ['an error', (_request, response) => void response.writeHead(500).end('oh'), /answers 500/],
    ['nothing', () => undefined, /no answer of .* in 2000 ms/],
    [
      'half an answer',
      (_request, response) => void response.writeHead(200, { 'content-length': 9 }).write('{'),
      /no answer of .* in 2000 ms/,
    ],
    [
      'a closed connection',
      (_request, response) => void response.destroy(),
      /other side closed|ECONNRESET|hang up/,
    ],
    [
      'a redirect to itself',
      (_request, response) => void response.writeHead(302, { location: '/jwks' }).end(),
      /redirects more than 3 times/,
    ],
    [
      'a redirect to another host',
      (_request, response) =>
        void response.writeHead(302, { location: 'https://attacker.test/jwks' }).end(),
      /redirects to another origin, https:\/\/attacker.test/,
    ],
    [
      'a redirect to plain HTTP',
      (_request, response) =>
        void response.writeHead(301, { location: 'http://localhost:1/jwks' }).end(),
      /redirects to another origin, http:\/\/localhost:1/,
    ],
  ]
  for (const [what, listener, reason] of nonsense) {
    test(`a provider that answers ${what} changes nothing`, async () => {
      const scene = sceneOf(idp, { httpTimeoutMs: 2000 })
      const { providers } = scene
      const token = await idp.sign()
      await providers.verify(token)
      idp.answer('/jwks', listener)
      const fresh = sceneOf(idp, { httpTimeoutMs: 2000 })
      try {
        const unknown = await idp.sign({ header: { kid: 'unknown' } })
        assert.equal(await refusalOf(providers.verify(unknown)), '503')
        assert.match(reasonOf(scene), reason)
        await providers.verify(token)
        // And where there were no keys yet, there are none.
        assert.equal(await refusalOf(fresh.providers.verify(token)), '503')
      } finally {
        idp.answer('/jwks', undefined)
      }
    })
  }

  test('a redirect within the origin is followed', async () => {
    idp.answer(discovery, (_request, response) =>
      response.end(JSON.stringify({ issuer: idp.issuer, jwks_uri: `${idp.issuer}/moved` })),
    )
    idp.answer('/moved', (_request, response) =>
      response.writeHead(307, { location: `${idp.issuer}/jwks` }).end(),
    )
    await sceneOf(idp).providers.verify(await idp.sign())
    idp.answer(discovery, undefined)
  })

  const documents: readonly (readonly [string, (issuer: string) => object, RegExp])[] = [
    ['another issuer', (issuer) => ({ issuer: `${issuer}/` }), /speaks for the issuer/],
    ['no issuer', () => ({}), /speaks for the issuer none/],
    ['no keys', (issuer) => ({ issuer }), /names no jwks_uri/],
    [
      'keys over plain HTTP',
      (issuer) => ({ issuer, jwks_uri: 'http://keys.test/jwks' }),
      /expected an https URL/,
    ],
    [
      'keys on this host over plain HTTP',
      (issuer) => ({ issuer, jwks_uri: 'http://127.0.0.1:1/jwks' }),
      /not https/,
    ],
    ['a file', (issuer) => ({ issuer, jwks_uri: 'file:///etc/passwd' }), /expected an https URL/],
  ]
  for (const [what, document, reason] of documents) {
    test(`a discovery document with ${what} is not believed`, async () => {
      idp.answer(discovery, (_request, response) =>
        response.end(JSON.stringify({ jwks_uri: undefined, ...document(idp.issuer) })),
      )
      const scene = sceneOf(idp)
      await firstRefresh(scene)
      idp.answer(discovery, undefined)
      assert.match(reasonOf(scene), reason)
      assert.equal(await refusalOf(scene.providers.verify(await idp.sign())), '503')
    })
  }

  test('a provider whose certificate is not trusted gives no keys', async () => {
    for (const serverCaBundle of [undefined, pki.clientCa.certificateFile, '/nowhere/ca.pem']) {
      const scene = sceneOf(idp, { serverCaBundle })
      await firstRefresh(scene)
      assert.match(reasonOf(scene), /certificate|ENOENT/)
      assert.equal(await refusalOf(scene.providers.verify(await idp.sign())), '503')
    }
  })

  test('jwks_uri is asked without discovery', async () => {
    const before = fetches(discovery)
    await sceneOf(idp, { jwksUri: `${idp.issuer}/jwks` }).providers.verify(await idp.sign())
    assert.equal(fetches(discovery), before)
  })

  test('a bearer token is read at each fetch and goes to the issuer alone', async () => {
    const bearerTokenFile = join(temporaryFolder(), 'token')
    writeFileSync(bearerTokenFile, 'first\n')
    const sent = (path: string): unknown => idp.lastHeaders.get(path)?.authorization
    const { providers } = sceneOf(idp, { bearerTokenFile })
    await providers.verify(await idp.sign())
    assert.deepEqual([sent(discovery), sent('/jwks')], ['Bearer first', 'Bearer first'])
    // Kubernetes answers nobody who does not ask for this type.
    assert.match(String(idp.lastHeaders.get('/jwks')?.accept), /application\/jwk-set\+json/)
    writeFileSync(bearerTokenFile, 'second')
    await idp.rotate()
    await providers.verify(await idp.sign())
    assert.deepEqual([sent(discovery), sent('/jwks')], ['Bearer second', 'Bearer second'])

    const keys = await startIdentityProvider(pki)
    after(() => keys.close())
    const jwksUri = `${keys.issuer}/jwks`
    await sceneOf(idp, { bearerTokenFile, jwksUri }).providers.verify(
      await idp.sign({ key: keys.key }),
    )
    assert.ok(keys.lastHeaders.has('/jwks'))
    assert.equal(keys.lastHeaders.get('/jwks')?.authorization, undefined)
  })

  test('a provider that wants a certificate is shown one', async () => {
    const wary = await startIdentityProvider(pki, { wantsCertificate: true })
    after(() => wary.close())
    const { bundleFile: clientCertificate, keyFile: clientPrivateKey } = pki.client
    const shown = sceneOf(wary, { clientCertificate, clientPrivateKey })
    await shown.providers.verify(await wary.sign())
    const bare = sceneOf(wary)
    assert.equal(await refusalOf(bare.providers.verify(await wary.sign())), '503')
  })

  test('a clock that differs from the provider is told', async () => {
    const scene = sceneOf(idp)
    await scene.providers.verify(await idp.sign())
    assert.equal(scene.providers.status().providers[0]?.clockOffsetMs, 0)
    assert.deepEqual(scene.warnings, [])
    idp.answer('/jwks', (_request, response) => {
      response.setHeader('date', new Date(Date.now() + 10 * minuteMs).toUTCString())
      response.end('{"keys":[]}')
    })
    const ahead = sceneOf(idp)
    await firstRefresh(ahead)
    idp.answer('/jwks', undefined)
    assert.match(String(ahead.warnings[0]?.message), /clock/)
    const offset = ahead.providers.status().providers[0]?.clockOffsetMs ?? 0
    assert.ok(offset > 9 * minuteMs && offset <= 10 * minuteMs, String(offset))
  })

  test('nothing that is logged holds a token', async () => {
    const bearerTokenFile = join(temporaryFolder(), 'token')
    writeFileSync(bearerTokenFile, 'very-secret')
    idp.answer(discovery, (_request, response) => void response.writeHead(401).end('very-secret'))
    const scene = sceneOf(idp, { bearerTokenFile })
    await firstRefresh(scene)
    idp.answer(discovery, undefined)
    assert.equal(readFileSync(bearerTokenFile, 'utf8'), 'very-secret')
    assert.equal(scene.warnings.length, 1)
    assert.doesNotMatch(JSON.stringify(scene.warnings), /very-secret/)
  })
})
