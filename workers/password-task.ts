// The treaty with the credentials threads.

export interface PasswordTask {
  /** Argon2 in PHC form, or bcrypt. */
  readonly passwordHash: string
  readonly password: string
}
