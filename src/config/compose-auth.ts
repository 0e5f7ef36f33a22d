// Who may log in: what the keys of the auth tables mean together. Hashes are checked where they are used.
import type { CheckedTables } from './checked-tables.ts'
import { refuseHalfPair } from './client-files.ts'
import { composeGateway, composeLdap, composeOpas, composeWebhooks } from './compose-guards.ts'
import type {
  AuthConfig,
  IdentityConfig,
  OidcProviderConfig,
  SchemaValues,
  TokenServiceConfig,
} from './schema.ts'
import { dottedName } from './tables.ts'

/** Errors: refuses a user name that is there twice or holds a colon, which Basic cannot carry. */
export function composeAuth(tables: CheckedTables): AuthConfig {
  const { htpasswd } = tables.values('auth')
  const identities = composeIdentities(tables)
  const oidc = composeOidc(tables)
  for (const { name } of oidc) {
    const taken = identities.find(({ username }) => username === name)
    if (taken === undefined) continue
    const message = `expected another name than that of the provider auth.oidc.${name}, which stands for its tokens`
    tables.refuse(dottedName(['auth', 'identity', taken.id]), 'username', message)
  }
  return {
    ...{ identities, oidc, htpasswd, tokenService: composeTokenService(tables) },
    ldap: composeLdap(tables),
    webhooks: composeWebhooks(tables),
    opas: composeOpas(tables),
    gateway: composeGateway(tables),
  }
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

function composeOidc(tables: CheckedTables): readonly OidcProviderConfig[] {
  return tables.named('auth', 'oidc').map(({ name, table, values }) => {
    // readTables has checked the values against the rows that this type is derived from.
    const provider = values as SchemaValues<'auth.oidc'>
    // The user names of API keys begin so.
    if (name === 'key') tables.refuse(table, undefined, 'expected another name than key')
    refuseHalfPair(tables, table, provider)
    const { introspectionUrl, introspectionClientId, introspectionClientSecret } = provider
    const given = [introspectionUrl, introspectionClientId, introspectionClientSecret]
    if (given.some((each) => each === undefined) && given.some((each) => each !== undefined)) {
      const message =
        'expected introspection_url, introspection_client_id and introspection_client_secret, or none of them'
      tables.refuse(table, undefined, message)
    }
    return { name, ...provider }
  })
}

function composeTokenService(tables: CheckedTables): TokenServiceConfig | undefined {
  if (!tables.has('auth.token_service')) return undefined
  const values = tables.values('auth.token_service')
  const { externalUrl } = tables.values('server')
  const realm = values.realm ?? (externalUrl && `${externalUrl}/token`)
  const service = values.service ?? (externalUrl ? new URL(externalUrl).host : 'keelson')
  if (values.realm !== undefined && !/^https?:\/\/[^/]/.test(values.realm)) {
    tables.refuse('auth.token_service', 'realm', 'expected an http:// or https:// URL')
  }
  for (const [key, text] of [['realm', realm] as const, ['service', service] as const]) {
    if (text === undefined || /^[^"\\\s]{1,512}$/.test(text)) continue
    const message =
      'expected neither quotes, backslashes nor spaces, which a challenge cannot carry'
    tables.refuse('auth.token_service', key, message)
  }
  return { ...values, realm, service }
}
