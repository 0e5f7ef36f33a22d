// Puts the authenticator of a runtime together from what the configuration says.

import { OciError } from '../oci/error.ts'
import type { AuthCounts } from '../telemetry/auth-counts.ts'
import { Authenticator } from './authenticate.ts'
import { type BasicUser, BasicUsers, type PasswordSource, type VerifyPassword } from './basic.ts'
import { CredentialCache } from './credential-cache.ts'
import { Gateway, type GatewayConfig, type IgnoredHeader } from './gateway.ts'
import type { LoginEvent } from './login-event.ts'
import { createLoginMemory, type LoginMemory } from './login-memory.ts'
import type { OidcProviders } from './oidc/contract.ts'
import { RegistryTokenRefusal, type RegistryTokens } from './token/contract.ts'
import { ownUsername } from './token/registry-tokens.ts'

export interface AuthenticatorParts {
  readonly users: readonly BasicUser[]
  readonly verifyPassword: VerifyPassword
  /** Asked in this order about names that are none of `users`; default none. */
  readonly sources?: readonly PasswordSource[]
  /** Undefined where there are none. */
  readonly oidc: OidcProviders | undefined
  /** Undefined where there is neither a token service nor a store of API keys. */
  readonly tokens?: RegistryTokens
  /** Undefined where none is trusted. */
  readonly gateway?: GatewayConfig | undefined
  /** A header that named a user and did not come from a gateway; told at most once a minute. */
  readonly onGatewayHeaderIgnored?: (header: IgnoredHeader) => void
  readonly counts: AuthCounts
  /** Default: a new one. */
  readonly memory?: LoginMemory
  readonly onLogin: (event: LoginEvent) => void
  /** Wall clock, in ms. */
  readonly now: () => number
  /** Monotonic, in ms. */
  readonly elapsed: () => number
}

// About 200 bytes each.
const credentialsMax = 16_384

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
  const { users, verifyPassword, sources = [], oidc, tokens = noTokens } = parts
  const { counts, onLogin, now, elapsed } = parts
  const providers = oidc ?? noProviders
  const memory = parts.memory ?? createLoginMemory(elapsed)
  const { failures, failedTokens, keyPrefix } = memory
  return new Authenticator({
    basic: new BasicUsers({ users, verify: verifyPassword, sources, now }),
    cache: new CredentialCache({
      ...{ entriesMax: credentialsMax, now: elapsed, prefix: keyPrefix, counts: memory.cache },
    }),
    ...{ failures, failedTokens },
    gateway: createGateway(parts, providers),
    ...{ oidc: providers, tokens, counts, onLogin, now },
  })
}

function createGateway(
  { gateway: config, onGatewayHeaderIgnored, elapsed }: AuthenticatorParts,
  { names }: OidcProviders,
): Gateway | undefined {
  if (config === undefined) return undefined
  return new Gateway({
    ...{ config, elapsed },
    reservedPrefixes: [ownUsername(''), ...[...names].map((name) => `${name}:`)],
    onIgnored: (header) => onGatewayHeaderIgnored?.(header),
  })
}
