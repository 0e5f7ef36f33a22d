// The users of the configuration and of its htpasswd file, their hashes checked.

import { readFileSync } from 'node:fs'
import type { ConfigProblem } from '../config/problem.ts'
import type { AuthConfig } from '../config/schema.ts'
import type { BasicUser } from './basic.ts'
import { hashProblem, parseHtpasswd } from './htpasswd.ts'

export interface LoadedUsers {
  readonly users: readonly BasicUser[]
  readonly problems: readonly ConfigProblem[]
}

const htpasswdBytesMax = 4 * 1024 * 1024

/** Reads the htpasswd file. Never throws: what cannot be read is one of the problems. */
export function loadUsers(auth: AuthConfig): LoadedUsers {
  const users: BasicUser[] = []
  const problems: ConfigProblem[] = []
  for (const identity of auth.identities) {
    const { id, username, groups, place } = identity
    const passwordHash = identity.password.reveal()
    const message = hashProblem(passwordHash)
    if (message === undefined) {
      users.push({ id, username, passwordHash, groups, expiresAtMs: identity.passwordExpires })
    } else problems.push({ ...place, key: `auth.identity.${id}.password`, message })
  }
  if (auth.htpasswd !== undefined) readHtpasswd(auth.htpasswd, users, problems)
  return { users, problems }
}

function readHtpasswd(file: string, users: BasicUser[], problems: ConfigProblem[]): void {
  const names = new Set(users.map(({ username }) => username))
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    const why = error instanceof Error ? error.message : 'unknown error'
    problems.push({ file, line: 1, key: '', message: `cannot be read: ${why}` })
    return
  }
  if (text.length > htpasswdBytesMax) {
    problems.push({ file, line: 1, key: '', message: `expected at most ${htpasswdBytesMax} bytes` })
    return
  }
  const parsed = parseHtpasswd(text)
  for (const { line, message } of parsed.problems) problems.push({ file, line, key: '', message })
  for (const user of parsed.users) {
    if (names.has(user.username)) {
      const message = `the user ${user.username} is an [auth.identity] too`
      problems.push({ file, line: 1, key: '', message })
    } else users.push(user)
  }
}
