// What the log is told of tokens: enough to revoke one and to ask why, never a token.

import type { AuthMethod } from '../../authenticate/identity.ts'

export interface TokenEvent {
  readonly result: 'issued' | 'refused'
  readonly grant: 'query' | 'password' | 'refresh-token'
  /** `jti`; null where none was issued. */
  readonly tokenId: string | null
  /** How who asks was known. */
  readonly method: AuthMethod
  readonly id: string | null
  readonly username: string | null
  readonly scopes: readonly string[]
  /** What the client calls itself. */
  readonly clientId: string | null
  /** Of the refresh token that was made or used. */
  readonly refreshId: string | null
  /** Why it was refused; null where it was not. */
  readonly reason: string | null
}

/** One call of the admin interface. */
export interface TokenAdminEvent {
  readonly call: 'create' | 'list' | 'revoke'
  readonly result: 'done' | 'refused'
  /** What was made or revoked, by its id or name; null where nothing was. */
  readonly subject: string | null
  readonly username: string | null
  readonly scopes: readonly string[]
  readonly reason: string | null
}
