// Who may be behind a token, by the configuration in force.

import { hash } from 'node:crypto'
import type { BasicUser } from '../basic.ts'
import type { KnownUser, UserDirectory } from './contract.ts'

/** `providers`: the names of the OIDC providers, and of the LDAP directories with `ldap:` before them. */
export function createUserDirectory(
  users: readonly BasicUser[],
  providers: ReadonlySet<string>,
): UserDirectory {
  const byName = new Map(users.map((user) => [user.username, knownUser(user)]))
  return {
    find: (username) => byName.get(username),
    hasProvider: (name) => providers.has(name),
  }
}

function knownUser({ id, username, groups, passwordHash, expiresAtMs }: BasicUser): KnownUser {
  // Of a salted hash, and cut: it tells nothing of the password, even to who guesses at leisure.
  const version = hash('sha256', passwordHash).slice(0, 16)
  return { id, username, groups, version, expiresAtMs }
}
