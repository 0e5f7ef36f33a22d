// Reads of LMDB, inside and outside of a write transaction: the package picks the right snapshot.

import type { RangeOptions } from 'lmdb'
import type { KeyRange, KeyValueEntry, KeyValueReader } from '../kv/contract.ts'
import type { Databases } from './databases.ts'
import { storageFault } from './fault.ts'

export class LmdbReader implements KeyValueReader {
  readonly #records: Databases['records']
  readonly #bodies: Databases['bodies']
  readonly #path: string

  constructor({ records, bodies }: Databases, path: string) {
    this.#records = records
    this.#bodies = bodies
    this.#path = path
  }

  get(key: string): string | undefined {
    try {
      return this.#records.get(key)
    } catch (cause) {
      throw storageFault(cause, this.#path)
    }
  }

  getBody(key: string): Uint8Array | undefined {
    try {
      const shared = this.#bodies.getBinaryFast(key)
      return shared === undefined ? undefined : copyOf(shared)
    } catch (cause) {
      throw storageFault(cause, this.#path)
    }
  }

  bodyLength(key: string): number | undefined {
    try {
      return this.#bodies.getBinaryFast(key)?.length
    } catch (cause) {
      throw storageFault(cause, this.#path)
    }
  }

  entries(range: KeyRange): KeyValueEntry[] {
    try {
      return [...this.#records.getRange(rangeOptions(range))]
    } catch (cause) {
      throw storageFault(cause, this.#path)
    }
  }

  keys(range: KeyRange): string[] {
    try {
      return [...this.#records.getKeys(rangeOptions(range))]
    } catch (cause) {
      throw storageFault(cause, this.#path)
    }
  }

  bodyKeys(range: KeyRange): string[] {
    try {
      return [...this.#bodies.getKeys(rangeOptions(range))]
    } catch (cause) {
      throw storageFault(cause, this.#path)
    }
  }
}

/** The package reads into one buffer, or shows its map: the next read or commit changes both. */
function copyOf(shared: Uint8Array): Buffer {
  // Of its one buffer the package sets `length` to what was read; its true length is that of the buffer.
  const size = shared.length
  const copy = Buffer.allocUnsafe(size)
  copy.set(shared.byteLength === size ? shared : shared.subarray(0, size))
  return copy
}

export function rangeOptions({ start, end, limit, reverse }: KeyRange): RangeOptions {
  const bounds: RangeOptions =
    reverse === true
      ? { start: end, exclusiveStart: true, end: start, inclusiveEnd: true, reverse }
      : { start, end }
  return limit === undefined ? bounds : { ...bounds, limit }
}
