// What the record logic asks of a backend: ordered keys, and transactions that happen whole or not at all.

import type { MaybePromise } from '../contract.ts'

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
  /** In bytes, without a copy of them. */
  bodyLength(key: string): number | undefined
  entries(range: KeyRange): KeyValueEntry[]
  keys(range: KeyRange): string[]
  /** Of bodies. Not those that a transaction has written itself: nobody looks for them. */
  bodyKeys(range: KeyRange): string[]
}

/** Reads see the transaction's own writes. `remove` of what is absent does nothing. */
export interface KeyValueTransaction extends KeyValueReader {
  put(key: string, value: string): void
  remove(key: string): void
  /** The bytes are kept by reference until the commit. */
  putBody(key: string, body: Uint8Array): void
  removeBody(key: string): void
}

/**
 * What was committed when it was opened, whatever is written meanwhile. Close it soon: until then the store
 * grows by all that is written. Reads after that are a programmer error.
 * Errors: StorageError 'unavailable', 'corrupt'.
 */
export interface KeyValueSnapshot {
  get(key: string): MaybePromise<string | undefined>
  entries(range: KeyRange): MaybePromise<KeyValueEntry[]>
  /** Of bodies. */
  bodyKeys(range: KeyRange): MaybePromise<string[]>
  getBody(key: string): MaybePromise<Uint8Array | undefined>
  /** Idempotent. */
  close(): void
}

/** `durable` waits until a power loss cannot undo it, `visible` until every reader sees it. */
export type Durability = 'durable' | 'visible'

export interface KeyValueStore {
  /** Inside of `read` alone, where reads take a promise. Sees what is committed, this store's own writes as soon as they resolve. */
  readonly reader: KeyValueReader
  /**
   * Run `action` alone among all writers. When it throws, nothing of it remains and the promise rejects
   * with that error. It may be run again before anything of it is kept, so its only effects are its writes.
   * Errors: StorageError 'full', 'unavailable'; after the second the outcome is unknown.
   */
  write<T>(durability: Durability, action: (transaction: KeyValueTransaction) => T): Promise<T>
  /**
   * What `action` answers, which reads `reader` and has no other effect: it may be run many times. All that it
   * reads is of one moment. Errors: those of `action`; StorageError 'unavailable'.
   */
  read<T>(action: () => T): MaybePromise<T>
  snapshot(): KeyValueSnapshot
  refresh(): void
  close(): Promise<void>
}
