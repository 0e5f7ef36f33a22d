// A key-value store on PostgreSQL: writes as transactions of its own, reads for record logic that is replayed.

import type { Pool, PoolClient } from 'pg'
import { StorageError } from '../../error.ts'
import type {
  Durability,
  KeyRange,
  KeyValueEntry,
  KeyValueReader,
  KeyValueSnapshot,
  KeyValueStore,
  KeyValueTransaction,
} from '../kv/contract.ts'
import { storageFault } from './fault.ts'
import { fetchWanted } from './fetch.ts'
import type { GroupWrite } from './group-write.ts'
import type { Fetched, Wanted } from './known.ts'
import { type Fetch, replayOnce } from './replay.ts'
import { PostgresSnapshot } from './snapshot.ts'

export class PostgresKeyValueStore implements KeyValueStore {
  readonly reader: KeyValueReader
  readonly #reader = new LentReader()
  readonly #pool: Pool
  readonly #writes: GroupWrite
  #isClosed = false

  constructor(pool: Pool, writes: GroupWrite) {
    this.#pool = pool
    this.#writes = writes
    this.reader = this.#reader
  }

  /**
   * Run synchronous logic that reads `reader`, of one moment of the database.
   * Errors: StorageError 'unavailable', and those of `action`.
   */
  async read<T>(action: () => T): Promise<T> {
    this.#checkOpen()
    return replayOnce(
      (known) => this.#reader.lend(known, action),
      (wanted) => fetchWith(this.#pool, wanted),
      (body) => this.#within(body),
    )
  }

  async write<T>(
    durability: Durability,
    action: (transaction: KeyValueTransaction) => T,
  ): Promise<T> {
    this.#checkOpen()
    return this.#writes.write(durability, action)
  }

  snapshot(): KeyValueSnapshot {
    return new PostgresSnapshot(this.#pool)
  }

  refresh(): void {}

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#writes.idle()
    await this.#pool.end()
  }

  /** Of one moment, in a transaction that ends behind the caller's back: nothing of it can fail any more. */
  async #within<R>(body: (fetch: Fetch) => Promise<R>): Promise<R> {
    const client = await connect(this.#pool)
    let failure: Error | undefined
    try {
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
      return await body((wanted) => fetchWith(client, wanted))
    } catch (cause) {
      if (!(cause instanceof StorageError) || cause.kind === 'unavailable') {
        failure = cause instanceof Error ? cause : new Error(String(cause))
      }
      throw cause instanceof StorageError ? cause : storageFault(cause)
    } finally {
      if (failure !== undefined) client.release(failure)
      else {
        void client.query('COMMIT').then(
          () => client.release(),
          (error: Error) => client.release(error),
        )
      }
    }
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new StorageError('unavailable', 'the metadata store is closed')
  }
}

/** The reader of whoever runs at the moment; outside of a replay nobody can read without a promise. */
class LentReader implements KeyValueReader {
  #current: KeyValueReader | undefined

  lend<T>(reader: KeyValueReader, action: () => T): T {
    const before = this.#current
    this.#current = reader
    try {
      return action()
    } finally {
      this.#current = before
    }
  }

  get(key: string): string | undefined {
    return this.#lent().get(key)
  }

  getBody(key: string): Uint8Array | undefined {
    return this.#lent().getBody(key)
  }

  bodyLength(key: string): number | undefined {
    return this.#lent().bodyLength(key)
  }

  entries(range: KeyRange): KeyValueEntry[] {
    return this.#lent().entries(range)
  }

  keys(range: KeyRange): string[] {
    return this.#lent().keys(range)
  }

  bodyKeys(range: KeyRange): string[] {
    return this.#lent().bodyKeys(range)
  }

  #lent(): KeyValueReader {
    if (this.#current === undefined) throw new Error('PostgreSQL is read by `read` alone')
    return this.#current
  }
}

async function fetchWith(
  client: Parameters<typeof fetchWanted>[0],
  wanted: Wanted,
): Promise<Fetched> {
  try {
    return await fetchWanted(client, wanted)
  } catch (cause) {
    throw storageFault(cause)
  }
}

async function connect(pool: Pool): Promise<PoolClient> {
  try {
    return await pool.connect()
  } catch (cause) {
    throw storageFault(cause)
  }
}
