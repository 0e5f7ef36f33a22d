// What the record logic asks of a backend: ordered keys, and transactions that happen whole or not at all.

/** From `start` on, up to but without `end`. Order is that of ASCII; keys hold nothing else. */
export interface KeyRange {
  readonly start: string
  readonly end: string
  /** At most so many; all where absent. */
  readonly limit?: number
  /** From the end towards the start. */
  readonly reverse?: boolean
}

export interface KeyValueEntry {
  readonly key: string
  readonly value: string
}

/**
 * Records are never empty strings. Bodies live under keys of their own space.
 * Errors: StorageError 'unavailable', 'corrupt'.
 */
export interface KeyValueReader {
  get(key: string): string | undefined
  /** The bytes may be shared: never change them. */
  getBody(key: string): Uint8Array | undefined
  entries(range: KeyRange): KeyValueEntry[]
  keys(range: KeyRange): string[]
}

/** Reads see the transaction's own writes. `remove` of what is absent does nothing. */
export interface KeyValueTransaction extends KeyValueReader {
  put(key: string, value: string): void
  remove(key: string): void
  /** The bytes are kept by reference until the commit. */
  putBody(key: string, body: Uint8Array): void
  removeBody(key: string): void
}

/** `durable` waits until a power loss cannot undo it, `visible` until every reader sees it. */
export type Durability = 'durable' | 'visible'

export interface KeyValueStore {
  /** Sees what is committed, this store's own writes as soon as they resolve. */
  readonly reader: KeyValueReader
  /**
   * Run `action` alone among all writers. When it throws, nothing of it remains and the promise rejects
   * with that error. It may be run again before anything of it is kept, so its only effects are its writes.
   * Errors: StorageError 'full', 'unavailable'; after the second the outcome is unknown.
   */
  write<T>(durability: Durability, action: (transaction: KeyValueTransaction) => T): Promise<T>
  refresh(): void
  close(): Promise<void>
}
