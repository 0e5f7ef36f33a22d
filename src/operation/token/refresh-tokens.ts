// Refresh tokens: a login that is kept, for users with a password alone. An identity provider must be
// able to end what it vouched for, and an API key lasts by itself.

import type { KnownUser, UserDirectory } from '../../authenticate/token/contract.ts'
import {
  makeSecret,
  readSecret,
  secretBytes,
  secretId,
} from '../../authenticate/token/secret-text.ts'
import type { TokenStore } from '../../storage/metadata/token-store.ts'

export interface RefreshTokensOptions {
  readonly ttlMs: number
  readonly store: Pick<TokenStore, 'createRefreshToken' | 'readRefreshToken'>
  /** Before a read of what another process may have written. */
  readonly refresh: () => void
  readonly directory: UserDirectory
  /** Wall clock, in ms since the epoch. */
  readonly now: () => number
  readonly randomBytes: (size: number) => Uint8Array
}

export interface RefreshToken {
  readonly id: string
  readonly text: string
}

export type Renewal =
  | { readonly problem: undefined; readonly user: KnownUser; readonly token: RefreshToken }
  | { readonly problem: string; readonly id: string | null; readonly username: string | null }

// A client that logs in again and again does not know of those that it has.
const perUserMax = 64

export class RefreshTokens {
  readonly #options: RefreshTokensOptions

  constructor(options: RefreshTokensOptions) {
    this.#options = options
  }

  /** Durable when it resolves. Errors: StorageError. */
  async make(user: KnownUser): Promise<RefreshToken> {
    const { ttlMs, store, now, randomBytes } = this.#options
    const text = makeSecret('refresh-token', randomBytes(secretBytes))
    const secretSha256 = readSecret(text)?.sha256 ?? ''
    const id = secretId(secretSha256)
    const createdAtMs = now()
    const expiresAtMs = createdAtMs + ttlMs
    const { username, version: userVersion } = user
    await store.createRefreshToken(
      { id, secretSha256, username, userVersion, createdAtMs, expiresAtMs },
      perUserMax,
    )
    return { id, text }
  }

  /** It may be used again and again: the clients that have one do not take another. Errors: StorageError. */
  async use(text: string): Promise<Renewal> {
    const { directory, now, refresh, store } = this.#options
    const secret = readSecret(text)
    if (secret?.kind !== 'refresh-token') return refused('malformed')
    refresh()
    const stored = await store.readRefreshToken(secret.sha256)
    if (stored === undefined) return refused('unknown')
    const { id, username } = stored
    if (stored.expiresAtMs <= now()) return refused('expired', id, username)
    const user = directory.find(username)
    // Another password is a new beginning: what was kept under the old one ends.
    if (user?.version !== stored.userVersion) return refused('unknown-user', id, username)
    const { expiresAtMs = Number.POSITIVE_INFINITY } = user
    if (expiresAtMs <= now()) return refused('password-expired', id, username)
    return { problem: undefined, user, token: { id, text } }
  }
}

function refused(
  problem: string,
  id: string | null = null,
  username: string | null = null,
): Renewal {
  return { problem, id, username }
}
