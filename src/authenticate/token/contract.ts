// What authentication knows of this registry's own credentials: its tokens and its API keys. It reads a
// snapshot of what was issued and revoked, and never the store.

import type { ClientCertificate } from '../../http/client-certificate.ts'
import type { OciError } from '../../oci/error.ts'
import type { Scope } from '../../oci/scope.ts'
import type { Action } from '../../route/action.ts'
import type { Identity } from '../identity.ts'

/** `[auth.token_service]`, which stands for a token service where it is given. */
export interface TokenServiceConfig {
  /** Absolute URL that clients fetch tokens from; undefined: `/token` at the host that they asked. */
  readonly realm: string | undefined
  /** Names this registry in challenges and tokens; printable ASCII without `"` and `\`. */
  readonly service: string
  /** How long a token is good for, in ms: 60 s to 24 h. */
  readonly ttlMs: number
  /** How long a refresh token is good for, in ms. */
  readonly refreshTtlMs: number
  /** How long a generated key signs, in ms. */
  readonly keyRotationMs: number
  /** PEM files of P-256 private keys: the first signs, all verify. Empty: generated, in the store. */
  readonly keyFiles: readonly string[]
}

/** No token lives longer: what is kept because of one can be dropped after it. */
export const tokenTtlMaxMs: number = 24 * 60 * 60_000

/** Why a credential was refused: for the audit log, never for the client. */
export type TokenProblem =
  | 'malformed'
  | 'too-large'
  | 'algorithm'
  | 'wrong-type'
  | 'unknown-key'
  | 'signature'
  | 'unfit-claim'
  | 'wrong-issuer'
  | 'wrong-audience'
  | 'expired'
  | 'not-yet-valid'
  | 'wrong-certificate'
  | 'revoked'
  | 'unknown-user'
  | 'unknown-provider'
  | 'unknown-api-key'
  | 'wrong-user'

/** The `cause` of an UNAUTHORIZED of `RegistryTokens`. */
export class RegistryTokenRefusal extends Error {
  override readonly name = 'RegistryTokenRefusal'
  readonly problem: TokenProblem
  /** `jti`, or the id of an API key; undefined where the credential says none that can be believed. */
  readonly tokenId: string | undefined

  constructor(problem: TokenProblem, tokenId?: string) {
    super(`the credential is refused: ${problem}`)
    this.problem = problem
    this.tokenId = tokenId
  }
}

/** A public key that verifies tokens. Source: RFC 7517, RFC 7518 §6.2. */
export interface TokenKey {
  /** Thumbprint of the key. Source: RFC 7638. */
  readonly kid: string
  readonly jwk: {
    readonly kty: 'EC'
    readonly crv: 'P-256'
    readonly x: string
    readonly y: string
  }
}

export interface ActiveApiKey {
  readonly id: string
  readonly name: string
  /** The user that it stands for; null for a key that stands for itself. */
  readonly username: string | null
  readonly scopes: readonly Scope[]
  /** In ms since the epoch. */
  readonly expiresAtMs: number
}

export interface UserRevocation {
  /** The state's revision that it made: tokens of an earlier one are refused. */
  readonly revision: number
  /** In ms since the epoch: tokens issued before are refused as well. */
  readonly atMs: number
}

/** What was issued and revoked, at one moment. Immutable. */
export interface TokenSnapshot {
  /** Grows with every change; tokens carry that of their issuance. */
  readonly revision: number
  /** Names the store that counts the revisions; undefined without a token service. */
  readonly origin: string | undefined
  /** By the SHA-256 of their text; no revoked one is among them. */
  readonly apiKeys: ReadonlyMap<string, ActiveApiKey>
  readonly apiKeysById: ReadonlyMap<string, ActiveApiKey>
  /** By `jti`. */
  readonly revokedTokens: ReadonlySet<string>
  readonly revokedUsers: ReadonlyMap<string, UserRevocation>
  /** By `kid`. */
  readonly keys: ReadonlyMap<string, TokenKey>
}

/** Where snapshots come from. */
export interface TokenState {
  readonly current: TokenSnapshot
  /**
   * Look whether another process has changed the state: for a credential that the snapshot does not
   * know. Cheap where nothing has changed. Errors: StorageError 'unavailable', 'corrupt'.
   */
  refresh(): Promise<void>
}

/** A user with a password, for the credentials that stand for one. */
export interface KnownUser {
  readonly id: string
  readonly username: string
  readonly groups: readonly string[]
  /** Changes with the password: what was issued for another one is refused. */
  readonly version: string
  readonly expiresAtMs: number | undefined
}

/** Who may be behind a token at this moment, by the configuration. */
export interface UserDirectory {
  find(username: string): KnownUser | undefined
  /** An OIDC provider by its name, or an LDAP directory by `ldap:` and its name. */
  hasProvider(name: string): boolean
}

/** A credential that was good when it was verified; `RegistryTokens.problem` says whether it still is. */
export interface VerifiedToken {
  readonly method: 'token' | 'api-key'
  /** Frozen, and one object for one credential. */
  readonly identity: Identity
  readonly expiresAtMs: number
  /** `jti`, or the id of the API key. */
  readonly tokenId: string
  /** The API key that it is, or that the token was issued for. */
  readonly apiKeyId: string | undefined
  /** The client certificate that it is bound to: SHA-256 of its DER form, as the certificate has it. */
  readonly certificateSha256: string | undefined
  /** Of the state when it was issued; Infinity for an API key, which is looked up itself. */
  readonly revision: number
  /** Of the state that counts the revision; undefined: this one. */
  readonly origin: string | undefined
  readonly issuedAtMs: number
}

export interface RegistryTokens {
  /** Whether anybody could log in with one: a token service runs, or there are API keys. */
  readonly isUsed: boolean
  /** Whether a Bearer credential or a Basic password is of the registry's own making, by its form. */
  recognises(credential: string): boolean
  /**
   * For Basic, `username` is the one beside the API key: that of its user, or any where it has none.
   * Only what never changes is checked; then ask `problem`, for this request and for each later one.
   * Errors: rejects with OciError UNAUTHORIZED (401), its cause a `RegistryTokenRefusal`, UNAVAILABLE
   * (503) where too many wait; StorageError.
   */
  verify(credential: string, username?: string): Promise<VerifiedToken>
  /** Undefined while the credential is good: not ended, not revoked, shown with its certificate. */
  problem(
    verified: VerifiedToken,
    certificate: ClientCertificate | undefined,
  ): TokenProblem | undefined
  /** The refusal of a credential with this problem. */
  refusal(problem: TokenProblem, tokenId?: string): OciError
}

/** The `cause` of the refusal of a token that is good, but not for this. */
export class InsufficientScope extends Error {
  override readonly name = 'InsufficientScope'

  constructor() {
    super('the token is not for this')
  }
}

/** `invalid_token`: it is not good any more; `insufficient_scope`: it is, for less. Source: RFC 6750 §3.1. */
export type ChallengeError = 'invalid_token' | 'insufficient_scope'

export interface Challenges {
  /** Whether they send clients for tokens. */
  readonly areForTokens: boolean
  /**
   * The value of WWW-Authenticate: Basic without a token service and at the token service itself.
   * `origin` is how the client reaches this server, such as `https://registry.example.com:5000`; asked
   * only where the configuration does not say.
   */
  challengeFor(
    action: Action | undefined,
    origin: () => string | undefined,
    error?: ChallengeError,
  ): string
}
