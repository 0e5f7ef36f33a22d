// A set of keys in their order: found by halving, moved by one copy.

import type { KeyRange } from './contract.ts'

export class SortedKeys {
  readonly #keys: string[]

  constructor(keys: Iterable<string> = []) {
    this.#keys = [...keys].sort((a, b) => (a < b ? -1 : 1))
  }

  /** The key must not be there yet. */
  add(key: string): void {
    this.#keys.splice(this.#position(key), 0, key)
  }

  /** The key must be there. */
  remove(key: string): void {
    this.#keys.splice(this.#position(key), 1)
  }

  within({ start, end, limit = Number.POSITIVE_INFINITY, reverse = false }: KeyRange): string[] {
    const first = this.#position(start)
    const last = this.#position(end)
    if (!reverse) return this.#keys.slice(first, Math.min(last, first + limit))
    return this.#keys.slice(Math.max(first, last - limit), last).reverse()
  }

  /** Of the first key that does not sort before `key`. */
  #position(key: string): number {
    let low = 0
    let high = this.#keys.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#keys[middle] ?? '') < key) low = middle + 1
      else high = middle
    }
    return low
  }
}
