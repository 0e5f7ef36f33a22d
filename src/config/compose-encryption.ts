// The keys that blobs are encrypted with: given once, and well formed.

import { parseKeyLines } from '../sealing/keys.ts'
import type { CheckedTables } from './checked-tables.ts'
import type { EncryptionConfig } from './schema.ts'

const table = 'blob_store.fs.encryption'

/** Errors: refuses what names no keys, and what is no key. */
export function composeEncryption(tables: CheckedTables): EncryptionConfig | undefined {
  if (!tables.has(table)) return undefined
  const encryption = tables.values(table)
  const { keys, keysCommand } = encryption
  if (keys === undefined && keysCommand === undefined) {
    tables.refuse(table, undefined, 'expected keys, keys_command or both')
  }
  if (keys !== undefined) {
    try {
      const found = parseKeyLines(keys.reveal())
      if (found.length === 0 && keysCommand === undefined) throw new Error('there is no key')
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      tables.refuse(table, 'keys', `expected one key a line; ${why}`)
    }
  }
  return encryption
}
