// Goal: other providers in place of these go on with the keys that these have, so that a reload while an
// issuer is away refuses nobody. Method: a provider that goes away between the two.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { OidcConfig, OidcParts } from '../../../src/authenticate/oidc/contract.ts'
import { openOidcProviders } from '../../../src/authenticate/oidc/open.ts'
import { OciError } from '../../../src/oci/error.ts'
import { verifyToken } from '../../../workers/verify-token.ts'
import { type IdentityProvider, startIdentityProvider } from '../../support/identity-provider.ts'
import { createPki, needsOpenssl } from '../../support/pki.ts'
import { oidcConfig, temporaryFolder } from './scene.ts'

const parts: OidcParts = {
  pool: { verifySignature: async (task) => verifyToken(task) },
  now: Date.now,
  elapsed: () => performance.now(),
  log: { info: () => undefined, warn: () => undefined },
  random: () => 0,
}

describe('providers that follow others', needsOpenssl, () => {
  let idp: IdentityProvider
  let config: OidcConfig
  let isClosed = false
  before(async () => {
    idp = await startIdentityProvider(await createPki(temporaryFolder()))
    config = oidcConfig(idp.issuer, { serverCaBundle: idp.caFile, name: 'idp' })
  })
  after(async () => {
    if (!isClosed) await idp.close()
  })

  test('know its keys while it is away, though other settings changed', async () => {
    const first = openOidcProviders([config], parts)
    const token = await idp.sign({ claims: { sub: 'job' } })
    await first.verify(token)
    await idp.close()
    isClosed = true
    const other = oidcConfig('https://another.example', { name: 'other', jwksMaxStaleMs: 1 })
    const second = openOidcProviders([{ ...config, requiredClaims: ['sub'] }, other], parts, first)
    await first.close(second)
    const { identity } = await second.verify(token)
    assert.equal(identity.oidc?.providerName, 'idp')

    // Another way to ask is another source, which has no keys yet.
    const third = openOidcProviders([{ ...config, httpTimeoutMs: 1234 }], parts, second)
    await second.close(third)
    await assert.rejects(
      third.verify(token),
      (error: unknown) => error instanceof OciError && error.status === 503,
    )
    await third.close()
  })
})
