// Whether anybody else is connected to the database: it has no lock of ours, so its own list of sessions is asked.

import type { Pool } from 'pg'
import { StorageError } from '../../error.ts'
import { applicationName } from './connect.ts'
import { storageFault } from './fault.ts'

/**
 * A server keeps a connection for a minute after its last request, so one that nobody has asked anything for
 * longer is not seen. Errors: StorageError 'conflict' where there is another one, 'unavailable'.
 */
export async function requireAlone(pool: Pool): Promise<void> {
  const others = await otherProcesses(pool)
  if (others === 0) return
  throw new StorageError(
    'conflict',
    `the database is in use: ${others} other connections of keelson: stop its servers first`,
  )
}

async function otherProcesses(pool: Pool): Promise<number> {
  const text = `SELECT count(*)::int AS others FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE '${applicationName}%'
      AND application_name <> current_setting('application_name')`
  try {
    const { rows } = await pool.query<{ readonly others: number }>(text)
    return rows[0]?.others ?? 0
  } catch (cause) {
    throw storageFault(cause)
  }
}
