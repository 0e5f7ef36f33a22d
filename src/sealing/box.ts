// AES-256-GCM over one short message, with a nonce of its own each time.

import { createCipheriv, createDecipheriv, type KeyObject, randomFillSync } from 'node:crypto'
import { SealingFault } from './fault.ts'
import { nonceBytes, tagBytes } from './layout.ts'

const cipher = 'aes-256-gcm'
const options = { authTagLength: tagBytes } as const

/** Nonce, encrypted message and tag, one after the other in memory but not copied together. */
export type Box = readonly [nonce: Uint8Array, encrypted: Uint8Array, tag: Uint8Array]

// Asked for many at a time: a call costs more than the bytes.
const pool = Buffer.allocUnsafeSlow(nonceBytes * 128)
let poolAt = pool.length

/**
 * 96 random bits: a key of one file encrypts at most some millions of messages, where the same nonce comes twice
 * with a probability below 2^-50.
 */
export function newNonce(): Uint8Array {
  if (poolAt === pool.length) {
    randomFillSync(pool)
    poolAt = 0
  }
  const nonce = Buffer.from(pool.subarray(poolAt, poolAt + nonceBytes))
  poolAt += nonceBytes
  return nonce
}

/** `label` is authenticated with it: what the message is, and where it belongs. */
export function encrypt(key: KeyObject, label: Uint8Array, message: Uint8Array): Box {
  const nonce = newNonce()
  const encryption = createCipheriv(cipher, key, nonce, options)
  encryption.setAAD(label)
  const encrypted = encryption.update(message)
  encryption.final()
  return [nonce, encrypted, encryption.getAuthTag()]
}

/** Of nonce, encrypted message and tag in one piece. Errors: SealingFault 'forged'; nothing of the message. */
export function decrypt(key: KeyObject, label: Uint8Array, box: Uint8Array): Buffer {
  const end = box.length - tagBytes
  if (end < nonceBytes) throw new SealingFault('forged', 'an encrypted part is too short')
  const decryption = createDecipheriv(cipher, key, box.subarray(0, nonceBytes), options)
  decryption.setAAD(label)
  decryption.setAuthTag(box.subarray(end))
  const message = decryption.update(box.subarray(nonceBytes, end))
  try {
    decryption.final()
  } catch {
    throw new SealingFault('forged', 'an encrypted part is not what was written')
  }
  return message
}
