// What a metadata backend keeps of credentials: API keys, revocations, refresh tokens, signing keys.

import type { MaybePromise } from './contract.ts'

export interface StoredApiKey {
  /** The first 16 hexadecimal digits of `secretSha256`. */
  readonly id: string
  readonly name: string
  /** The user that it stands for; absent for a key that stands for itself. */
  readonly username?: string
  /** Of its text: lower-case hexadecimal. The text itself is nowhere. */
  readonly secretSha256: string
  /** As `scopeText` of src/oci/scope.ts writes them. */
  readonly scopes: readonly string[]
  /** These three in ms since 1970. */
  readonly createdAtMs: number
  readonly expiresAtMs: number
  readonly revokedAtMs?: number
}

/** What was revoked, and when: the same on every host that hears of it. */
export interface Revocation {
  /** `api-key`: of another store, or one that this store has and lists as revoked. */
  readonly of: 'token' | 'user' | 'api-key'
  /** The `jti`, the name of the user, or the id of the key. */
  readonly subject: string
  /** Both in ms since 1970. */
  readonly atMs: number
  /** From then on nothing is left that it could refuse. */
  readonly forgetAtMs: number
}

export interface StoredRevocation extends Revocation {
  /** The state's revision that it made. */
  readonly revision: number
}

export interface StoredSigningKey {
  readonly kid: string
  /** PKCS #8, PEM. The store's files are its owner's alone. */
  readonly privateKey: string
  readonly createdAtMs: number
  /** Absent while it signs; then until the last token that it signed has ended. */
  readonly verifiesUntilMs?: number
}

export interface StoredRefreshToken {
  /** The first 16 hexadecimal digits of `secretSha256`. */
  readonly id: string
  readonly secretSha256: string
  readonly username: string
  /** What the user's password was known by when it was made. */
  readonly userVersion: string
  readonly createdAtMs: number
  readonly expiresAtMs: number
}

/** What authentication needs at hand. */
export interface StoredTokenState {
  readonly revision: number
  /** Revoked ones among them, and such as have ended but are not swept yet. */
  readonly apiKeys: readonly StoredApiKey[]
  readonly revocations: readonly StoredRevocation[]
  /** The one that signs is without `verifiesUntilMs`; there is at most one. */
  readonly signingKeys: readonly StoredSigningKey[]
}

/**
 * Credentials, part of the same store and under the same rules as `MetadataStore`. All writes are
 * durable, and each that changes a `StoredTokenState` makes its revision grow, so that other processes
 * see by one small read that they have to look again.
 * Contract: test/contract/metadata/tokens.ts.
 */
export interface TokenStore {
  /** 0 where nothing was ever written. */
  readTokenRevision(): MaybePromise<number>
  /** One snapshot. */
  readTokenState(): MaybePromise<StoredTokenState>

  /** `name-taken` by a key that is good at `createdAtMs`; `full` where there are `keysMax`. */
  createApiKey(key: StoredApiKey, keysMax: number): Promise<'created' | 'name-taken' | 'full'>
  /** False where there is none, or where it is revoked already. */
  revokeApiKey(id: string, nowMs: number): Promise<boolean>
  /** A token by its `jti`, known or not. `full` where there are `revocationsMax` of tokens. */
  revokeToken(
    tokenId: string,
    nowMs: number,
    forgetAtMs: number,
    revocationsMax: number,
  ): Promise<'revoked' | 'full'>
  /** Every token of the user so far: its API keys are revoked and its refresh tokens removed, too. */
  revokeUser(
    username: string,
    nowMs: number,
    forgetAtMs: number,
  ): Promise<{ readonly apiKeys: number; readonly refreshTokens: number }>
  /**
   * What other stores have revoked, of a user what was made up to `atMs`. Only ever adds: where the store
   * knows the same or a later one, nothing changes. `dropped` had no place among `countMax` of their kind.
   */
  applyRevocations(
    revocations: readonly Revocation[],
    countMax: number,
  ): Promise<{ readonly applied: number; readonly dropped: number }>

  /** `key` signs in place of `after` (absent: of none). False where another one signs by now. */
  putSigningKey(
    key: StoredSigningKey,
    after: { readonly kid: string; readonly verifiesUntilMs: number } | undefined,
  ): Promise<boolean>

  /** Beyond `perUserMax` the user's oldest ones make room. */
  createRefreshToken(token: StoredRefreshToken, perUserMax: number): Promise<void>
  readRefreshToken(secretSha256: string): MaybePromise<StoredRefreshToken | undefined>
  listRefreshTokens(): MaybePromise<StoredRefreshToken[]>
  /** By its id; false where there is none. */
  removeRefreshToken(id: string): Promise<boolean>

  /** Drop what has ended: refresh tokens, revocations, keys that verify no more, API keys 30 days on. */
  sweepTokens(nowMs: number): Promise<void>
}
