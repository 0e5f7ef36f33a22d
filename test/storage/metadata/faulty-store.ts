// A key-value store that fails on its nth step: a read, a write, or the commit, before it or after.

import { StorageError } from '../../../src/storage/error.ts'
import type { MaybePromise } from '../../../src/storage/metadata/contract.ts'
import type {
  Durability,
  KeyRange,
  KeyValueEntry,
  KeyValueReader,
  KeyValueSnapshot,
  KeyValueStore,
  KeyValueTransaction,
} from '../../../src/storage/metadata/kv/contract.ts'

export class FaultyStore implements KeyValueStore {
  readonly reader: KeyValueReader
  readonly #inner: KeyValueStore
  #left: number

  /** `failAt` counts from 1. */
  constructor(inner: KeyValueStore, failAt: number) {
    this.reader = inner.reader
    this.#inner = inner
    this.#left = failAt
  }

  /** Whether the fault has been met. */
  get hasFailed(): boolean {
    return this.#left <= 0
  }

  async write<T>(
    durability: Durability,
    action: (transaction: KeyValueTransaction) => T,
  ): Promise<T> {
    const step = (what: string): void => this.#step(what)
    const result = await this.#inner.write(durability, (transaction) => {
      const answer = action(faulty(transaction, step))
      step('before the commit')
      return answer
    })
    step('after the commit')
    return result
  }

  read<T>(action: () => T): MaybePromise<T> {
    return this.#inner.read(action)
  }

  snapshot(): KeyValueSnapshot {
    return this.#inner.snapshot()
  }

  refresh(): void {
    this.#inner.refresh()
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  #step(what: string): void {
    if (--this.#left === 0) throw new StorageError('unavailable', `planted: ${what}`)
  }
}

function faulty(inner: KeyValueTransaction, step: (what: string) => void): KeyValueTransaction {
  return {
    get(key: string): string | undefined {
      step(`get ${key}`)
      return inner.get(key)
    },
    getBody(key: string): Uint8Array | undefined {
      step(`get body ${key}`)
      return inner.getBody(key)
    },
    bodyLength(key: string): number | undefined {
      step(`body length ${key}`)
      return inner.bodyLength(key)
    },
    entries(range: KeyRange): KeyValueEntry[] {
      step(`entries ${range.start}`)
      return inner.entries(range)
    },
    keys(range: KeyRange): string[] {
      step(`keys ${range.start}`)
      return inner.keys(range)
    },
    bodyKeys(range: KeyRange): string[] {
      step(`body keys ${range.start}`)
      return inner.bodyKeys(range)
    },
    put(key: string, value: string): void {
      step(`put ${key}`)
      inner.put(key, value)
    },
    remove(key: string): void {
      step(`remove ${key}`)
      inner.remove(key)
    },
    putBody(key: string, body: Uint8Array): void {
      step(`put body ${key}`)
      inner.putBody(key, body)
    },
    removeBody(key: string): void {
      step(`remove body ${key}`)
      inner.removeBody(key)
    },
  }
}
