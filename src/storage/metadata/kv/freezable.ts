// A store whose writes can be refused for a while: what a dump would hold then stays as it is.

import { StorageError } from '../../error.ts'
import type { MaybePromise } from '../contract.ts'
import type {
  Durability,
  KeyRange,
  KeyValueEntry,
  KeyValueReader,
  KeyValueSnapshot,
  KeyValueStore,
  KeyValueTransaction,
} from './contract.ts'
import { jobKey, lockKey, probeKey } from './keys.ts'

export class FreezableStore implements KeyValueStore {
  readonly reader: KeyValueReader
  readonly #store: KeyValueStore
  #freezes = 0

  constructor(store: KeyValueStore) {
    this.#store = store
    this.reader = store.reader
  }

  get isFrozen(): boolean {
    return this.#freezes > 0
  }

  /**
   * From when it resolves nothing is changed but the rows of this process itself: its lock, its jobs, its probes.
   * Any other change rejects with StorageError 'frozen', also one that waits for its turn already. What it
   * answers ends that; idempotent. Errors: StorageError 'unavailable', 'full'.
   */
  async freeze(): Promise<() => void> {
    let isFrozen = true
    this.#freezes += 1
    const thaw = (): void => {
      if (isFrozen) this.#freezes -= 1
      isFrozen = false
    }
    try {
      // Writes are in order: what was decided before is committed when this is.
      await this.#store.write('durable', (transaction) => transaction.put(probeKey, 'frozen'))
      return thaw
    } catch (error) {
      thaw()
      throw error
    }
  }

  write<T>(durability: Durability, action: (transaction: KeyValueTransaction) => T): Promise<T> {
    return this.#store.write(durability, (transaction) =>
      action(this.#freezes === 0 ? transaction : new FrozenTransaction(transaction)),
    )
  }

  read<T>(action: () => T): MaybePromise<T> {
    return this.#store.read(action)
  }

  snapshot(): KeyValueSnapshot {
    return this.#store.snapshot()
  }

  refresh(): void {
    this.#store.refresh()
  }

  close(): Promise<void> {
    return this.#store.close()
  }
}

const jobsPrefix = jobKey('')

class FrozenTransaction implements KeyValueTransaction {
  readonly #transaction: KeyValueTransaction

  constructor(transaction: KeyValueTransaction) {
    this.#transaction = transaction
  }

  get(key: string): string | undefined {
    return this.#transaction.get(key)
  }

  getBody(key: string): Uint8Array | undefined {
    return this.#transaction.getBody(key)
  }

  bodyLength(key: string): number | undefined {
    return this.#transaction.bodyLength(key)
  }

  entries(range: KeyRange): KeyValueEntry[] {
    return this.#transaction.entries(range)
  }

  keys(range: KeyRange): string[] {
    return this.#transaction.keys(range)
  }

  bodyKeys(range: KeyRange): string[] {
    return this.#transaction.bodyKeys(range)
  }

  put(key: string, value: string): void {
    requireOwn(key)
    this.#transaction.put(key, value)
  }

  remove(key: string): void {
    requireOwn(key)
    this.#transaction.remove(key)
  }

  putBody(key: string): void {
    throw frozen(key)
  }

  removeBody(key: string): void {
    throw frozen(key)
  }
}

function requireOwn(key: string): void {
  if (key !== lockKey && key !== probeKey && !key.startsWith(jobsPrefix)) throw frozen(key)
}

function frozen(key: string): StorageError {
  const text = `the store is read-only while it is migrated, so ${key.slice(0, 100)} stays as it is`
  return new StorageError('frozen', text)
}
