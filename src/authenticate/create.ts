// Puts the authenticator of a runtime together from what the configuration says.

import { OciError } from '../oci/error.ts'
import type { AuthCounts } from '../telemetry/auth-counts.ts'
import { Authenticator, type LoginEvent } from './authenticate.ts'
import { type BasicUser, BasicUsers, type VerifyPassword } from './basic.ts'
import { CredentialCache } from './credential-cache.ts'
import { FailedLogins } from './failed-logins.ts'
import type { OidcProviders } from './oidc/contract.ts'
import { RegistryTokenRefusal, type RegistryTokens } from './token/contract.ts'

export interface AuthenticatorParts {
  readonly users: readonly BasicUser[]
  readonly verifyPassword: VerifyPassword
  /** Undefined where there are none. */
  readonly oidc: OidcProviders | undefined
  /** Undefined where there is neither a token service nor a store of API keys. */
  readonly tokens?: RegistryTokens
  readonly counts: AuthCounts
  readonly onLogin: (event: LoginEvent) => void
  /** Wall clock, in ms. */
  readonly now: () => number
  /** Monotonic, in ms. */
  readonly elapsed: () => number
}

// About 200 bytes each.
const credentialsMax = 16_384
const guessersMax = 16_384

const noProviders: OidcProviders = {
  names: new Set(),
  verify: () => Promise.reject(new OciError('UNAUTHORIZED')),
  status: () => ({ providers: [], clockJumps: 0 }),
  close: () => Promise.resolve(),
}

const noTokens: RegistryTokens = {
  isUsed: false,
  recognises: () => false,
  verify: () => Promise.reject(new OciError('UNAUTHORIZED')),
  problem: () => 'malformed',
  refusal: (problem, tokenId) =>
    new OciError('UNAUTHORIZED', { cause: new RegistryTokenRefusal(problem, tokenId) }),
}

export function createAuthenticator(parts: AuthenticatorParts): Authenticator {
  const { users, verifyPassword, oidc, tokens = noTokens, counts, onLogin, now, elapsed } = parts
  return new Authenticator({
    basic: new BasicUsers({ users, verify: verifyPassword, now }),
    cache: new CredentialCache({ entriesMax: credentialsMax, now: elapsed }),
    failures: new FailedLogins({ entriesMax: guessersMax, now: elapsed }),
    ...{ oidc: oidc ?? noProviders, tokens, counts, onLogin, now },
  })
}
