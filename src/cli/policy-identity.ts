// The identity that `--as` and `--claims` describe, for `keelson policy test`.
import type { Identity } from '../authenticate/identity.ts'
import { nearestName } from '../config/hint.ts'

export interface Asked {
  readonly identity: Identity
  /** Undefined where `--as` has no `ip=`. */
  readonly clientIp: string | undefined
}

const keys = {
  user: 'the user name',
  id: 'the configured id',
  groups: 'a group; repeat it for more',
  cn: 'a CN of the certificate; repeat it for more',
  o: 'an O of the certificate; repeat it for more',
  dns: 'a DNS name of the certificate',
  uri: 'a URI of the certificate',
  email: 'a mail address of the certificate',
  serial: 'its serial number',
  fingerprint: 'its SHA-256',
  expires: 'when it expires, such as 2030-01-01T00:00:00Z',
  provider: 'the OIDC provider',
  ip: 'the address of the client',
} as const

type Key = keyof typeof keys
type Fields = Readonly<Record<Key, readonly string[]>>

const certificateKeys: readonly Key[] = [
  ...(['cn', 'o', 'dns', 'uri', 'email', 'serial', 'fingerprint', 'expires'] as const),
]

/** One line for each key that `--as` knows. */
export const identityHelp: string = Object.entries(keys)
  .map(([key, meaning]) => `  ${key.padEnd(12)}${meaning}`)
  .join('\n')

/**
 * `text` is `key=value,…`; a comma or backslash in a value has a backslash before it.
 * Errors: Error whose message says what was not understood.
 */
export function parseIdentity(text: string, claimsText: string | undefined): Asked {
  const fields = parseFields(text)
  const isCertified = certificateKeys.some((key) => fields[key].length > 0)
  const certificate = isCertified ? certificateOf(fields) : null
  const username = only(fields, 'user')
  const id = only(fields, 'id')
  const provider = only(fields, 'provider')
  const hasToken = provider !== undefined || claimsText !== undefined
  const isNamed = username !== undefined || id !== undefined || fields.groups.length > 0 || hasToken
  return {
    identity: {
      id: id ?? null,
      username: username ?? null,
      groups: fields.groups,
      certificate,
      oidc: hasToken ? { providerName: provider ?? '', claims: claimsOf(claimsText) } : null,
      authMethod: isNamed ? 'basic' : isCertified ? 'mtls' : 'anonymous',
      scopes: null,
      tokenId: null,
    },
    clientIp: only(fields, 'ip'),
  }
}

/** The identity in a few words. */
export function describeIdentity({ identity, clientIp }: Asked): string {
  const { username, groups, certificate, oidc } = identity
  const parts = [
    username ??
      (identity.authMethod === 'anonymous' ? 'anonymous' : 'a client without a user name'),
    groups.length > 0 ? `of ${groups.join(', ')}` : '',
    certificate === null ? '' : `with a certificate for ${subjectOf(certificate)}`,
    oidc === null ? '' : `with a token of ${oidc.providerName || 'a provider'}`,
    clientIp === undefined ? '' : `from ${clientIp}`,
  ]
  return parts.filter((part) => part !== '').join(' ')
}

type Certificate = NonNullable<Identity['certificate']>

function subjectOf({ commonNames, organizations }: Certificate): string {
  const names = [
    ...commonNames.map((name) => `CN=${name}`),
    ...organizations.map((name) => `O=${name}`),
  ]
  return names.join(', ') || 'no name'
}

function parseFields(text: string): Fields {
  const fields: Record<Key, string[]> = {
    ...{ user: [], id: [], groups: [], cn: [], o: [], dns: [], uri: [], email: [] },
    ...{ serial: [], fingerprint: [], expires: [], provider: [], ip: [] },
  }
  for (const part of splitAtCommas(text)) {
    const equals = part.indexOf('=')
    const key = part.slice(0, Math.max(equals, 0)).trim()
    if (equals === -1) throw new Error(`--as: expected key=value; found '${part}'`)
    if (!isKey(key)) {
      const nearest = nearestName(key, Object.keys(keys))
      const hint = nearest === undefined ? '' : `: did you mean '${nearest}'?`
      throw new Error(`--as: there is no '${key}'${hint}`)
    }
    const value = part.slice(equals + 1)
    if (value !== '') fields[key].push(value)
  }
  return fields
}

function isKey(key: string): key is Key {
  return Object.hasOwn(keys, key)
}

function splitAtCommas(text: string): readonly string[] {
  const parts: string[] = []
  let part = ''
  let isEscaped = false
  for (const character of text) {
    if (isEscaped) part += character
    else if (character === ',') parts.push(part)
    else if (character !== '\\') part += character
    if (character === ',' && !isEscaped) part = ''
    isEscaped = character === '\\' && !isEscaped
  }
  return [...parts, part].filter((each) => each.trim() !== '')
}

function only(fields: Fields, key: Key): string | undefined {
  const [value, surplus] = fields[key]
  if (surplus === undefined) return value
  throw new Error(`--as: there can be only one ${key}; found '${value}' and '${surplus}'`)
}

function certificateOf(fields: Fields): Certificate {
  const expires = only(fields, 'expires')
  const notAfterMs = expires === undefined ? Date.UTC(9999, 0, 1) : Date.parse(expires)
  if (Number.isNaN(notAfterMs)) throw new Error(`--as: expires='${expires}' is not a time`)
  return {
    commonNames: fields.cn,
    organizations: fields.o,
    sans: { dns: fields.dns, uri: fields.uri, email: fields.email },
    serial: only(fields, 'serial') ?? '0',
    fingerprintSha256: only(fields, 'fingerprint') ?? '0'.repeat(64),
    notAfterMs,
  }
}

function claimsOf(text: string | undefined): Readonly<Record<string, unknown>> {
  if (text === undefined) return {}
  const claims = parsedJson(text)
  if (typeof claims === 'object' && claims !== null && !Array.isArray(claims)) {
    return claims as Readonly<Record<string, unknown>>
  }
  throw new Error('--claims: expected a JSON object, such as {"role": "admin"}')
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
