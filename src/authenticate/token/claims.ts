// What a registry token says: its claims as types, checked when they come from outside.

import { parseScope, type Scope, scopesMax, scopeText, targetText } from '../../oci/scope.ts'
import type { TokenProblem } from './contract.ts'

/** Who was behind the token when it was issued; who that is now is looked up each time it is verified. */
export type TokenBearer =
  /** Nobody, or the bearer of a client certificate. */
  | { readonly kind: 'anonymous' }
  /** A user with a password. */
  | { readonly kind: 'user'; readonly username: string; readonly version: string }
  | { readonly kind: 'api-key'; readonly id: string; readonly username: string }
  /** A user of the directory `ldap:<name>`, with the groups of the login. */
  | {
      readonly kind: 'ldap'
      readonly id: string
      readonly username: string
      readonly groups: readonly string[]
    }
  | {
      readonly kind: 'oidc'
      readonly username: string
      readonly groups: readonly string[]
      readonly provider: string
      readonly claims: Readonly<Record<string, unknown>>
    }

export interface TokenContents {
  readonly service: string
  readonly tokenId: string
  /** In seconds since the epoch. */
  readonly issuedAt: number
  readonly expiresAt: number
  readonly scopes: readonly Scope[]
  readonly bearer: TokenBearer
  readonly revision: number
  /** The store that counts the revision; undefined where a token does not say, of an older build. */
  readonly origin: string | undefined
  /** SHA-256 of the client certificate that it is bound to, in lower-case hexadecimal. */
  readonly certificateSha256: string | undefined
}

/**
 * Source: distribution docs/content/spec/auth/jwt.md; RFC 8705 §3.1 for `cnf`. `keelson` is ours: the
 * bearer, and the revision of the revocations that the issuer knew, with the store that counts it.
 */
export function claimsOf(contents: TokenContents): Readonly<Record<string, unknown>> {
  const { service, issuedAt, bearer, revision, origin, certificateSha256 } = contents
  const { username, ...rest } = { username: '', ...bearer }
  return {
    iss: service,
    sub: username,
    aud: service,
    exp: contents.expiresAt,
    nbf: issuedAt,
    iat: issuedAt,
    jti: contents.tokenId,
    access: contents.scopes.map(accessOf),
    ...(certificateSha256 === undefined
      ? {}
      : { cnf: { 'x5t#S256': Buffer.from(certificateSha256, 'hex').toString('base64url') } }),
    keelson: { ...rest, rev: revision, ...(origin === undefined ? {} : { origin }) },
  }
}

/** How a scope stands in the `access` claim. */
export function accessOf(scope: Scope): {
  readonly type: string
  readonly name: string
  readonly actions: readonly string[]
} {
  return scope.type !== 'repository'
    ? { type: 'registry', name: scope.type, actions: ['*'] }
    : { type: 'repository', name: targetText(scope.target), actions: scope.actions }
}

const tokenIdForm = /^[0-9a-f-]{36}$/
const groupsMax = 256

/**
 * The claims of a token whose signature is known to be good, or what is wrong with them. Nothing is
 * taken on trust all the same: a key file may sign elsewhere, too.
 */
export function readClaims(claims: unknown, service: string): TokenContents | TokenProblem {
  if (!isObject(claims)) return 'unfit-claim'
  const { iss, sub, aud, exp, nbf, iat, jti, access, cnf, keelson } = claims
  if (iss !== service) return 'wrong-issuer'
  if (aud !== service) return 'wrong-audience'
  if (!isTime(exp) || !isTime(iat) || nbf !== iat || exp <= iat) return 'unfit-claim'
  if (typeof jti !== 'string' || !tokenIdForm.test(jti)) return 'unfit-claim'
  const scopes = readAccess(access)
  const certificateSha256 = readConfirmation(cnf)
  const bearer = typeof sub === 'string' && isObject(keelson) && readBearer(sub, keelson)
  const { rev: revision, origin } = isObject(keelson) ? keelson : {}
  if (scopes === undefined || certificateSha256 === null || !bearer) return 'unfit-claim'
  if (typeof revision !== 'number' || !Number.isSafeInteger(revision)) return 'unfit-claim'
  if (origin !== undefined && typeof origin !== 'string') return 'unfit-claim'
  return {
    service,
    tokenId: jti,
    issuedAt: iat,
    expiresAt: exp,
    scopes,
    bearer,
    revision,
    origin,
    certificateSha256,
  }
}

function readAccess(access: unknown): readonly Scope[] | undefined {
  if (!Array.isArray(access) || access.length > scopesMax) return undefined
  const scopes: Scope[] = []
  for (const entry of access as readonly unknown[]) {
    if (!isObject(entry)) return undefined
    const { type, name, actions } = entry
    const isList = Array.isArray(actions) && actions.every((action) => typeof action === 'string')
    if (typeof type !== 'string' || typeof name !== 'string' || !isList) return undefined
    const text = `${type}:${name}:${actions.join(',')}`
    const scope = parseScope(text, 'names')
    // What reads back otherwise, such as an action that is not known, was not written here.
    if (scope === undefined || scopeText(scope) !== text) return undefined
    scopes.push(scope)
  }
  return scopes
}

/** Undefined where there is none, null where there is one that cannot be read. */
function readConfirmation(cnf: unknown): string | undefined | null {
  if (cnf === undefined) return undefined
  const thumbprint = isObject(cnf) ? cnf['x5t#S256'] : undefined
  if (typeof thumbprint !== 'string' || !/^[A-Za-z0-9_-]{43}$/.test(thumbprint)) return null
  return Buffer.from(thumbprint, 'base64url').toString('hex')
}

function readBearer(
  username: string,
  { kind, id, version, groups, provider, claims }: Readonly<Record<string, unknown>>,
): TokenBearer | undefined {
  if (kind === 'anonymous') return username === '' ? { kind } : undefined
  if (username === '') return undefined
  if (kind === 'user' && typeof version === 'string') return { kind, username, version }
  if (kind === 'api-key' && typeof id === 'string') return { kind, id, username }
  const isList = Array.isArray(groups) && groups.length <= groupsMax
  if (!isList || !groups.every((group) => typeof group === 'string')) return undefined
  if (kind === 'ldap' && typeof id === 'string') return { kind, id, username, groups }
  if (kind !== 'oidc' || typeof provider !== 'string' || !isObject(claims)) return undefined
  return { kind, username, groups, provider, claims }
}

// Beyond it a time is no date any more.
const secondsMax = 8.64e12

function isTime(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= secondsMax
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
