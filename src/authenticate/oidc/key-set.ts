// A provider's published keys: which of them may verify which signatures.

import { createPublicKey, hash, type KeyObject } from 'node:crypto'
import type { PublicJwk, SignatureAlgorithm } from './contract.ts'

/** A key that may verify. */
export interface UsableKey {
  readonly jwk: PublicJwk
  readonly thumbprint: string
  /** Undefined: any algorithm of its kind. */
  readonly algorithm: string | undefined
}

export interface KeySet {
  readonly size: number
  /** Of each key that was left out, why. Keys for other uses are not among them. */
  readonly problems: readonly string[]
  /** Undefined where no key has the id, `unfit` where none that has it may verify with the algorithm. */
  find(keyId: string, algorithm: SignatureAlgorithm): UsableKey | 'unfit' | undefined
}

type Kind = 'RSA' | 'P-256' | 'P-384'

const keysMax = 256
const idLengthMax = 1024
// Less can be broken, more makes each signature dear.
const modulusBits = { min: 2048, max: 8192 } as const
const exponent = { min: 3n, max: 2n ** 64n } as const
const kindOf: Readonly<Record<SignatureAlgorithm, Kind>> = {
  RS256: 'RSA',
  RS384: 'RSA',
  RS512: 'RSA',
  ES256: 'P-256',
  ES384: 'P-384',
}

interface Jwk {
  readonly [name: string]: unknown
  readonly kty?: unknown
  readonly kid?: unknown
  readonly use?: unknown
  readonly key_ops?: unknown
  readonly alg?: unknown
}

/**
 * A key that cannot be used is left out, and the others serve.
 * Errors: an Error where this is no key set at all. Source: RFC 7517 §4 and §5, RFC 7518 §6.
 */
export function parseKeySet(document: unknown): KeySet {
  const keys = isObject(document) ? document['keys'] : undefined
  if (!Array.isArray(keys)) throw new Error('the key set has no list of keys')
  if (keys.length > keysMax) throw new Error(`the key set has more than ${keysMax} keys`)
  const found = new Map<string, Map<Kind, UsableKey | 'ambiguous'>>()
  const problems: string[] = []
  keys.forEach((written: unknown, index) => {
    const jwk = isObject(written) ? written : {}
    const { kid } = jwk
    if (!isForSignatures(jwk)) return
    const id = typeof kid === 'string' && kid !== '' && kid.length <= idLengthMax ? kid : undefined
    const read = id === undefined ? 'it has no usable kid' : readKey(jwk)
    if (id === undefined || typeof read === 'string') {
      problems.push(`key ${id === undefined ? index : JSON.stringify(id)}: ${String(read)}`)
      return
    }
    const kinds = found.get(id) ?? new Map<Kind, UsableKey | 'ambiguous'>()
    found.set(id, kinds)
    const kind = read.jwk.kty === 'RSA' ? 'RSA' : read.jwk.crv
    const before = kinds.get(kind)
    if (before === undefined) kinds.set(kind, read)
    else if (before === 'ambiguous' || before.thumbprint !== read.thumbprint) {
      kinds.set(kind, 'ambiguous')
      problems.push(`key ${JSON.stringify(id)}: another key has its kid`)
    }
  })
  return {
    size: [...found.values()].flatMap((kinds) => [...kinds.values()]).filter(isUsable).length,
    problems,
    find: (keyId, algorithm) => {
      const key = found.get(keyId)
      if (key === undefined) return undefined
      const fit = key.get(kindOf[algorithm])
      if (fit === undefined || fit === 'ambiguous') return 'unfit'
      return fit.algorithm === undefined || fit.algorithm === algorithm ? fit : 'unfit'
    },
  }
}

function isUsable(key: UsableKey | 'ambiguous'): key is UsableKey {
  return key !== 'ambiguous'
}

// Keys for encryption stand in the same set by right.
function isForSignatures({ use, key_ops: operations }: Jwk): boolean {
  if (use !== undefined && use !== 'sig') return false
  return operations === undefined || (Array.isArray(operations) && operations.includes('verify'))
}

function readKey(jwk: Jwk): UsableKey | string {
  if (jwk.alg !== undefined && typeof jwk.alg !== 'string') return 'its alg is not text'
  if (Object.hasOwn(jwk, 'd') || Object.hasOwn(jwk, 'k')) return 'it is not public'
  const plain = publicPart(jwk)
  if (plain === undefined) return `its kty or crv is not supported`
  const fault = keyFault(plain)
  if (fault !== undefined) return fault
  return { jwk: plain, thumbprint: thumbprintOf(plain), algorithm: jwk.alg }
}

function publicPart(jwk: Jwk): PublicJwk | undefined {
  const text = (name: string): string => {
    const value = jwk[name]
    return typeof value === 'string' && /^[A-Za-z0-9_-]+$/.test(value) ? value : ''
  }
  const { kty } = jwk
  const crv = text('crv')
  if (kty === 'RSA') return { kty, n: text('n'), e: text('e') }
  if (kty !== 'EC' || (crv !== 'P-256' && crv !== 'P-384')) return undefined
  return { kty, crv, x: text('x'), y: text('y') }
}

function keyFault(jwk: PublicJwk): string | undefined {
  let key: KeyObject
  try {
    // Finds a point that is not on its curve, too.
    key = createPublicKey({ key: { ...jwk }, format: 'jwk' })
  } catch {
    return 'it cannot be read'
  }
  if (jwk.kty === 'EC') return undefined
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {}
  if (modulusLength < modulusBits.min || modulusLength > modulusBits.max) {
    return `its modulus has ${modulusLength} bits`
  }
  const isSound = publicExponent >= exponent.min && publicExponent <= exponent.max
  return isSound && publicExponent % 2n === 1n ? undefined : 'its exponent is unsound'
}

// Source: RFC 7638 §3: the required members in the order of their names.
function thumbprintOf(jwk: PublicJwk): string {
  const members =
    jwk.kty === 'RSA'
      ? { e: jwk.e, kty: jwk.kty, n: jwk.n }
      : { crv: jwk.crv, kty: jwk.kty, x: jwk.x, y: jwk.y }
  return hash('sha256', JSON.stringify(members), 'base64url')
}

function isObject(value: unknown): value is Jwk {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
