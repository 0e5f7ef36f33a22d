// A JWT's parts, read but not yet believed.

import { parseStrictJson } from '../../oci/strict-json.ts'
import { refuse } from './refusal.ts'

export type Claims = Readonly<Record<string, unknown>>

export interface UnverifiedToken {
  readonly token: string
  readonly algorithm: string
  readonly keyId: string
  readonly claims: Claims
}

// Larger ones would not fit the headers of most clients either.
const tokenLengthMax = 16_384
const compactForm = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/
// One of another type, such as a logout token, is signed with the same key but says who leaves.
const types: ReadonlySet<unknown> = new Set([undefined, 'jwt', 'jose', 'at+jwt'])

// What policies can afford to read: see the limits there.
const claimsBytesMax = 16_384
const listItemsMax = 256
const depthMax = 32

/**
 * Only what can be said of the token alone; claims are bounded and frozen.
 * Errors: OciError UNAUTHORIZED. Source: RFC 7515 §4 and §5.2, RFC 7519 §7.2, RFC 8725 §3.11.
 */
export function parseToken(token: string, provider: string | undefined): UnverifiedToken {
  if (token.length > tokenLengthMax) throw refuse('too-large', provider)
  if (!compactForm.test(token)) throw refuse('malformed', provider)
  const [head = '', body = ''] = token.split('.')
  const header = parseObject(head, provider)
  const { alg, kid, typ } = header
  // No extension is understood here, and one that is critical must not be skipped.
  if (Object.hasOwn(header, 'crit')) throw refuse('malformed', provider)
  if (!types.has(plainType(typ))) throw refuse('wrong-type', provider)
  if (typeof alg !== 'string') throw refuse('algorithm', provider)
  if (typeof kid !== 'string' || kid === '') throw refuse('unknown-key', provider)
  const claims = parseObject(body, provider)
  // Numbers can grow when they are written again.
  const isSmall = Buffer.byteLength(JSON.stringify(claims)) <= claimsBytesMax
  if (!isSmall || !freezeSmall(claims)) throw refuse('too-large', provider)
  return { token, algorithm: alg, keyId: kid, claims }
}

/** What a claim holds: of that very name, or else of a path of names such as `realm_access.roles`. */
export function claimOf(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name]
  let at: unknown = claims
  for (const part of name.split('.')) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, part)) return undefined
    at = (at as Claims)[part]
  }
  return at
}

// Source: RFC 7515 §4.1.9: the prefix may be left out, and case does not matter.
function plainType(typ: unknown): unknown {
  return typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : typ
}

interface JsonObject {
  readonly [name: string]: unknown
  readonly alg?: unknown
  readonly kid?: unknown
  readonly typ?: unknown
}

function parseObject(part: string, provider: string | undefined): JsonObject {
  const parsed = parseStrictJson(Buffer.from(part, 'base64url'), { depthMax })
  if (!parsed.ok) throw refuse('malformed', provider)
  const { value } = parsed
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw refuse('malformed', provider)
  }
  return value as JsonObject
}

// The depth was bounded before it was parsed.
function freezeSmall(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true
  if (Array.isArray(value) && value.length > listItemsMax) return false
  Object.freeze(value)
  return Object.values(value).every(freezeSmall)
}
