// Checks of the users' passwords: which will end soon, and which are easier to guess than they need be.
import type { Finding, PasswordFacts } from './contract.ts'

const title = 'passwords'
const dayMs = 86_400_000
const warnBeforeMs = 14 * dayMs

export function checkPasswords({ nowMs, users }: PasswordFacts): readonly Finding[] {
  const findings: Finding[] = []
  for (const { username, expiresAtMs } of users) {
    if (expiresAtMs === undefined || expiresAtMs - nowMs > warnBeforeMs) continue
    const days = Math.ceil((expiresAtMs - nowMs) / dayMs)
    const detail =
      days <= 0
        ? `that of ${username} has expired and is refused`
        : `that of ${username} expires in ${days} day${days === 1 ? '' : 's'}`
    const remedy = 'hash a new one with keelson argon, and set password_expires'
    findings.push({ severity: 'warning', title, detail, remedy })
  }
  const old = users.filter(({ isBcrypt }) => isBcrypt).map(({ username }) => username)
  if (old.length > 0) {
    const named = old.slice(0, 5).join(', ') + (old.length > 5 ? ', …' : '')
    const detail = `${old.length} of ${users.length} are bcrypt hashes: ${named}`
    const remedy = 'they serve a migration: hash them anew with keelson argon'
    findings.push({ severity: 'warning', title, detail, remedy })
  }
  if (findings.length > 0) return findings
  return [{ severity: 'ok', title, detail: `${users.length} users, all argon2id`, remedy: '' }]
}
