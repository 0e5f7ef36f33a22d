// Which keys were seen lately: what is counted once must not be counted again soon.

export interface RecentKeysOptions {
  /** Monotonic, in ms. */
  readonly now: () => number
  readonly entriesMax: number
  /** How long a key is remembered, in ms. */
  readonly forMs: number
}

/** Bounded: the key that came first makes room. */
export class RecentKeys {
  readonly #options: RecentKeysOptions
  readonly #seenMs = new Map<string, number>()

  constructor(options: RecentKeysOptions) {
    this.#options = options
  }

  /** False where it was there already. */
  add(key: string): boolean {
    const { now, entriesMax, forMs } = this.#options
    const nowMs = now()
    const seenMs = this.#seenMs.get(key)
    if (seenMs !== undefined && nowMs - seenMs < forMs) return false
    this.#seenMs.delete(key)
    this.#seenMs.set(key, nowMs)
    if (this.#seenMs.size > entriesMax) {
      const [oldest] = this.#seenMs.keys()
      if (oldest !== undefined) this.#seenMs.delete(oldest)
    }
    return true
  }

  has(key: string): boolean {
    const seenMs = this.#seenMs.get(key)
    return seenMs !== undefined && this.#options.now() - seenMs < this.#options.forMs
  }

  delete(key: string): void {
    this.#seenMs.delete(key)
  }
}
