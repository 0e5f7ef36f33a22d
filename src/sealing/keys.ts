// The master keys, which encrypt nothing but the keys of files. They go to the ingest threads, which get no copy of their bytes.

import { createHash, createSecretKey, type KeyObject } from 'node:crypto'
import type { Digest } from '../oci/digest.ts'
import { keyBytes, keyIdBytes } from './layout.ts'

export interface MasterKey {
  /** 16 hex characters, made of the key; no secret. */
  readonly id: string
  /** Cloned, it is the same piece of memory, which JavaScript never sees. */
  readonly key: KeyObject
}

export interface SealingKeys {
  /** What is new is encrypted with it. */
  readonly active: MasterKey
  /** What was encrypted before can be read with these, too. */
  readonly others: readonly MasterKey[]
}

/** What a thread needs to know of a sealed place. */
export interface SealingTerms {
  readonly keys: SealingKeys
  /** Of a published blob: nothing but its own file passes for it. */
  readonly digest?: Digest
}

export const keysMax = 64

/** The first one of all texts is the active one. Errors: as `parseKeyLines`; Error where there is none. */
export function parseKeys(...texts: readonly string[]): SealingKeys {
  const found = new Map<string, MasterKey>()
  for (const key of texts.flatMap(parseKeyLines)) found.set(key.id, found.get(key.id) ?? key)
  const [active, ...others] = found.values()
  if (active === undefined) throw new Error('there is no key')
  return { active, others }
}

/**
 * One key a line, in hex or base64. Empty lines and those that begin with `#` do not count.
 * Errors: Error that names the line, and never a part of it.
 */
export function parseKeyLines(text: string): readonly MasterKey[] {
  const keys: MasterKey[] = []
  for (const [index, line] of text.split('\n').entries()) {
    const written = line.trim()
    if (written === '' || written.startsWith('#')) continue
    const bytes = decode(written)
    if (bytes === undefined) {
      throw new Error(
        `line ${index + 1} is not a key: expected 32 bytes as 64 hex characters or base64`,
      )
    }
    if (bytes.every((byte) => byte === bytes[0])) {
      throw new Error(`line ${index + 1} is not a key: all its bytes are the same`)
    }
    const id = keyIdOf(bytes)
    if (keys.some((key) => key.id === id)) throw new Error(`line ${index + 1} has a key again`)
    keys.push({ id, key: createSecretKey(bytes) })
    bytes.fill(0)
    if (keys.length > keysMax) throw new Error(`there are more than ${keysMax} keys`)
  }
  return keys
}

export function keyIdOf(key: Uint8Array): string {
  const hash = createHash('sha256').update('keelson master key 1\0').update(key)
  return hash.digest('hex').slice(0, 2 * keyIdBytes)
}

export function findKey(keys: SealingKeys, id: string): MasterKey | undefined {
  return [keys.active, ...keys.others].find((key) => key.id === id)
}

function decode(written: string): Uint8Array | undefined {
  if (/^[0-9a-fA-F]{64}$/.test(written)) return Uint8Array.from(Buffer.from(written, 'hex'))
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(written)) return undefined
  const bytes = Uint8Array.from(Buffer.from(written, 'base64'))
  return bytes.length === keyBytes ? bytes : undefined
}
