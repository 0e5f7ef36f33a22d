// The metadata store of tests and of `metadata_store.memory`: sorted arrays, gone with the process.

import { StorageError } from '../../error.ts'
import { BufferedTransaction, type WriteTarget } from '../kv/buffered.ts'
import type {
  Durability,
  KeyRange,
  KeyValueEntry,
  KeyValueReader,
  KeyValueSnapshot,
  KeyValueStore,
  KeyValueTransaction,
} from '../kv/contract.ts'
import { SortedKeys } from '../kv/sorted-keys.ts'
import { KeyValueMetadataStore } from '../kv/store.ts'

export class MemoryMetadataStore extends KeyValueMetadataStore {
  constructor() {
    super(new MemoryKeyValueStore())
  }
}

/** Without the record logic; exported for tests that look under it. */
export class MemoryKeyValueStore implements KeyValueStore {
  readonly reader: KeyValueReader
  readonly #tables = new Tables()
  #isClosed = false

  constructor() {
    this.reader = this.#tables
  }

  async write<T>(
    _durability: Durability,
    action: (transaction: KeyValueTransaction) => T,
  ): Promise<T> {
    if (this.#isClosed) throw new StorageError('unavailable', 'the metadata store is closed')
    const transaction = new BufferedTransaction(this.#tables)
    const result = action(transaction)
    transaction.applyTo(this.#tables)
    return result
  }

  read<T>(action: () => T): T {
    return action()
  }

  snapshot(): KeyValueSnapshot {
    return this.#tables.copy()
  }

  refresh(): void {}

  async close(): Promise<void> {
    this.#isClosed = true
  }
}

class Tables implements KeyValueReader, KeyValueSnapshot, WriteTarget {
  readonly #keys: SortedKeys
  readonly #values: Map<string, string>
  readonly #bodies: Map<string, Uint8Array>

  constructor(
    values: ReadonlyMap<string, string> = new Map(),
    bodies: ReadonlyMap<string, Uint8Array> = new Map(),
  ) {
    this.#keys = new SortedKeys(values.keys())
    this.#values = new Map(values)
    this.#bodies = new Map(bodies)
  }

  /** Bodies are never changed, so both may have them. */
  copy(): Tables {
    return new Tables(this.#values, this.#bodies)
  }

  bodyKeys(range: KeyRange): string[] {
    return new SortedKeys(this.#bodies.keys()).within(range)
  }

  close(): void {}

  get(key: string): string | undefined {
    return this.#values.get(key)
  }

  getBody(key: string): Uint8Array | undefined {
    return this.#bodies.get(key)
  }

  bodyLength(key: string): number | undefined {
    return this.#bodies.get(key)?.length
  }

  entries(range: KeyRange): KeyValueEntry[] {
    return this.keys(range).map((key) => ({ key, value: this.#values.get(key) ?? '' }))
  }

  keys(range: KeyRange): string[] {
    return this.#keys.within(range)
  }

  put(key: string, value: string): void {
    if (!this.#values.has(key)) this.#keys.add(key)
    this.#values.set(key, value)
  }

  remove(key: string): void {
    if (this.#values.delete(key)) this.#keys.remove(key)
  }

  putBody(key: string, body: Uint8Array): void {
    // A copy, since the caller may use its buffer again.
    this.#bodies.set(key, Uint8Array.from(body))
  }

  removeBody(key: string): void {
    this.#bodies.delete(key)
  }
}
