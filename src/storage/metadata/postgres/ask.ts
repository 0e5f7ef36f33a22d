// Looks at a database as the store would, once, and changes nothing.

import type { PostgresConfig } from '../../../config/schema.ts'
import { connectOptionsOf } from './configured.ts'
import { createPool } from './connect.ts'
import { storageFault } from './fault.ts'
import { type DatabaseSettings, readSettings } from './settings.ts'

/**
 * `timeoutMs`: for the connection and for the answer, each.
 * Errors: StorageError 'unavailable'; an Error about a file of the configuration.
 */
export async function askDatabase(
  config: PostgresConfig,
  timeoutMs: number,
): Promise<DatabaseSettings> {
  const options = await connectOptionsOf(config)
  const bounds = { connectionsMax: 1, connectTimeoutMs: timeoutMs, statementTimeoutMs: timeoutMs }
  const pool = createPool({ ...options, ...bounds }, () => {})
  try {
    const client = await pool.connect()
    try {
      return await readSettings(client)
    } finally {
      client.release(true)
    }
  } catch (cause) {
    throw storageFault(cause)
  } finally {
    await pool.end()
  }
}
