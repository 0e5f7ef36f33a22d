// Registry tokens and API keys → who is behind them, and whether they still count.

import type { ClientCertificate } from '../../http/client-certificate.ts'
import { OciError } from '../../oci/error.ts'
import { challenge } from '../challenge.ts'
import { anonymous, type Identity } from '../identity.ts'
import { readClaims, type TokenBearer, type TokenContents } from './claims.ts'
import {
  type ActiveApiKey,
  type KnownUser,
  RegistryTokenRefusal,
  type RegistryTokens,
  type TokenKey,
  type TokenProblem,
  type TokenState,
  type UserDirectory,
  type UserRevocation,
  type VerifiedToken,
} from './contract.ts'
import { readToken, saysRegistryToken, tokenAlgorithm } from './jwt.ts'
import { looksLikeSecret, readSecret } from './secret-text.ts'

/** As the credentials pool has it. Errors: rejects with OciError UNAVAILABLE where too many wait. */
export type VerifyTokenSignature = (task: {
  readonly token: string
  readonly algorithm: 'ES256'
  readonly jwk: TokenKey['jwk']
  readonly thumbprint: string
}) => Promise<boolean>

export interface RegistryTokensOptions {
  /** The name of the token service; undefined where there is none. */
  readonly service: string | undefined
  readonly state: TokenState
  readonly directory: UserDirectory
  readonly verifySignature: VerifyTokenSignature
  /** Wall clock, in ms since the epoch. */
  readonly now: () => number
}

// Other hosts of the same service may be ahead by so much.
const clockSkewMs = 30_000
// What another host issued so shortly after a revocation, it may have issued before it heard of it.
const heardWithinMs = 5_000

export function createRegistryTokens(options: RegistryTokensOptions): RegistryTokens {
  return new Tokens(options)
}

class Tokens implements RegistryTokens {
  readonly #options: RegistryTokensOptions

  constructor(options: RegistryTokensOptions) {
    this.#options = options
  }

  get isUsed(): boolean {
    return this.#options.service !== undefined || this.#options.state.current.apiKeys.size > 0
  }

  recognises(credential: string): boolean {
    if (looksLikeSecret(credential)) return true
    return this.#options.service !== undefined && saysRegistryToken(credential)
  }

  verify(credential: string, username?: string): Promise<VerifiedToken> {
    return looksLikeSecret(credential)
      ? this.#verifyApiKey(credential, username)
      : this.#verifyToken(credential)
  }

  problem(
    verified: VerifiedToken,
    certificate: ClientCertificate | undefined,
  ): TokenProblem | undefined {
    const { apiKeyId, certificateSha256, identity, tokenId } = verified
    const { apiKeysById, origin, revokedTokens, revokedUsers } = this.#options.state.current
    const now = this.#options.now()
    if (verified.expiresAtMs <= now) return 'expired'
    if (apiKeyId !== undefined) {
      const key = apiKeysById.get(apiKeyId)
      if (key === undefined) return 'revoked'
      if (key.expiresAtMs <= now) return 'expired'
    }
    if (revokedTokens.has(tokenId)) return 'revoked'
    const revocation = identity.username === null ? undefined : revokedUsers.get(identity.username)
    if (revocation !== undefined && isBefore(verified, revocation, origin)) return 'revoked'
    const isBound = certificateSha256 !== undefined
    if (isBound && certificate?.fingerprintSha256 !== certificateSha256) return 'wrong-certificate'
    return undefined
  }

  refusal(problem: TokenProblem, tokenId?: string): OciError {
    return refusal(problem, tokenId)
  }

  async #verifyApiKey(text: string, username: string | undefined): Promise<VerifiedToken> {
    const secret = readSecret(text)
    if (secret?.kind !== 'api-key') throw refusal('malformed')
    const key = await this.#lookUp(({ apiKeys }) => apiKeys.get(secret.sha256))
    if (key === undefined) throw refusal('unknown-api-key')
    const isOwn = username === undefined || key.username === null || key.username === username
    if (!isOwn) throw refusal('wrong-user', key.id)
    const part = this.#partOfKey(key)
    if (part === undefined) throw refusal('unknown-user', key.id)
    const { id: tokenId, scopes } = key
    const authMethod = 'api-key'
    return {
      method: 'api-key',
      identity: Object.freeze({ ...anonymous, ...part, authMethod, scopes, tokenId }),
      expiresAtMs: key.expiresAtMs,
      tokenId,
      apiKeyId: tokenId,
      certificateSha256: undefined,
      revision: Number.POSITIVE_INFINITY,
      origin: undefined,
      issuedAtMs: Number.POSITIVE_INFINITY,
    }
  }

  async #verifyToken(token: string): Promise<VerifiedToken> {
    const { service, verifySignature, now } = this.#options
    if (service === undefined) throw refusal('malformed')
    const unverified = readToken(token)
    if (typeof unverified === 'string') throw refusal(unverified)
    const key = await this.#lookUp(({ keys }) => keys.get(unverified.kid))
    if (key === undefined) throw refusal('unknown-key')
    const { jwk, kid: thumbprint } = key
    const isSigned = await verifySignature({ token, algorithm: tokenAlgorithm, jwk, thumbprint })
    if (!isSigned) throw refusal('signature')
    const contents = readClaims(unverified.claims, service)
    if (typeof contents === 'string') throw refusal(contents)
    const { tokenId, bearer } = contents
    if (contents.issuedAt * 1000 - clockSkewMs > now()) throw refusal('not-yet-valid', tokenId)
    const identity = this.#identityOf(contents)
    if (typeof identity === 'string') throw refusal(identity, tokenId)
    return {
      method: 'token',
      identity,
      expiresAtMs: contents.expiresAt * 1000,
      tokenId,
      apiKeyId: bearer.kind === 'api-key' ? bearer.id : undefined,
      certificateSha256: contents.certificateSha256,
      revision: contents.revision,
      origin: contents.origin,
      issuedAtMs: contents.issuedAt * 1000,
    }
  }

  #identityOf({ bearer, scopes, tokenId }: TokenContents): Identity | TokenProblem {
    const part = this.#partOf(bearer)
    if (typeof part === 'string') return part
    // Who did not say who they are is as anonymous with a token as without.
    const authMethod = bearer.kind === 'anonymous' ? 'anonymous' : 'token'
    return Object.freeze({ ...anonymous, ...part, authMethod, scopes, tokenId })
  }

  #partOf(bearer: TokenBearer): Partial<Identity> | TokenProblem {
    const { directory, state } = this.#options
    switch (bearer.kind) {
      case 'anonymous':
        return {}
      case 'user': {
        const user = directory.find(bearer.username)
        return user?.version === bearer.version ? partOfUser(user) : 'unknown-user'
      }
      case 'api-key': {
        const key = state.current.apiKeysById.get(bearer.id)
        return key === undefined ? 'revoked' : (this.#partOfKey(key) ?? 'unknown-user')
      }
      case 'ldap': {
        const { id, username, groups } = bearer
        if (!directory.hasProvider(id)) return 'unknown-provider'
        // The name may have become that of a user of the configuration.
        return directory.find(username) === undefined ? { id, username, groups } : 'unknown-user'
      }
      case 'oidc': {
        const { username, groups, provider: providerName, claims } = bearer
        if (!directory.hasProvider(providerName)) return 'unknown-provider'
        return { username, groups, oidc: Object.freeze({ providerName, claims }) }
      }
    }
  }

  /** Undefined where the user that it stands for is not there any more. */
  #partOfKey(key: ActiveApiKey): Partial<Identity> | undefined {
    if (key.username === null) return { id: key.id, username: ownUsername(key.name) }
    const user = this.#options.directory.find(key.username)
    return user === undefined ? undefined : partOfUser(user)
  }

  async #lookUp<T>(
    find: (snapshot: TokenState['current']) => T | undefined,
  ): Promise<T | undefined> {
    const { state } = this.#options
    const known = find(state.current)
    if (known !== undefined) return known
    // Another process may have made it just now.
    await state.refresh()
    return find(state.current)
  }
}

function isBefore(
  { revision, origin, issuedAtMs }: VerifiedToken,
  revocation: UserRevocation,
  ownOrigin: string | undefined,
): boolean {
  // Another store counts revisions of its own: its tokens are told by the time alone.
  const isOwn = origin === undefined || origin === ownOrigin
  if (!isOwn) return issuedAtMs < revocation.atMs + heardWithinMs
  // The revision is exact; the time catches what a store of an older day, restored, cannot tell.
  return revocation.revision > revision || issuedAtMs + 1000 <= revocation.atMs
}

function partOfUser({ id, username, groups }: KnownUser): Partial<Identity> {
  return { id, username, groups }
}

/** The user name of an API key that stands for itself. No other method gives a name of this form. */
export function ownUsername(name: string): string {
  return `key:${name}`
}

function refusal(problem: TokenProblem, tokenId?: string): OciError {
  const cause = new RegistryTokenRefusal(problem, tokenId)
  return new OciError('UNAUTHORIZED', {
    message: 'the token is not valid',
    headers: [challenge],
    cause,
  })
}
