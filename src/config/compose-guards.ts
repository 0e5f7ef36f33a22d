// Who is asked beside the policies, and who is believed: what the keys mean together.
import type { CheckedTables } from './checked-tables.ts'
import { refuseHalfPair } from './client-files.ts'
import type {
  ForwardAuthConfig,
  GatewayConfig,
  LdapConfig,
  OpaConfig,
  SchemaValues,
  WebhookConfig,
} from './schema.ts'

/** What a directory needs is checked where the rest of it is known, in src/authenticate/ldap/check.ts. */
export function composeLdap(tables: CheckedTables): readonly LdapConfig[] {
  return tables.named('auth', 'ldap').map(({ name, values }) => {
    // readTables has checked the values against the rows that this type is derived from.
    return { ...(values as SchemaValues<'auth.ldap'>), name }
  })
}

/** Errors: refuses two ways to log in to it, and half a pair of keys. */
export function composeWebhooks(tables: CheckedTables): readonly WebhookConfig[] {
  return tables.named('auth', 'webhook').map(({ name, table, values }) => {
    // As above.
    const webhook = values as SchemaValues<'auth.webhook'>
    refuseHalfPair(tables, table, webhook)
    if ((webhook.username === undefined) !== (webhook.password === undefined)) {
      tables.refuse(table, undefined, 'expected both username and password, or none of them')
    }
    if (webhook.username !== undefined && webhook.bearerToken !== undefined) {
      tables.refuse(table, 'bearer_token', 'expected it or a username, not both')
    }
    webhook.forwardHeaders?.forEach((header) => {
      if (isHeaderName(header)) return
      const message = `expected names of headers; found ${JSON.stringify(header)}`
      tables.refuse(table, 'forward_headers', message)
    })
    return { ...webhook, name }
  })
}

/** Errors: refuses half a pair of keys, and a path that is none. */
export function composeOpas(tables: CheckedTables): readonly OpaConfig[] {
  return tables.named('auth', 'opa').map(({ name, table, values }) => {
    // As above.
    const opa = values as SchemaValues<'auth.opa'>
    refuseHalfPair(tables, table, opa)
    if (opa.path !== undefined && !/^[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+)*$/.test(opa.path)) {
      tables.refuse(table, 'path', 'expected the path of a document, such as keelson/allow')
    }
    return { ...opa, name }
  })
}

// Nobody must come to it by trying.
const secretLengthMin = 16

/** Errors: refuses a gateway that anybody could pretend to be. */
export function composeGateway(tables: CheckedTables): GatewayConfig | undefined {
  const table = 'auth.gateway'
  if (!tables.has(table)) return undefined
  const gateway = tables.values(table)
  if (gateway.sharedSecret === undefined && gateway.commonNames.length === 0) {
    const message =
      'expected shared_secret or common_names: an address alone does not show who is there'
    tables.refuse(table, undefined, message)
  }
  const secret = gateway.sharedSecret?.reveal()
  if (secret !== undefined && secret.length < secretLengthMin) {
    tables.refuse(table, 'shared_secret', `expected at least ${secretLengthMin} characters`)
  }
  if (gateway.proxies?.length === 0) {
    tables.refuse(table, 'proxies', 'expected at least one address or network')
  }
  for (const [key, name] of [
    ['header', gateway.header],
    ['groups_header', gateway.groupsHeader],
    ['secret_header', gateway.secretHeader],
  ] as const) {
    if (name === undefined || (isHeaderName(name) && !isTaken(name))) continue
    tables.refuse(table, key, `expected a header of its own; found ${JSON.stringify(name)}`)
  }
  return gateway
}

/** Errors: refuses a path that is none, or is one of the registry's own. */
export function composeForwardAuth(tables: CheckedTables): ForwardAuthConfig | undefined {
  const table = 'server.forward_auth'
  if (!tables.has(table)) return undefined
  const forward = tables.values(table)
  const { path, methodHeader, uriHeader, userHeader, groupsHeader } = forward
  if (!/^(\/[A-Za-z0-9._~-]+)+$/.test(path) || /^\/(v2|token)(\/|$)/.test(path)) {
    const message = `expected a path beside /v2 and /token, without a slash at its end; found ${JSON.stringify(path)}`
    tables.refuse(table, 'path', message)
  }
  if (forward.proxies?.length === 0) {
    tables.refuse(table, 'proxies', 'expected at least one address or network')
  }
  for (const [key, name] of [
    ['method_header', methodHeader],
    ['uri_header', uriHeader],
    ['user_header', userHeader],
    ['groups_header', groupsHeader],
  ] as const) {
    if (isHeaderName(name) && !isTaken(name)) continue
    tables.refuse(table, key, `expected a header of its own; found ${JSON.stringify(name)}`)
  }
  return forward
}

/** Errors: refuses the name of a webhook or an OPA that is not there. */
export function refuseUnknownGuards(
  tables: CheckedTables,
  table: string,
  chosen: { readonly authorizationWebhook?: unknown; readonly authorizationOpa?: unknown },
): void {
  for (const [key, name, kind] of [
    ['authorization_webhook', chosen.authorizationWebhook, 'webhook'],
    ['authorization_opa', chosen.authorizationOpa, 'opa'],
  ] as const) {
    if (typeof name !== 'string' || tables.written(['auth', kind, name]) !== undefined) continue
    const message = `expected the name of one of the tables [auth.${kind}.<name>]; found ${JSON.stringify(name)}`
    tables.refuse(table, key, message)
  }
}

// RFC 9110 §5.6.2.
function isHeaderName(name: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)
}

const taken = [
  'authorization',
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'cookie',
]

function isTaken(name: string): boolean {
  return taken.includes(name.toLowerCase())
}
