// User name and password → the user. The hash is computed elsewhere, off this thread.

import { hash, randomBytes } from 'node:crypto'

/** One `[auth.identity.<id>]`. */
export interface BasicUser {
  readonly id: string
  readonly username: string
  /** Argon2id in PHC form, or bcrypt. */
  readonly passwordHash: string
  readonly groups: readonly string[]
  /** In ms since the epoch; refused from then on. */
  readonly expiresAtMs: number | undefined
}

/** Errors: rejects with OciError UNAVAILABLE (503) where too many wait. */
export type VerifyPassword = (passwordHash: string, password: string) => Promise<boolean>

/** Whoever the password was right for. */
export interface LoginUser {
  readonly id: string
  /** As who keeps the user writes it, which need not be how it was typed. */
  readonly username: string
  readonly groups: readonly string[]
  /** In ms since the epoch; undefined where nothing ends the login but the cache. */
  readonly expiresAtMs: number | undefined
  readonly authMethod: 'basic' | 'ldap'
}

/**
 * `unknown-user`: another source may know the name. `refused`: the account may not log in now, whatever
 * the password. `unfit-user`: there is something about it that policies could not judge.
 */
export type LoginProblem = 'unknown-user' | 'wrong-password' | 'expired' | 'refused' | 'unfit-user'

export type LoginOutcome =
  | { readonly result: 'success'; readonly user: LoginUser }
  | { readonly result: LoginProblem }

/** Others who know users with passwords. */
export interface PasswordSource {
  /** Errors: rejects with OciError UNAVAILABLE (503) where it cannot say. */
  check(username: string, password: string): Promise<LoginOutcome>
}

export interface BasicUsersOptions {
  readonly users: readonly BasicUser[]
  readonly verify: VerifyPassword
  /** Asked in this order about names that are none of `users`; default none. */
  readonly sources?: readonly PasswordSource[]
  /** Wall clock, in ms. */
  readonly now: () => number
}

// The hash of a password that nobody has, where there is no user to take one of.
const nobodysHash =
  '$argon2id$v=19$m=19456,t=2,p=1$2nGXGkyVZjXbKzOrgNZS2Q$0P1MdUtYvNo5FTFBUPXEbjsO9FpXGpoFPOzXWwQIEBc'

export class BasicUsers {
  readonly #byName: ReadonlyMap<string, BasicUser>
  readonly #verify: VerifyPassword
  readonly #sources: readonly PasswordSource[]
  readonly #folded: ReadonlySet<string>
  readonly #now: () => number
  readonly #secret = randomBytes(32).toString('latin1')
  readonly #hashes: readonly string[]

  constructor(options: BasicUsersOptions) {
    this.#byName = new Map(options.users.map((user) => [user.username, user]))
    this.#verify = options.verify
    this.#sources = options.sources ?? []
    this.#folded = new Set(options.users.map(({ username }) => foldedUsername(username)))
    this.#now = options.now
    this.#hashes = options.users.map(({ passwordHash }) => passwordHash)
  }

  /** Users of the configuration, and sources that may know more. */
  get size(): number {
    return this.#byName.size + this.#sources.length
  }

  /**
   * By what name guesses are counted: a directory takes many ways to write one for the same, and must
   * not be guessed at in each of them anew.
   */
  countedName(username: string): string {
    return this.#byName.has(username) ? username : foldedUsername(username)
  }

  /**
   * One hash, whoever is asked for. A user of the configuration is never asked for elsewhere, and no
   * source has a user of that name, however it is written. Errors: as `VerifyPassword` and `PasswordSource`.
   */
  async check(username: string, password: string): Promise<LoginOutcome> {
    const user = this.#byName.get(username)
    if (user === undefined) return this.#checkOthers(username, password)
    if (!(await this.#verify(user.passwordHash, password))) return { result: 'wrong-password' }
    if (this.isExpired(user)) return { result: 'expired' }
    const { id, groups, expiresAtMs } = user
    return { result: 'success', user: { id, username, groups, expiresAtMs, authMethod: 'basic' } }
  }

  // The hash is for its time alone: names of the configuration and others shall differ in as little as
  // possible. Where there are none of the former, there is nothing to hide.
  async #checkOthers(username: string, password: string): Promise<LoginOutcome> {
    const isHashed = this.#byName.size > 0 || this.#sources.length === 0
    const hashing = isHashed ? this.#verify(this.#hashFor(username), password) : undefined
    const [hashed, asked] = await Promise.allSettled([hashing, this.#ask(username, password)])
    if (hashed.status === 'rejected') throw hashed.reason
    if (asked.status === 'rejected') throw asked.reason
    return asked.value
  }

  // The first source that knows the name decides. One that cannot say must not hand the name on to the
  // next, where it could be another's.
  async #ask(username: string, password: string): Promise<LoginOutcome> {
    for (const [index, source] of this.#sources.entries()) {
      const outcome = await source.check(username, password)
      if (outcome.result === 'unknown-user') continue
      if (outcome.result !== 'success') return outcome
      const { user } = outcome
      const name = foldedUsername(user.username)
      // Else it could be a user whom an earlier source knows by the name that is not the typed one.
      const isTyped = index === 0 || name === foldedUsername(username)
      const isOwn = isTyped && !this.#folded.has(name)
      return isOwn ? outcome : { result: 'unfit-user' }
    }
    return { result: 'unknown-user' }
  }

  // Hashes differ in what they cost. An unknown name gets the hash of some user, always the same one, so
  // that it takes as long as a user could; what the hash says of the password is not asked.
  #hashFor(username: string): string {
    const digest = hash('sha256', this.#secret + username, 'hex')
    const index = Number.parseInt(digest.slice(0, 8), 16) % Math.max(1, this.#hashes.length)
    return this.#hashes[index] ?? nobodysHash
  }

  isExpired(user: BasicUser): boolean {
    return user.expiresAtMs !== undefined && user.expiresAtMs <= this.#now()
  }
}

/** One text for all the ways to write a name, or nearly. Source: RFC 4518 §2. */
export function foldedUsername(username: string): string {
  const folded = username.normalize('NFKC').toLowerCase().normalize('NFKC')
  return folded.replaceAll(/\s+/g, ' ').trim()
}
