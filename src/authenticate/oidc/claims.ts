// Claims of a token against what a provider's configuration wants, and the identity they stand for.

import { anonymous, type Identity } from '../identity.ts'
import type { OidcConfig, TokenProblem } from './contract.ts'
import { refuse } from './refusal.ts'
import { type Claims, claimOf } from './token.ts'

// Together with the provider's name within what a policy can match.
const usernameLengthMax = 400
const groupsMax = 256
const groupLengthMax = 256
const tokenIdLengthMax = 256
const controls = /\p{Cc}/u
// Beyond it a time is no date any more.
const secondsMax = 8.64e12

/**
 * The first thing wrong with the claims, or undefined. Cheap, so that it comes before the signature:
 * it says nothing that who made the token does not know.
 * Units: `nowMs` in ms since the epoch. Source: RFC 7519 §4.1.
 */
export function claimsProblem(
  claims: Claims,
  config: OidcConfig,
  nowMs: number,
): TokenProblem | undefined {
  const { iss, aud, exp, nbf, iat, jti } = claims as RegisteredClaims
  if (iss === undefined || exp === undefined) return 'missing-claim'
  if (iss !== config.issuer) return 'wrong-issuer'
  if (!isTime(exp) || !isAbsentOr(isTime, nbf) || !isAbsentOr(isTime, iat)) return 'unfit-claim'
  if (!isAbsentOr(isTokenId, jti)) return 'unfit-claim'
  const { clockSkewToleranceMs, requiredAudience = [], requiredClaims } = config
  if (exp * 1000 + clockSkewToleranceMs <= nowMs) return 'expired'
  if (nbf !== undefined && nbf * 1000 - clockSkewToleranceMs > nowMs) return 'not-yet-valid'
  const audience: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
  const isMeant = requiredAudience.some((wanted) => audience.includes(wanted))
  if (requiredAudience.length > 0 && !isMeant) return 'wrong-audience'
  const isThere = (name: string): boolean => (claimOf(claims, name) ?? null) !== null
  if (!requiredClaims.every(isThere)) return 'missing-claim'
  return undefined
}

/** Of claims that `claimsProblem` finds nothing wrong with. Units: ms since the epoch. */
export function expiryOf(claims: Claims): number {
  return Number((claims as RegisteredClaims).exp) * 1000
}

export function tokenIdOf(claims: Claims): string | undefined {
  const { jti } = claims as RegisteredClaims
  return isTokenId(jti) ? jti : undefined
}

/**
 * Errors: OciError UNAUTHORIZED where the user's name or the groups are absent or unfit: a name that is
 * cut, or groups that are left out, could slip past a rule that denies.
 */
export function identityOf(claims: Claims, config: OidcConfig): Identity {
  const { name } = config
  return Object.freeze({
    ...anonymous,
    username: `${name}:${usernameOf(claims, config)}`,
    groups: groupsOf(claims, config),
    oidc: Object.freeze({ providerName: name, claims }),
    authMethod: 'oidc',
  })
}

interface RegisteredClaims {
  readonly iss?: unknown
  readonly aud?: unknown
  readonly exp?: unknown
  readonly nbf?: unknown
  readonly iat?: unknown
  readonly jti?: unknown
}

function usernameOf(claims: Claims, { name, usernameClaim }: OidcConfig): string {
  const candidates = usernameClaim === undefined ? ['preferred_username', 'sub'] : [usernameClaim]
  const found = candidates.map((claim) => claimOf(claims, claim)).find(isThere)
  if (found === undefined) throw refuse('missing-claim', name)
  if (!isText(found, usernameLengthMax)) throw refuse('unfit-claim', name)
  return found
}

function groupsOf(claims: Claims, { name, groupsClaim }: OidcConfig): readonly string[] {
  if (groupsClaim === undefined) return anonymous.groups
  const found = claimOf(claims, groupsClaim) ?? []
  const groups: readonly unknown[] = Array.isArray(found) ? found : [found]
  const isGroup = (group: unknown): group is string => isText(group, groupLengthMax)
  if (groups.length > groupsMax || !groups.every(isGroup)) throw refuse('unfit-claim', name)
  return Object.freeze([...groups])
}

function isThere(value: unknown): boolean {
  return value !== undefined && value !== null && value !== ''
}

function isText(value: unknown, lengthMax: number): value is string {
  return (
    typeof value === 'string' && value !== '' && value.length <= lengthMax && !controls.test(value)
  )
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= secondsMax
}

function isTokenId(value: unknown): value is string {
  return isText(value, tokenIdLengthMax)
}

function isAbsentOr<T>(
  isFit: (value: unknown) => value is T,
  value: unknown,
): value is T | undefined {
  return value === undefined || isFit(value)
}
