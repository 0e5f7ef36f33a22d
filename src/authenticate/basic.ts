// User name and password → the user. The hash is computed elsewhere, off this thread.

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

// The hash of a password that nobody has: an unknown user must take as long as a wrong password. With
// the parameters that `keelson argon` gives.
const nobodysHash =
  '$argon2id$v=19$m=19456,t=2,p=1$2nGXGkyVZjXbKzOrgNZS2Q$0P1MdUtYvNo5FTFBUPXEbjsO9FpXGpoFPOzXWwQIEBc'

export type BasicOutcome =
  | { readonly result: 'success'; readonly user: BasicUser }
  | { readonly result: 'unknown-user' | 'wrong-password' | 'expired' }

export class BasicUsers {
  readonly #byName: ReadonlyMap<string, BasicUser>
  readonly #verify: VerifyPassword
  readonly #now: () => number

  constructor(options: BasicUsersOptions) {
    this.#byName = new Map(options.users.map((user) => [user.username, user]))
    this.#verify = options.verify
    this.#now = options.now
  }

  get size(): number {
    return this.#byName.size
  }

  /** One hash, whoever is asked for. Errors: as `VerifyPassword`. */
  async check(username: string, password: string): Promise<BasicOutcome> {
    const user = this.#byName.get(username)
    const isRight = await this.#verify(user?.passwordHash ?? nobodysHash, password)
    if (user === undefined) return { result: 'unknown-user' }
    if (!isRight) return { result: 'wrong-password' }
    if (this.isExpired(user)) return { result: 'expired' }
    return { result: 'success', user }
  }

  isExpired(user: BasicUser): boolean {
    return user.expiresAtMs !== undefined && user.expiresAtMs <= this.#now()
  }
}
