// One moment of the database for as long as somebody reads it, on a connection of its own.

import type { Pool, PoolClient } from 'pg'
import { StorageError } from '../../error.ts'
import type { KeyRange, KeyValueEntry, KeyValueSnapshot } from '../kv/contract.ts'
import { storageFault } from './fault.ts'
import { fetchWanted } from './fetch.ts'
import type { Fetched, Wanted, WantedRange } from './known.ts'

const nothing: Wanted = { records: [], bodies: [], lengths: [], ranges: [] }

/** The moment is that of its making, or shortly after: the connection has to be had first. */
export class PostgresSnapshot implements KeyValueSnapshot {
  readonly #client: Promise<PoolClient>
  #isClosed = false

  constructor(pool: Pool) {
    this.#client = begin(pool)
    // Told to whoever reads.
    this.#client.catch(() => {})
  }

  async get(key: string): Promise<string | undefined> {
    return (await this.#fetch({ ...nothing, records: [key] })).records[0]
  }

  async getBody(key: string): Promise<Uint8Array | undefined> {
    return (await this.#fetch({ ...nothing, bodies: [key] })).bodies[0]
  }

  entries(range: KeyRange): Promise<KeyValueEntry[]> {
    return this.#within({ ...range, of: 'entries' })
  }

  async bodyKeys(range: KeyRange): Promise<string[]> {
    return (await this.#within({ ...range, of: 'bodyKeys' })).map(({ key }) => key)
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    // The transaction has changed nothing, so nobody has to know how it ends.
    void this.#client.then(
      (client) =>
        client.query('COMMIT').then(
          () => client.release(),
          (error: Error) => client.release(error),
        ),
      () => {},
    )
  }

  async #within(range: WantedRange): Promise<KeyValueEntry[]> {
    return (await this.#fetch({ ...nothing, ranges: [range] })).ranges[0] ?? []
  }

  async #fetch(wanted: Wanted): Promise<Fetched> {
    if (this.#isClosed) throw new StorageError('unavailable', 'the snapshot is closed')
    const client = await this.#client
    try {
      return await fetchWanted(client, wanted)
    } catch (cause) {
      throw storageFault(cause)
    }
  }
}

async function begin(pool: Pool): Promise<PoolClient> {
  let client: PoolClient
  try {
    client = await pool.connect()
  } catch (cause) {
    throw storageFault(cause)
  }
  try {
    // Its moment is that of the first statement that reads.
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1')
    return client
  } catch (cause) {
    client.release(cause instanceof Error ? cause : true)
    throw storageFault(cause)
  }
}
