// The header of a sealed file: the key of the file, wrapped, and whose blob it is.

import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import type { DigestAlgorithm } from '../oci/digest.ts'
import { decrypt, encrypt } from './box.ts'
import { SealingFault } from './fault.ts'
import { findKey, type MasterKey, type SealingKeys } from './keys.ts'
import {
  digestBytes,
  isSealed,
  keyBytes,
  keyIdBytes,
  magic,
  nonceBytes,
  sealBytes,
  sealPositions,
  wrapBytes,
  wrapPositions,
} from './layout.ts'

const wrapLabel = Buffer.from('keelson wrap 1', 'latin1')
const sealLabel = Buffer.from('keelson seal 1', 'latin1')

/** Which blob a file says that it is. Units: bytes. */
export interface Seal {
  readonly algorithm: DigestAlgorithm
  /** Lower-case. */
  readonly hex: string
  readonly length: number
}

/** Which of the two wraps. */
export type WrapSlot = 0 | 1

export interface OpenedKey {
  readonly key: KeyObject
  /** The wrap that it came from, and the id of its master key. */
  readonly slot: WrapSlot
  readonly id: string
}

/** What the header of a new file begins with, and the key of the file. */
export function newHeader(keys: SealingKeys): { readonly bytes: Buffer; readonly key: KeyObject } {
  const raw = randomBytes(keyBytes)
  // Not all of it: the room for the second wrap takes no place on the disk till it is used.
  const bytes = Buffer.alloc(wrapPositions[0] + wrapBytes)
  magic.copy(bytes)
  wrapOf(raw, keys.active).copy(bytes, wrapPositions[0])
  const key = createSecretKey(raw)
  raw.fill(0)
  return { bytes, key }
}

/**
 * The key of a file, by the first wrap that one of the keys opens. `header`: its first `headerBytes`, zeros where it ends
 * before.
 * Errors: SealingFault.
 */
export function openKey(header: Uint8Array, keys: SealingKeys): OpenedKey {
  if (!isSealed(header)) throw new SealingFault('forged', 'it has no header')
  const unknown: string[] = []
  for (const slot of [0, 1] as const) {
    const id = wrapIdAt(header, slot)
    if (id === undefined) continue
    const master = findKey(keys, id)
    if (master === undefined) unknown.push(id)
    else {
      const raw = unwrap(header, slot, master)
      if (raw === undefined) continue
      const key = createSecretKey(raw)
      raw.fill(0)
      return { key, slot, id }
    }
  }
  if (unknown.length === 0) throw new SealingFault('forged', 'its key cannot be unwrapped')
  throw new SealingFault('unknown-key', `it needs the key ${unknown.join(' or ')}`)
}

/** The same key for another master key. Errors: SealingFault. */
export function rewrap(
  header: Uint8Array,
  keys: SealingKeys,
  to: MasterKey,
): { readonly from: WrapSlot; readonly bytes: Buffer } | 'current' {
  const { key, slot, id } = openKey(header, keys)
  const other = wrapIdAt(header, slot === 0 ? 1 : 0)
  if (id === to.id && other === undefined) return 'current'
  const raw = key.export()
  const bytes = wrapOf(raw, to)
  raw.fill(0)
  return { from: slot, bytes }
}

/** Id of the master key of a wrap, as it is written; undefined where there is none. */
export function wrapIdAt(header: Uint8Array, slot: WrapSlot): string | undefined {
  const at = wrapPositions[slot]
  const wrap = header.subarray(at, at + wrapBytes)
  if (wrap.every((byte) => byte === 0)) return undefined
  return Buffer.from(wrap.subarray(0, keyIdBytes)).toString('hex')
}

export function writeSeal(key: KeyObject, seal: Seal): Buffer {
  const fields = Buffer.alloc(8 + digestBytes(seal.algorithm))
  fields.writeBigUInt64BE(BigInt(seal.length))
  fields.write(seal.hex, 8, 'hex')
  const [nonce, , tag] = encrypt(key, labelOf(seal.algorithm, fields), new Uint8Array(0))
  return Buffer.concat([nonce, fields, tag])
}

/** Undefined where there is none for this kind of digest. Errors: SealingFault 'forged'. */
export function readSeal(
  header: Uint8Array,
  key: KeyObject,
  algorithm: DigestAlgorithm,
): Seal | undefined {
  const at = sealPositions[algorithm]
  const seal = Buffer.from(header.subarray(at, at + sealBytes(algorithm)))
  if (seal.every((byte) => byte === 0)) return undefined
  const fields = seal.subarray(nonceBytes, nonceBytes + 8 + digestBytes(algorithm))
  const box = Buffer.concat([
    seal.subarray(0, nonceBytes),
    seal.subarray(nonceBytes + fields.length),
  ])
  decrypt(key, labelOf(algorithm, fields), box)
  const length = Number(fields.readBigUInt64BE())
  return { algorithm, hex: fields.toString('hex', 8), length }
}

function labelOf(algorithm: DigestAlgorithm, fields: Uint8Array): Uint8Array {
  return Buffer.concat([sealLabel, Buffer.from(algorithm, 'latin1'), fields])
}

function wrapOf(raw: Uint8Array, master: MasterKey): Buffer {
  const id = Buffer.from(master.id, 'hex')
  const label = Buffer.concat([wrapLabel, id])
  return Buffer.concat([id, ...encrypt(master.key, label, raw)])
}

/** Undefined where it is not one of this master key. */
function unwrap(header: Uint8Array, slot: WrapSlot, master: MasterKey): Buffer | undefined {
  const at = wrapPositions[slot]
  const label = Buffer.concat([wrapLabel, Buffer.from(master.id, 'hex')])
  try {
    const box = header.subarray(at + keyIdBytes, at + wrapBytes)
    return decrypt(master.key, label, box)
  } catch (error) {
    if (!(error instanceof SealingFault)) throw error
    return undefined
  }
}
