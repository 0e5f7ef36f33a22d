// What authentication knows of OpenID Connect: tokens of a provider go in, identities come out.

import type { Secret } from '../../config/secret.ts'
import type { Identity } from '../identity.ts'

/** The algorithms that a configuration may allow; `none` and HMAC are never among them. */
export const signatureAlgorithms = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384'] as const

export type SignatureAlgorithm = (typeof signatureAlgorithms)[number]

/** One `[auth.oidc.<name>]`. Files are paths, read at each fetch, since others renew them. */
export interface OidcConfig {
  readonly name: string
  /** Compared with `iss` character by character. */
  readonly issuer: string
  /** Undefined: what the issuer's discovery document says. */
  readonly jwksUri: string | undefined
  /** One of them must be in `aud`; undefined or empty: any token of the issuer is taken. */
  readonly requiredAudience: readonly string[] | undefined
  /** Names of claims that must be there. */
  readonly requiredClaims: readonly string[]
  readonly allowedAlgorithms: readonly SignatureAlgorithm[]
  readonly clockSkewToleranceMs: number
  readonly jwksRefreshIntervalMs: number
  /** How old a key set may serve when the provider is away. */
  readonly jwksMaxStaleMs: number
  /** For each request to the provider, from the connection to the last byte. */
  readonly httpTimeoutMs: number
  /** PEM; these CAs alone are trusted for the provider. Undefined: those of Node.js. */
  readonly serverCaBundle: string | undefined
  /** PEM, both or neither. */
  readonly clientCertificate: string | undefined
  readonly clientPrivateKey: string | undefined
  readonly clientPrivateKeyPassphrase: Secret | undefined
  /** Its content goes to the issuer's origin, and to no other, as a bearer token. */
  readonly bearerTokenFile: string | undefined
  /** Undefined: `preferred_username`, else `sub`. */
  readonly usernameClaim: string | undefined
  /** Undefined: no groups. */
  readonly groupsClaim: string | undefined
  /** Asked of each token whether it still counts; undefined: nobody is. Source: RFC 7662. */
  readonly introspectionUrl: string | undefined
  /** Shown there by HTTP Basic, both or neither. */
  readonly introspectionClientId: string | undefined
  readonly introspectionClientSecret: Secret | undefined
  /** How long its answer is believed. */
  readonly introspectionTtlMs: number
}

/** Why a token was refused: for the audit log, never for the client. */
export type TokenProblem =
  | 'malformed'
  | 'too-large'
  | 'unknown-issuer'
  | 'wrong-issuer'
  | 'wrong-audience'
  | 'wrong-type'
  | 'algorithm'
  | 'expired'
  | 'not-yet-valid'
  | 'missing-claim'
  | 'unfit-claim'
  | 'unknown-key'
  | 'unfit-key'
  | 'signature'
  /** The provider says that it does not count any more. */
  | 'inactive'

/** The `cause` of an UNAUTHORIZED of `verify`. */
export class TokenRefusal extends Error {
  override readonly name = 'TokenRefusal'
  readonly problem: TokenProblem
  /** Undefined where the token belongs to none. */
  readonly provider: string | undefined

  constructor(problem: TokenProblem, provider: string | undefined) {
    super(`the token is refused: ${problem}`)
    this.problem = problem
    this.provider = provider
  }
}

export interface VerifiedOidc {
  /** Its `authMethod` is `oidc`, its `username` begins with `<provider>:`. */
  readonly identity: Identity
  /** `exp`, wall clock, in ms since the epoch, without tolerance. */
  readonly expiresAtMs: number
  /** For how long that may be taken for granted, in ms; undefined: until it expires. */
  readonly goodForMs: number | undefined
  /** `jti`. */
  readonly tokenId: string | undefined
}

export interface OidcProviderStatus {
  readonly name: string
  /** Usable keys of the set in force. */
  readonly keys: number
  /** Undefined while there is no key set. */
  readonly keySetAgeMs: number | undefined
  /** Undefined before the first refresh has ended. */
  readonly isLastRefreshOk: boolean | undefined
  readonly refreshes: number
  readonly failedRefreshes: number
  /** By how much at least its clock was ahead of ours at the last refresh; undefined where it told no time. */
  readonly clockOffsetMs: number | undefined
  /** Tokens that the provider was asked about, and how often it gave no answer that could be used. */
  readonly introspections: number
  readonly failedIntrospections: number
}

export interface OidcStatus {
  readonly providers: readonly OidcProviderStatus[]
  /** How often the wall clock was seen to jump. */
  readonly clockJumps: number
}

export interface OidcProviders {
  /** User names that stand for a provider: Basic with such a name carries the token as its password. */
  readonly names: ReadonlySet<string>
  /**
   * `provider`: only that one; undefined: the one whose issuer the token names.
   * Errors: rejects with OciError UNAUTHORIZED (401), its cause a `TokenRefusal`, or UNAVAILABLE (503).
   */
  verify(token: string, provider?: string): Promise<VerifiedOidc>
  status(): OidcStatus
  /** Ends timers and requests under way. */
  close(): Promise<void>
}

/** A public key of a set: what of it is used, and nothing else. */
export type PublicJwk =
  | { readonly kty: 'RSA'; readonly n: string; readonly e: string }
  | {
      readonly kty: 'EC'
      readonly crv: 'P-256' | 'P-384'
      readonly x: string
      readonly y: string
    }

export interface SignatureTask {
  /** A JWS in compact form. */
  readonly token: string
  readonly algorithm: SignatureAlgorithm
  readonly jwk: PublicJwk
  /** Of the key: who imported it need not do so again. Source: RFC 7638. */
  readonly thumbprint: string
}

/** Errors: rejects with OciError UNAVAILABLE (503) where too many wait. */
export type VerifySignature = (task: SignatureTask) => Promise<boolean>

export interface OidcLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface OidcParts {
  /** The credentials pool. */
  readonly pool: { readonly verifySignature: VerifySignature }
  /** Wall clock, in ms since the epoch. */
  readonly now: () => number
  /** Monotonic, in ms. */
  readonly elapsed: () => number
  readonly log: OidcLog
  /** In [0, 1), for the jitter of refreshes; default Math.random. */
  readonly random?: () => number
}
