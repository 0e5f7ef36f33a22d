// One segment of a sealed file. Its place is authenticated with it, so that none passes for another.

import type { KeyObject } from 'node:crypto'
import { type Box, decrypt, encrypt } from './box.ts'

const label = Buffer.from('keelson part 1', 'latin1')

function labelOf(index: number): Uint8Array {
  const own = Buffer.allocUnsafe(label.length + 8)
  label.copy(own)
  own.writeBigUInt64BE(BigInt(index), label.length)
  return own
}

export function encryptSegment(key: KeyObject, index: number, bytes: Uint8Array): Box {
  return encrypt(key, labelOf(index), bytes)
}

/** `slot`: as it is in the file, its end known from elsewhere. Errors: SealingFault 'forged'. */
export function decryptSegment(key: KeyObject, index: number, slot: Uint8Array): Buffer {
  return decrypt(key, labelOf(index), slot)
}
