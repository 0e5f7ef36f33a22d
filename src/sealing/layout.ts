// Draws a sealed file, which holds one blob encrypted. All numbers are big-endian, all units bytes:
//
//   0       block 0: the magic; at 64 the seal for SHA-256, at 256 that for SHA-512
//   4096    block 1: a wrap, which is the key of this file, encrypted with a master key
//   8192    block 2: room for another wrap: one of both is always whole while the other one is written
//   12288   segments: nonce (12), up to 64 KiB encrypted, tag (16); all but the last one are full
//
//   wrap:   id of the master key (8), nonce (12), encrypted key (32), tag (16)
//   seal:   nonce (12), bytes of the blob (8), its digest (32 or 64), tag (16)
//
// A seal tells with authority of which blob the file is, and so where it ends.

import type { DigestAlgorithm } from '../oci/digest.ts'

export const magic: Buffer = Buffer.from('keelson.sealed.1', 'latin1')
export const headerBytes = 12_288
export const segmentBytes = 65_536
export const nonceBytes = 12
export const tagBytes = 16
/** What a segment takes in the file beside its own bytes. */
export const segmentOverhead: number = nonceBytes + tagBytes
/** From one segment to the next in the file. */
export const slotBytes: number = segmentBytes + segmentOverhead
export const keyBytes = 32
export const keyIdBytes = 8
export const wrapBytes: number = keyIdBytes + nonceBytes + keyBytes + tagBytes
export const wrapPositions: readonly [number, number] = [4096, 8192]

export const sealPositions: Readonly<Record<DigestAlgorithm, number>> = { sha256: 64, sha512: 256 }

export function digestBytes(algorithm: DigestAlgorithm): number {
  return algorithm === 'sha256' ? 32 : 64
}

/** Of a seal. */
export function sealBytes(algorithm: DigestAlgorithm): number {
  return nonceBytes + 8 + digestBytes(algorithm) + tagBytes
}

/** Where a segment begins in the file. */
export function slotPosition(index: number): number {
  return headerBytes + index * slotBytes
}

/** Of the file of a blob of `length` bytes. */
export function fileLength(length: number): number {
  const rest = length % segmentBytes
  return slotPosition(Math.floor(length / segmentBytes)) + (rest === 0 ? 0 : rest + segmentOverhead)
}

/**
 * Of the blob in a file of `size` bytes. It rises with each byte of them: with a fraction it stands for no blob, since no
 * segment is so short.
 */
export function blobLength(size: number): number {
  const body = Math.max(0, size - headerBytes)
  const rest = body % slotBytes
  const last = rest > segmentOverhead ? rest - segmentOverhead : rest / (segmentOverhead + 1)
  return Math.floor(body / slotBytes) * segmentBytes + last
}

/** Whether a file that begins so is sealed. */
export function isSealed(beginning: Uint8Array): boolean {
  return beginning.length >= magic.length && magic.equals(beginning.subarray(0, magic.length))
}
