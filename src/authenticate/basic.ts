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

export interface BasicUsersOptions {
  readonly users: readonly BasicUser[]
  readonly verify: VerifyPassword
  /** Wall clock, in ms. */
  readonly now: () => number
}

// The hash of a password that nobody has, where there is no user to take one of.
const nobodysHash =
  '$argon2id$v=19$m=19456,t=2,p=1$2nGXGkyVZjXbKzOrgNZS2Q$0P1MdUtYvNo5FTFBUPXEbjsO9FpXGpoFPOzXWwQIEBc'

export type BasicOutcome =
  | { readonly result: 'success'; readonly user: BasicUser }
  | { readonly result: 'unknown-user' | 'wrong-password' | 'expired' }

export class BasicUsers {
  readonly #byName: ReadonlyMap<string, BasicUser>
  readonly #verify: VerifyPassword
  readonly #now: () => number
  readonly #secret = randomBytes(32).toString('latin1')
  readonly #hashes: readonly string[]

  constructor(options: BasicUsersOptions) {
    this.#byName = new Map(options.users.map((user) => [user.username, user]))
    this.#verify = options.verify
    this.#now = options.now
    this.#hashes = options.users.map(({ passwordHash }) => passwordHash)
  }

  get size(): number {
    return this.#byName.size
  }

  /** One hash, whoever is asked for. Errors: as `VerifyPassword`. */
  async check(username: string, password: string): Promise<BasicOutcome> {
    const user = this.#byName.get(username)
    const isRight = await this.#verify(user?.passwordHash ?? this.#hashFor(username), password)
    if (user === undefined) return { result: 'unknown-user' }
    if (!isRight) return { result: 'wrong-password' }
    if (this.isExpired(user)) return { result: 'expired' }
    return { result: 'success', user }
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
