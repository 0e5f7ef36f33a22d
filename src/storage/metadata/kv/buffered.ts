// A transaction that keeps its writes to itself until they are all known, so that a throw leaves nothing.

import type { KeyRange, KeyValueEntry, KeyValueReader, KeyValueTransaction } from './contract.ts'

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

  constructor(base: KeyValueReader) {
    this.#base = base
  }

  get(key: string): string | undefined {
    return this.#records.has(key) ? this.#records.get(key) : this.#base.get(key)
  }

  getBody(key: string): Uint8Array | undefined {
    return this.#bodies.has(key) ? this.#bodies.get(key) : this.#base.getBody(key)
  }

  entries(range: KeyRange): KeyValueEntry[] {
    const own = this.#ownWithin(range)
    if (own.size === 0) return this.#base.entries(range)
    const limit = range.limit ?? Number.POSITIVE_INFINITY
    const found = this.#base
      .entries({ ...range, limit: limit + own.size })
      .filter((entry) => !own.has(entry.key))
    for (const [key, value] of own) if (value !== undefined) found.push({ key, value })
    const direction = range.reverse === true ? -1 : 1
    found.sort((a, b) => (a.key < b.key ? -direction : direction))
    return found.slice(0, limit)
  }

  keys(range: KeyRange): string[] {
    if (this.#ownWithin(range).size === 0) return this.#base.keys(range)
    return this.entries(range).map((entry) => entry.key)
  }

  put(key: string, value: string): void {
    this.#records.set(key, value)
  }

  remove(key: string): void {
    this.#records.set(key, undefined)
  }

  putBody(key: string, body: Uint8Array): void {
    this.#bodies.set(key, body)
  }

  removeBody(key: string): void {
    this.#bodies.set(key, undefined)
  }

  get isEmpty(): boolean {
    return this.#records.size === 0 && this.#bodies.size === 0
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

  #ownWithin({ start, end }: KeyRange): Map<string, string | undefined> {
    const own = new Map<string, string | undefined>()
    for (const [key, value] of this.#records) if (key >= start && key < end) own.set(key, value)
    return own
  }
}
