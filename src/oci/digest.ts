// Content digests: the two algorithms that the registry serves.

import assert from 'node:assert'
import { hash } from 'node:crypto'

declare const brand: unique symbol

/** `sha256:` or `sha512:` and lower-case hex of the exact length. Only this file makes one. */
export type Digest = string & { readonly [brand]: 'Digest' }

export type DigestAlgorithm = 'sha256' | 'sha512'

// Both algorithms are spelt with six letters, so the hex starts at the same place.
const hexStart = 7
const sha256Length = hexStart + 64

// Nothing in it can match in two ways, so it never backtracks; a loop over the characters takes twice as long.
const form = /^sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})$/

/**
 * Undefined where `text` is not a digest of a supported algorithm.
 * Source: image-spec descriptor.md "Digests"; upper-case hex is refused, since it would name a second key.
 */
export function parseDigest(text: string): Digest | undefined {
  return form.test(text) ? (text as Digest) : undefined
}

export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.length === sha256Length ? 'sha256' : 'sha512'
}

export function digestHex(digest: Digest): string {
  return digest.slice(hexStart)
}

/** Hash a whole buffer at once, on the calling thread. */
export function digestOfBytes(algorithm: DigestAlgorithm, bytes: Uint8Array): Digest {
  return `${algorithm}:${hash(algorithm, bytes, 'hex')}` as Digest
}

/** For hex that a hash function returned; anything else is a programmer error. */
export function digestFromHex(algorithm: DigestAlgorithm, hex: string): Digest {
  const digest = parseDigest(`${algorithm}:${hex}`)
  assert(digest !== undefined, 'digestFromHex: not the hex of a digest')
  return digest
}
