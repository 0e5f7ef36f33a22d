// Registry tokens as text: a JWS in compact form, of one type and one algorithm.

import { createHash, createPublicKey, type KeyObject, sign } from 'node:crypto'
import { parseStrictJson } from '../../oci/strict-json.ts'
import type { TokenKey, TokenProblem } from './contract.ts'

/**
 * Sets registry tokens apart from every other JWT that the same or another key may have signed.
 * Source: RFC 8725 §3.11.
 */
export const tokenType = 'keelson+jwt'

// Signs and verifies fast, in 64 bytes, and every JWT library knows it.
export const tokenAlgorithm = 'ES256'

/** Beyond it clients and proxies refuse the header that carries it. */
export const tokenLengthMax = 16_384

// OIDC claims are among the contents, and those may be 32 deep.
const depthMax = 40
const compactForm = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/
// A P-256 signature has 64 bytes. More than one text could stand for them otherwise.
const signatureForm = /^[A-Za-z0-9_-]{85}[AQgw]$/

export interface UnverifiedToken {
  readonly kid: string
  readonly claims: unknown
}

/** Sign the claims: about 0.1 ms. `key` is a private key on P-256. Source: RFC 7515 §3.1, RFC 7518 §3.4. */
export function signToken(
  claims: Readonly<Record<string, unknown>>,
  kid: string,
  key: KeyObject,
): string {
  const header = { alg: tokenAlgorithm, typ: tokenType, kid }
  const text = `${encode(header)}.${encode(claims)}`
  const signature = sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' })
  return `${text}.${signature.toString('base64url')}`
}

/** What the token says, or what is wrong with its form. Nothing of it can be believed yet. */
export function readToken(token: string): UnverifiedToken | TokenProblem {
  if (token.length > tokenLengthMax) return 'too-large'
  if (!compactForm.test(token)) return 'malformed'
  const [head = '', body = '', signature = ''] = token.split('.')
  const header = readObject(head)
  if (header === undefined) return 'malformed'
  const { alg, typ, kid, ...others } = header
  if (typ !== tokenType) return 'wrong-type'
  if (alg !== tokenAlgorithm) return 'algorithm'
  // `crit`, `jwk`, `x5u` and their like: none is written here, and none is obeyed.
  if (typeof kid !== 'string' || Object.keys(others).length > 0) return 'malformed'
  if (!signatureForm.test(signature)) return 'signature'
  const claims = readObject(body)
  return claims === undefined ? 'malformed' : { kid, claims }
}

/** Whether it says that it is a registry token. */
export function saysRegistryToken(token: string): boolean {
  const end = token.indexOf('.')
  if (end === -1 || end > 1024) return false
  const { typ } = readObject(token.slice(0, end)) ?? {}
  return typeof typ === 'string' && typ.toLowerCase().replace(/^application\//, '') === tokenType
}

/** Errors: Error where it is not a key on P-256. Source: RFC 7638 §3.2. */
export function publicKeyOf(key: KeyObject): TokenKey {
  const { kty, crv, x, y } = createPublicKey(key).export({ format: 'jwk' })
  if (kty !== 'EC' || crv !== 'P-256' || x === undefined || y === undefined) {
    throw new Error('expected an EC key on P-256')
  }
  // In the order of the names, as a thumbprint wants them.
  const members = JSON.stringify({ crv, kty, x, y })
  return { kid: createHash('sha256').update(members).digest('base64url'), jwk: { kty, crv, x, y } }
}

interface JsonObject {
  readonly [name: string]: unknown
  readonly alg?: unknown
  readonly kid?: unknown
  readonly typ?: unknown
}

function readObject(part: string): JsonObject | undefined {
  const parsed = parseStrictJson(Buffer.from(part, 'base64url'), { depthMax })
  if (!parsed.ok || typeof parsed.value !== 'object' || parsed.value === null) return undefined
  return Array.isArray(parsed.value) ? undefined : (parsed.value as JsonObject)
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
