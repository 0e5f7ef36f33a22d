// A transaction that keeps its writes to itself until they are all known, so that a throw leaves nothing.

import type { KeyRange, KeyValueEntry, KeyValueReader, KeyValueTransaction } from './contract.ts'
import { SortedKeys } from './sorted-keys.ts'

/** Where the writes of a finished transaction go. */
export interface WriteTarget {
  put(key: string, value: string): void
  remove(key: string): void
  putBody(key: string, body: Uint8Array): void
  removeBody(key: string): void
}

export class BufferedTransaction implements KeyValueTransaction {
  readonly #base: KeyValueReader
  // Undefined stands for a removal.
  readonly #records = new Map<string, string | undefined>()
  readonly #bodies = new Map<string, Uint8Array | undefined>()
  #order: SortedKeys | undefined

  constructor(base: KeyValueReader) {
    this.#base = base
  }

  get(key: string): string | undefined {
    return this.#records.has(key) ? this.#records.get(key) : this.#base.get(key)
  }

  getBody(key: string): Uint8Array | undefined {
    return this.#bodies.has(key) ? this.#bodies.get(key) : this.#base.getBody(key)
  }

  bodyLength(key: string): number | undefined {
    return this.#bodies.has(key) ? this.#bodies.get(key)?.length : this.#base.bodyLength(key)
  }

  entries(range: KeyRange): KeyValueEntry[] {
    const own = this.#ownWithin(range)
    if (own.length === 0) return this.#base.entries(range)
    const limit = range.limit ?? Number.POSITIVE_INFINITY
    const found = this.#base
      .entries({ ...range, limit: limit + own.length })
      .filter((entry) => !this.#records.has(entry.key))
    for (const key of own) {
      const value = this.#records.get(key)
      if (value !== undefined) found.push({ key, value })
    }
    const direction = range.reverse === true ? -1 : 1
    found.sort((a, b) => (a.key < b.key ? -direction : direction))
    return found.slice(0, limit)
  }

  keys(range: KeyRange): string[] {
    if (this.#ownWithin(range).length === 0) return this.#base.keys(range)
    return this.entries(range).map((entry) => entry.key)
  }

  bodyKeys(range: KeyRange): string[] {
    return this.#base.bodyKeys(range)
  }

  put(key: string, value: string): void {
    this.#set(key, value)
  }

  remove(key: string): void {
    this.#set(key, undefined)
  }

  putBody(key: string, body: Uint8Array): void {
    this.#bodies.set(key, body)
  }

  removeBody(key: string): void {
    this.#bodies.set(key, undefined)
  }

  /** Hand every write over, the last one of each key. */
  applyTo(target: WriteTarget): void {
    for (const [key, value] of this.#records) {
      if (value === undefined) target.remove(key)
      else target.put(key, value)
    }
    for (const [key, body] of this.#bodies) {
      if (body === undefined) target.removeBody(key)
      else target.putBody(key, body)
    }
  }

  #set(key: string, value: string | undefined): void {
    if (!this.#records.has(key)) this.#order?.add(key)
    this.#records.set(key, value)
  }

  #ownWithin({ start, end }: KeyRange): string[] {
    if (this.#records.size === 0) return []
    // Most transactions read all their ranges before they write, and never need the order.
    this.#order ??= new SortedKeys(this.#records.keys())
    return this.#order.within({ start, end })
  }
}
