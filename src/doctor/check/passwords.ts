// Checks of the users' passwords: which will end soon, and which are easier to guess than they need be.
import type { Finding } from '../contract.ts'
import { sayingsOf } from '../finding.ts'
import { counted, some } from '../wording.ts'

export interface PasswordFacts {
  readonly nowMs: number
  readonly users: ReadonlyArray<{
    readonly username: string
    readonly isBcrypt: boolean
    readonly expiresAtMs: number | undefined
  }>
}

export const passwordRows = {
  passwords: {
    title: 'passwords',
    why: 'a password that ends stops whoever uses it, and bcrypt is guessed faster than argon2id',
    link: 'docs/doctor.md#logins-and-policies',
    warning: 'one has ended, or ends within 14 days',
    advice: 'bcrypt hashes',
  },
} as const

const say = sayingsOf(passwordRows)
const dayMs = 86_400_000
const warnBeforeMs = 14 * dayMs

export function checkPasswords({ nowMs, users }: PasswordFacts): readonly Finding[] {
  if (users.length === 0) return []
  const findings: Finding[] = []
  const command = 'keelson argon'
  for (const { username, expiresAtMs } of users) {
    if (expiresAtMs === undefined || expiresAtMs - nowMs > warnBeforeMs) continue
    const days = Math.ceil((expiresAtMs - nowMs) / dayMs)
    const detail =
      days <= 0
        ? `that of ${username} has expired and is refused`
        : `that of ${username} expires in ${counted(days, 'day')}`
    const remedy = 'hash a new one, and set password_expires'
    findings.push(say.warning('passwords', detail, { remedy, command }))
  }
  const old = users.filter(({ isBcrypt }) => isBcrypt).map(({ username }) => username)
  if (old.length > 0) {
    const detail = `${old.length} of ${users.length} are bcrypt hashes: ${some(old)}`
    const remedy = 'they serve a migration: hash them anew'
    findings.push(say.advice('passwords', detail, { remedy, command }))
  }
  if (findings.length > 0) return findings
  return [say.ok('passwords', `${users.length} users, all argon2id`)]
}
