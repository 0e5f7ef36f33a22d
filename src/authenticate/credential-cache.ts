// Remembers which credentials were good and which were not, without keeping a credential.

import { hash, randomBytes } from 'node:crypto'
import { type CacheCounts, newCacheCounts } from '../telemetry/cache-counts.ts'

export interface CredentialCacheOptions {
  readonly entriesMax: number
  /** Monotonic, in ms. */
  readonly now: () => number
  /** Counted up in place; default one of its own. */
  readonly counts?: CacheCounts
  /** Put before each credential that is hashed; default one of its own. ASCII. */
  readonly prefix?: string
}

/** For `CredentialCacheOptions.prefix`: caches that share one have the same keys. */
export function newCachePrefix(): string {
  return randomBytes(32).toString('base64url')
}

interface Entry<Value> {
  readonly value: Value
  readonly untilMs: number
}

/** Bounded: the entry that was used longest ago makes room. */
export class CredentialCache<Value> {
  readonly #options: CredentialCacheOptions
  readonly #counts: CacheCounts
  readonly #entries = new Map<string, Entry<Value>>()
  // A table of plain digests would let a reader of memory try passwords at leisure. ASCII, since a text
  // with other characters is encoded anew, as a whole, before it is hashed.
  readonly #prefix: string
  #lastCredential: string | undefined
  #lastKey = ''

  constructor(options: CredentialCacheOptions) {
    this.#options = options
    this.#counts = options.counts ?? newCacheCounts()
    this.#prefix = options.prefix ?? newCachePrefix()
  }

  get size(): number {
    return this.#entries.size
  }

  /**
   * The key of a credential, of the whole of it: one pass of SHA-256 with a secret prefix. What many
   * connections show in one turn of the event loop is hashed once; its text is let go at the turn's end,
   * with the requests that hold it.
   */
  keyOf(credential: string): string {
    if (credential === this.#lastCredential) return this.#lastKey
    const key = hash('sha256', this.#prefix + credential, 'base64')
    if (this.#lastCredential === undefined) setImmediate(this.#forget)
    this.#lastCredential = credential
    this.#lastKey = key
    return key
  }

  get(key: string): Value | undefined {
    const entry = this.#entries.get(key)
    if (entry !== undefined && entry.untilMs > this.#options.now()) {
      this.#counts.hits += 1
      return entry.value
    }
    this.#counts.misses += 1
    if (entry !== undefined) this.#entries.delete(key)
    return undefined
  }

  set(key: string, value: Value, ttlMs: number): void {
    this.#entries.delete(key)
    this.#entries.set(key, { value, untilMs: this.#options.now() + ttlMs })
    if (this.#entries.size <= this.#options.entriesMax) return
    const [oldest] = this.#entries.keys()
    if (oldest === undefined) return
    this.#entries.delete(oldest)
    this.#counts.evictions += 1
  }

  readonly #forget = (): void => {
    this.#lastCredential = undefined
    this.#lastKey = ''
  }
}
