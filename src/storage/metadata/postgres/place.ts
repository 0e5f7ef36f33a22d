// The id that the records keep of the blob store that belongs to them.

import type { Pool } from 'pg'
import { storageFault } from './fault.ts'

/** Errors: StorageError 'unavailable'. */
export async function readPlace(pool: Pool): Promise<string | undefined> {
  try {
    const { rows } = await pool.query<{ readonly id: string }>('SELECT id FROM keelson_place')
    return rows[0]?.id
  } catch (cause) {
    throw storageFault(cause)
  }
}

/**
 * Where there is one already it stays, unless it is `replaced`. Answers what it is afterwards. A power loss
 * that takes it again does no harm: the next start writes it anew.
 * Errors: StorageError 'unavailable', 'full'.
 */
export async function writePlace(
  pool: Pool,
  id: string,
  { replaced }: { readonly replaced: boolean },
): Promise<string> {
  const change = replaced ? 'UPDATE SET id = excluded.id' : 'NOTHING'
  try {
    await pool.query(
      `INSERT INTO keelson_place (only_row, id) VALUES (true, $1) ON CONFLICT (only_row) DO ${change}`,
      [id],
    )
  } catch (cause) {
    throw storageFault(cause)
  }
  return (await readPlace(pool)) ?? id
}
