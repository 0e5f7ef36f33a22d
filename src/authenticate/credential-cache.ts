// Remembers which credentials were good and which were not, without keeping a credential.

import { hash, randomBytes } from 'node:crypto'

export interface CredentialCacheOptions {
  readonly entriesMax: number
  /** Monotonic, in ms. */
  readonly now: () => number
}

interface Entry<Value> {
  readonly value: Value
  readonly untilMs: number
}

/** Bounded: the entry that was used longest ago makes room. */
export class CredentialCache<Value> {
  readonly #options: CredentialCacheOptions
  readonly #entries = new Map<string, Entry<Value>>()
  // A table of plain digests would let a reader of memory try passwords at leisure.
  readonly #prefix = randomBytes(32).toString('latin1')

  constructor(options: CredentialCacheOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#entries.size
  }

  /** The key of a credential, of the whole of it: one pass of SHA-256 with a secret prefix. */
  keyOf(credential: string): string {
    return hash('sha256', this.#prefix + credential, 'base64')
  }

  get(key: string): Value | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (entry.untilMs > this.#options.now()) return entry.value
    this.#entries.delete(key)
    return undefined
  }

  set(key: string, value: Value, ttlMs: number): void {
    this.#entries.delete(key)
    this.#entries.set(key, { value, untilMs: this.#options.now() + ttlMs })
    if (this.#entries.size <= this.#options.entriesMax) return
    const [oldest] = this.#entries.keys()
    if (oldest !== undefined) this.#entries.delete(oldest)
  }
}
