// A set of keys in their order, in chunks, so that a new key moves few others.

import type { KeyRange } from './contract.ts'

// A full chunk is halved.
const chunkLengthMax = 1024

export class SortedKeys {
  /** Each in order, and one after the other; none but the only one is empty. */
  readonly #chunks: string[][] = [[]]

  constructor(keys: Iterable<string> = []) {
    const sorted = [...keys].sort((a, b) => (a < b ? -1 : 1))
    for (let start = 0; start < sorted.length; start += chunkLengthMax / 2) {
      this.#chunks[(2 * start) / chunkLengthMax] = sorted.slice(start, start + chunkLengthMax / 2)
    }
  }

  /** The key must not be there yet. */
  add(key: string): void {
    const at = this.#chunkAt(key)
    const chunk = this.#chunk(at)
    chunk.splice(position(chunk, key), 0, key)
    if (chunk.length < chunkLengthMax) return
    this.#chunks.splice(at + 1, 0, chunk.splice(chunkLengthMax / 2))
  }

  /** The key must be there. */
  remove(key: string): void {
    const at = this.#chunkAt(key)
    const chunk = this.#chunk(at)
    chunk.splice(position(chunk, key), 1)
    if (chunk.length === 0 && this.#chunks.length > 1) this.#chunks.splice(at, 1)
  }

  within(range: KeyRange): string[] {
    return range.reverse === true ? this.#backward(range) : this.#forward(range)
  }

  #forward({ start, end, limit = Number.POSITIVE_INFINITY }: KeyRange): string[] {
    const found: string[] = []
    for (let at = this.#chunkAt(start); at < this.#chunks.length; at++) {
      const chunk = this.#chunk(at)
      const last = position(chunk, end)
      for (let i = position(chunk, start); i < last && found.length < limit; i++) {
        found.push(chunk[i] ?? '')
      }
      if (last < chunk.length || found.length >= limit) break
    }
    return found
  }

  #backward({ start, end, limit = Number.POSITIVE_INFINITY }: KeyRange): string[] {
    const found: string[] = []
    for (let at = this.#chunkAt(end); at >= 0; at--) {
      const chunk = this.#chunk(at)
      const first = position(chunk, start)
      for (let i = position(chunk, end) - 1; i >= first && found.length < limit; i--) {
        found.push(chunk[i] ?? '')
      }
      if (first > 0 || found.length >= limit) break
    }
    return found
  }

  /** Of the chunk in which `key` is or would be: the last one that starts at or before it. */
  #chunkAt(key: string): number {
    let low = 0
    let high = this.#chunks.length - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if ((this.#chunk(middle)[0] ?? '') <= key) low = middle
      else high = middle - 1
    }
    return low
  }

  #chunk(at: number): string[] {
    return this.#chunks[at] ?? []
  }
}

/** Of the first key that does not sort before `key`. */
function position(keys: readonly string[], key: string): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((keys[middle] ?? '') < key) low = middle + 1
    else high = middle
  }
  return low
}
