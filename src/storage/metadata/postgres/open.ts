// The metadata store of several processes: a PostgreSQL, or what speaks its protocol with serializable transactions.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Pool } from 'pg'
import { newPostgresCounts } from '../../../telemetry/postgres-metrics.ts'
import { StorageError } from '../../error.ts'
import type { RestoreTarget } from '../dump.ts'
import { begunSnapshot, format, formatRefusal } from '../kv/format.ts'
import { formatKey } from '../kv/keys.ts'
import { KeyValueRestore } from '../kv/restore.ts'
import { requireAlone } from './alone.ts'
import { type ConnectOptions, createPool } from './connect.ts'
import { storageFault } from './fault.ts'
import { GroupWrite } from './group-write.ts'
import { PostgresKeyValueStore } from './key-value.ts'
import { migrate } from './schema.ts'
import { type DatabaseSettings, doubtsOf, readSettings, refusalOf } from './settings.ts'
import { type DatabaseOf, PostgresMetadataStore } from './store.ts'

export interface PostgresOptions extends ConnectOptions {
  /** Default: 10,000. Units: ms. */
  readonly conflictsMaxMs?: number
  /** With 'none' a write does not wait for the disk of the database. Default: 'fsync'. */
  readonly durability?: 'fsync' | 'none'
  /** What an operator should know of the database. */
  readonly onNotice?: (notice: string) => void
  /** Opened also where an earlier restore did not end. */
  readonly isRestore?: boolean
  /** Refused with StorageError 'conflict' where another process is connected. */
  readonly isAlone?: boolean
}

/**
 * Open the store; its tables are made where there are none.
 * Errors: StorageError 'unavailable' where the database cannot be reached or has another format.
 */
export async function openPostgresMetadataStore(
  options: PostgresOptions,
): Promise<PostgresMetadataStore> {
  const { store, database } = await openPostgres(options)
  return new PostgresMetadataStore(store, database)
}

export interface PostgresRestore {
  readonly target: RestoreTarget
  /** The same, to be read, and with the place of its blobs. */
  readonly store: PostgresMetadataStore
  readonly close: () => Promise<void>
}

/**
 * Open a database to fill it, alone. No lock tells who else uses it: what has a connection is seen, and what
 * opens it after `RestoreTarget.begin` is refused.
 * Errors: as `openPostgresMetadataStore`; StorageError 'conflict' where another process is connected.
 */
export async function openPostgresRestore(
  options: Omit<PostgresOptions, 'durability' | 'isRestore'>,
): Promise<PostgresRestore> {
  const { store, database } = await openPostgres({ ...options, isRestore: true, isAlone: true })
  return {
    target: new KeyValueRestore(store),
    store: new PostgresMetadataStore(store, database),
    close: () => store.close(),
  }
}

/** The same without the record logic, for tests that look under it. */
export async function openPostgres(options: PostgresOptions): Promise<OpenPostgres> {
  const { durability = 'fsync', isRestore = false, onNotice = () => {} } = options
  const counts = newPostgresCounts()
  const onLost = (): void => {
    counts.connectionsLost += 1
  }
  const pool = createPool(options, onLost)
  const anotherPool = (connectionsMax: number): Pool =>
    createPool({ ...options, connectionsMax }, onLost)
  try {
    const settings = await prepare(pool)
    if (options.isAlone === true) await requireAlone(pool)
    if (durability === 'fsync') {
      for (const doubt of doubtsOf(settings)) onNotice(`PostgreSQL: ${doubt}`)
    }
    // Its own disk and that of each synchronous standby, or more.
    const syncing = settings.synchronousCommit === 'remote_apply' ? 'remote_apply' : 'on'
    const writes = new GroupWrite({
      ...{ pool, counts, now: () => performance.now(), random: Math.random },
      wait: (ms) => sleep(ms),
      conflictsMaxMs: options.conflictsMaxMs ?? 10_000,
      // Whoever waits for those locks still has time to get them.
      idleMaxMs: Math.ceil(options.statementTimeoutMs / 2),
      syncing: durability === 'none' ? 'off' : syncing,
    })
    const store = new PostgresKeyValueStore(pool, writes)
    await store.write('durable', (transaction) => {
      const found = transaction.get(formatKey)
      if (found === undefined) transaction.put(formatKey, format)
      else if (found !== format && !(isRestore && begunSnapshot(found) !== undefined)) {
        throw new StorageError('unavailable', formatRefusal(found))
      }
    })
    return { store, database: { pool, anotherPool, counts } }
  } catch (cause) {
    await pool.end()
    throw storageFault(cause)
  }
}

export interface OpenPostgres {
  readonly store: PostgresKeyValueStore
  readonly database: DatabaseOf
}

async function prepare(pool: Pool): Promise<DatabaseSettings> {
  const client = await pool.connect()
  try {
    const settings = await readSettings(client)
    const reason = refusalOf(settings)
    if (reason !== undefined) throw new StorageError('unavailable', `metadata store: ${reason}`)
    await migrate(client)
    client.release()
    return settings
  } catch (cause) {
    client.release(true)
    throw cause
  }
}
