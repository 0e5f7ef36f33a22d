// Who may log in: what the keys of the auth tables mean together. Hashes are checked where they are used.
import type { CheckedTables } from './checked-tables.ts'
import type { AuthConfig, IdentityConfig, SchemaValues } from './schema.ts'
import { dottedName } from './tables.ts'

/** Errors: refuses a user name that is there twice or holds a colon, which Basic cannot carry. */
export function composeAuth(tables: CheckedTables): AuthConfig {
  const { htpasswd } = tables.values('auth')
  return { identities: composeIdentities(tables), htpasswd }
}

function composeIdentities(tables: CheckedTables): readonly IdentityConfig[] {
  const owners = new Map<string, string>()
  return tables.children('auth', 'identity').map(({ path, values }) => {
    const id = path.at(-1) ?? ''
    const table = dottedName(path)
    // readTables has checked the values against the rows that this type is derived from.
    const { username, password, groups, passwordExpires } = values as SchemaValues<'auth.identity'>
    const owner = owners.get(username)
    if (owner !== undefined) {
      const message = `expected another name than that of ${owner}; found ${JSON.stringify(username)}`
      tables.refuse(table, 'username', message)
    }
    owners.set(username, table)
    // Where the key is missing, that was said already.
    if (username?.includes(':') === true) {
      tables.refuse(table, 'username', 'expected a name without a colon')
    }
    const place = tables.placeOf(table, 'password')
    return { id, username, password, groups, passwordExpires, place }
  })
}
