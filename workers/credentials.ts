// Password hashes, in threads of their own: a hash blocks its thread for as long as it takes.

import { hashSync, verifySync } from '@node-rs/argon2'
import bcrypt from 'bcryptjs'
import type { PasswordTask } from './password-task.ts'

// OWASP's first choice for argon2id, and the parameters that the documentation promises.
const parameters = { memoryCost: 19_456, timeCost: 2, parallelism: 1 }

/** False also for a hash that cannot be read. */
export function checkPassword({ passwordHash, password }: PasswordTask): boolean {
  try {
    if (passwordHash.startsWith('$argon2')) return verifySync(passwordHash, password)
    return bcrypt.compareSync(password, passwordHash)
  } catch {
    return false
  }
}

/** In PHC form, with a salt of 16 random bytes. */
export function hashPassword(password: string): string {
  return hashSync(password, parameters)
}

/** That the thread takes tasks, and could load what they need. */
export function ping(): boolean {
  return true
}
