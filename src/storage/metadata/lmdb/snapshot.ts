// One read transaction of LMDB, kept over many turns of the event loop.

import assert from 'node:assert'
import type { RangeOptions, Transaction } from 'lmdb'
import type { KeyRange, KeyValueEntry, KeyValueSnapshot } from '../kv/contract.ts'
import type { Databases } from './databases.ts'
import { storageFault } from './fault.ts'
import { rangeOptions } from './reader.ts'

/** Every read ends its cursor before it returns: one that is left open must not outlive its transaction. */
export class LmdbSnapshot implements KeyValueSnapshot {
  readonly #databases: Databases
  readonly #path: string
  #transaction: Transaction | undefined

  /** Errors: StorageError 'unavailable'. */
  constructor(databases: Databases, path: string) {
    this.#databases = databases
    this.#path = path
    this.#transaction = this.#read(() => databases.root.useReadTransaction())
  }

  get(key: string): string | undefined {
    return this.#read(() => this.#databases.records.get(key, this.#options))
  }

  entries(range: KeyRange): KeyValueEntry[] {
    return this.#read(() => [...this.#databases.records.getRange(this.#ranged(range))])
  }

  bodyKeys(range: KeyRange): string[] {
    return this.#read(() => [...this.#databases.bodies.getKeys(this.#ranged(range))])
  }

  getBody(key: string): Uint8Array | undefined {
    // Unlike `getBinaryFast` it copies.
    return this.#read(() => this.#databases.bodies.get(key, this.#options))
  }

  close(): void {
    this.#transaction?.done()
    this.#transaction = undefined
  }

  get #options(): { transaction: Transaction } {
    assert(this.#transaction, 'a snapshot is not read after its end')
    return { transaction: this.#transaction }
  }

  #ranged(range: KeyRange): RangeOptions {
    return { ...rangeOptions(range), ...this.#options }
  }

  #read<T>(action: () => T): T {
    try {
      return action()
    } catch (cause) {
      throw storageFault(cause, this.#path)
    }
  }
}
