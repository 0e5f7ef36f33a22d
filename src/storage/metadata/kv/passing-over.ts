// Rows that cannot be read, among others that can: told of, and passed over, where the caller asks for it.

import { StorageError } from '../../error.ts'
import type { KeyRange, KeyValueEntry, KeyValueReader } from './contract.ts'
import { keyBehind } from './keys.ts'

export type OnCorrupt = ((error: StorageError) => void) | undefined

/** Undefined where `read` finds a record corrupt. Without `onCorrupt` that is thrown. */
export function passingOver<T>(read: () => T, onCorrupt: OnCorrupt): T | undefined {
  try {
    return read()
  } catch (error) {
    const isCorrupt = error instanceof StorageError && error.kind === 'corrupt'
    if (onCorrupt === undefined || !isCorrupt) throw error
    onCorrupt(error)
    return undefined
  }
}

/** The first `limit` for which `decode` answers anything; fewer only where there are no more. */
export function decodedRows<Row>(
  reader: KeyValueReader,
  { start, end }: Pick<KeyRange, 'start' | 'end'>,
  limit: number,
  decode: (entry: KeyValueEntry) => Row | undefined,
  onCorrupt: OnCorrupt,
): Row[] {
  const rows: Row[] = []
  let from = start
  while (rows.length < limit) {
    const wanted = limit - rows.length
    const entries = reader.entries({ start: from, end, limit: wanted })
    for (const entry of entries) {
      const row = passingOver(() => decode(entry), onCorrupt)
      if (row !== undefined) rows.push(row)
    }
    const last = entries.at(-1)
    if (last === undefined || entries.length < wanted) break
    from = keyBehind(last.key)
  }
  return rows
}
