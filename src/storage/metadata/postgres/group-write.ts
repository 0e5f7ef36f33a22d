// Writes that come together share a transaction; each still happens whole or not at all.

import type { Pool, PoolClient } from 'pg'
import type { PostgresCounts } from '../../../telemetry/postgres-metrics.ts'
import { StorageError } from '../../error.ts'
import { BufferedTransaction, type WriteTarget } from '../kv/buffered.ts'
import type { Durability, KeyValueReader, KeyValueTransaction } from '../kv/contract.ts'
import { isConflict, isOfItsValues, isRefusal, storageFault } from './fault.ts'
import { fetchWanted } from './fetch.ts'
import { replay } from './replay.ts'

export interface GroupWriteOptions {
  readonly pool: Pool
  readonly counts: PostgresCounts
  /** Milliseconds, from anywhere on. */
  readonly now: () => number
  /** From 0 up to 1. */
  readonly random: () => number
  readonly wait: (ms: number) => Promise<void>
  /** A transaction that others get in the way of for longer is given up. Units: ms. */
  readonly conflictsMaxMs: number
  /** Within a transaction: the locks of a host that is gone are free after that. Units: ms. */
  readonly idleMaxMs: number
  /** What a commit waits for, whatever the database has as its default. */
  readonly syncing: 'on' | 'remote_apply' | 'off'
}

interface Pending {
  readonly action: (transaction: KeyValueTransaction) => unknown
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

// More would only make each transaction longer, and so likelier to meet another node's.
const batchMax = 64
const backOffMaxMs = 200

export class GroupWrite {
  readonly #options: GroupWriteOptions
  #queue: Pending[] = []
  #running: Promise<void> | undefined

  constructor(options: GroupWriteOptions) {
    this.#options = options
  }

  write<T>(_durability: Durability, action: (transaction: KeyValueTransaction) => T): Promise<T> {
    return new Promise<unknown>((resolve, reject) => {
      this.#queue.push({ action, resolve, reject })
      this.#running ??= this.#run()
    }) as Promise<T>
  }

  /** Resolves when nothing is queued or under way. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running
  }

  /** One transaction at a time: those of one node never get in each other's way. Never rejects. */
  async #run(): Promise<void> {
    // What comes in the same turn of the loop goes together.
    await Promise.resolve()
    while (this.#queue.length > 0) await this.#commit(this.#queue.splice(0, batchMax))
    this.#running = undefined
  }

  async #commit(batch: readonly Pending[]): Promise<void> {
    try {
      for (const settle of await this.#attempts(batch)) settle()
    } catch (cause) {
      if (batch.length > 1 && isOfItsValues(cause)) {
        // One of them is to blame; the others must not fail with it.
        for (const pending of batch) await this.#commit([pending])
        return
      }
      this.#options.counts.failures += 1
      const fault = storageFault(cause)
      for (const pending of batch) pending.reject(fault)
    }
  }

  async #attempts(batch: readonly Pending[]): Promise<(() => void)[]> {
    const { counts, now, random, wait, conflictsMaxMs } = this.#options
    const giveUpAt = now() + conflictsMaxMs
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#attempt(batch)
      } catch (cause) {
        if (!isConflict(cause)) throw cause
        counts.conflicts += 1
        if (now() > giveUpAt) throw cause
        await wait(random() * Math.min(backOffMaxMs, 2 ** attempt))
      }
    }
  }

  /**
   * Also what nobody waits to be durable: a database that is killed alone, beside servers that live on, would take
   * back what others have seen, such as the fence of an upload, by which its pieces are told apart.
   */
  #begin(): string {
    const { idleMaxMs, syncing } = this.#options
    return (
      'BEGIN ISOLATION LEVEL SERIALIZABLE; ' +
      `SET LOCAL synchronous_commit = ${syncing}; ` +
      `SET LOCAL idle_in_transaction_session_timeout = ${idleMaxMs}`
    )
  }

  async #attempt(batch: readonly Pending[]): Promise<(() => void)[]> {
    const client = await this.#options.pool.connect()
    let failure: Error | undefined
    try {
      await client.query(this.#begin())
      const { writes, settle } = await replay(
        (reader) => runAll(batch, reader),
        (wanted) => fetchWanted(client, wanted),
      )
      await writes.send(client)
      const { command } = await client.query('COMMIT')
      // What the database answers where the transaction had failed before.
      if (command !== 'COMMIT') throw new StorageError('unavailable', notCommitted)
      this.#options.counts.transactions += 1
      return settle
    } catch (cause) {
      failure = cause instanceof Error ? cause : new Error(String(cause))
      if (isRefusal(cause) || cause instanceof StorageError) {
        // The connection goes on where it can be brought out of its transaction.
        failure = await client.query('ROLLBACK').then(
          () => undefined,
          (error: Error) => error,
        )
      }
      throw cause
    } finally {
      client.release(failure)
    }
  }
}

const notCommitted = 'metadata store: PostgreSQL: the transaction was rolled back'

interface Ran {
  readonly writes: Writes
  readonly settle: (() => void)[]
}

/** Each over what those before it have written; what one throws leaves no write of it behind. */
function runAll(batch: readonly Pending[], reader: KeyValueReader): Ran {
  const all = new BufferedTransaction(reader)
  const settle = batch.map(({ action, resolve, reject }) => {
    const own = new BufferedTransaction(all)
    try {
      const result = action(own)
      own.applyTo(all)
      return () => resolve(result)
    } catch (error) {
      return () => reject(error)
    }
  })
  const writes = new Writes()
  all.applyTo(writes)
  return { writes, settle }
}

/** The changes of a transaction, a statement for each kind. */
class Writes implements WriteTarget {
  readonly #keys: string[] = []
  readonly #values: string[] = []
  readonly #removed: string[] = []
  readonly #bodies = new Map<string, Uint8Array>()
  readonly #removedBodies: string[] = []

  put(key: string, value: string): void {
    this.#keys.push(key)
    this.#values.push(value)
  }

  remove(key: string): void {
    this.#removed.push(key)
  }

  putBody(key: string, body: Uint8Array): void {
    this.#bodies.set(key, body)
  }

  removeBody(key: string): void {
    this.#removedBodies.push(key)
  }

  async send(client: PoolClient): Promise<void> {
    if (this.#keys.length > 0) {
      await client.query({
        name: 'keelson-put',
        text:
          'INSERT INTO keelson_records (key, value) SELECT * FROM unnest($1::text[], $2::text[]) ' +
          'ON CONFLICT (key) DO UPDATE SET value = excluded.value',
        values: [this.#keys, this.#values],
      })
    }
    for (const [key, body] of this.#bodies) {
      await client.query({
        name: 'keelson-put-body',
        text:
          'INSERT INTO keelson_bodies (key, body) VALUES ($1, $2) ' +
          'ON CONFLICT (key) DO UPDATE SET body = excluded.body',
        values: [key, Buffer.from(body.buffer, body.byteOffset, body.byteLength)],
      })
    }
    await this.#remove(client, 'keelson_records', this.#removed)
    await this.#remove(client, 'keelson_bodies', this.#removedBodies)
  }

  async #remove(client: PoolClient, table: string, keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return
    const text = `DELETE FROM ${table} WHERE key = ANY($1::text[])`
    await client.query({ name: `remove-${table}`, text, values: [keys] })
  }
}
