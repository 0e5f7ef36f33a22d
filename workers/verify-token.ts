// Signatures of tokens: public-key arithmetic, kept off the threads that serve. Synchronous: what is
// asynchronous in node:crypto would take the process-wide threads that read files.

import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import type { VerifyTokenTask } from './verify-token-task.ts'

interface Algorithm {
  readonly hash: 'sha256' | 'sha384' | 'sha512'
  readonly keyType: 'rsa' | 'ec'
  /** As node:crypto calls it; undefined for RSA. */
  readonly curve: string | undefined
}

// Source: RFC 7518 §3.1. No HMAC and no `none`: whatever a caller asks for, they verify nothing.
const algorithms: ReadonlyMap<string, Algorithm> = new Map([
  ['RS256', { hash: 'sha256', keyType: 'rsa', curve: undefined }],
  ['RS384', { hash: 'sha384', keyType: 'rsa', curve: undefined }],
  ['RS512', { hash: 'sha512', keyType: 'rsa', curve: undefined }],
  ['ES256', { hash: 'sha256', keyType: 'ec', curve: 'prime256v1' }],
  ['ES384', { hash: 'sha384', keyType: 'ec', curve: 'secp384r1' }],
])

// By algorithm and thumbprint. Several providers with a few keys each fit many times over.
const imported = new Map<string, KeyObject>()
const importedMax = 256
const compactForm = /^([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)$/

/** False also for a key or a token that cannot be read. Source: RFC 7515 §5.2. */
export function verifyToken(task: VerifyTokenTask): boolean {
  try {
    return isSigned(task)
  } catch {
    return false
  }
}

function isSigned(task: VerifyTokenTask): boolean {
  const { token, algorithm: name } = task
  const algorithm = algorithms.get(name)
  const [, header = '', signature = ''] = compactForm.exec(token) ?? []
  if (algorithm === undefined || header === '') return false
  if (algorithmOf(header) !== name) return false
  const signed = Buffer.from(token.slice(0, token.length - signature.length - 1))
  const key = keyOf(task, algorithm)
  // JWS writes the two numbers of an EC signature one after the other. Source: RFC 7518 §3.4.
  const asJws = { key, dsaEncoding: 'ieee-p1363' } as const
  const bytes = Buffer.from(signature, 'base64url')
  return verify(algorithm.hash, signed, algorithm.keyType === 'ec' ? asJws : key, bytes)
}

// Who sends the task has judged the rest of the header.
function algorithmOf(header: string): unknown {
  const { alg, crit } = JSON.parse(Buffer.from(header, 'base64url').toString()) as {
    readonly alg?: unknown
    readonly crit?: unknown
  }
  // An extension may change what is signed, and none is known here.
  return crit === undefined ? alg : undefined
}

/** Errors: Error where it is no public key for the algorithm. */
function keyOf(task: VerifyTokenTask, algorithm: Algorithm): KeyObject {
  const { jwk, thumbprint } = task
  const name = `${task.algorithm} ${thumbprint}`
  const known = imported.get(name)
  if (known !== undefined) return known
  const key = createPublicKey({ key: { ...jwk }, format: 'jwk' })
  const curve = key.asymmetricKeyDetails?.namedCurve
  if (key.asymmetricKeyType !== algorithm.keyType || curve !== algorithm.curve) {
    throw new TypeError('expected a key for this algorithm')
  }
  if (imported.size >= importedMax) imported.clear()
  imported.set(name, key)
  return key
}

/** That the thread takes tasks. */
export function ping(): boolean {
  return true
}
