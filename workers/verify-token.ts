// Signatures of tokens: public-key arithmetic, kept off the threads that serve.

import { type CryptoKey, compactVerify, importJWK } from 'jose'
import type { VerifyTokenTask } from './verify-token-task.ts'

// By algorithm and thumbprint. Several providers with a few keys each fit many times over.
const imported = new Map<string, CryptoKey>()
const importedMax = 256

/** False also for a key or a token that cannot be read. */
export async function verifyToken(task: VerifyTokenTask): Promise<boolean> {
  try {
    await compactVerify(task.token, await keyOf(task), { algorithms: [task.algorithm] })
    return true
  } catch {
    return false
  }
}

async function keyOf({ algorithm, jwk, thumbprint }: VerifyTokenTask): Promise<CryptoKey> {
  const name = `${algorithm} ${thumbprint}`
  const known = imported.get(name)
  if (known !== undefined) return known
  const key = await importJWK({ ...jwk }, algorithm)
  // Only a secret comes as bytes, and a secret never verifies here.
  if (key instanceof Uint8Array) throw new TypeError('expected a public key')
  if (imported.size >= importedMax) imported.clear()
  imported.set(name, key)
  return key
}
