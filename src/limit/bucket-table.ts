// Token buckets in the memory of this process: bounded, refilled when they are looked at.

import type { BucketRate, Buckets } from './contract.ts'

interface Bucket {
  readonly key: string
  /** Tokens that were missing at `atMs`. */
  missing: number
  atMs: number
  /** From then on it is full, which is the same as not to be known. */
  fullAtMs: number
  /** In the heap. */
  place: number
}

// What is lost and gained by rounding, in tokens.
const tolerance = 1e-6
// Full buckets that leave for each that comes: more than one, so that what was a crowd gets small again.
const leaversMax = 2

/** Limits: 65,536 keys, as `openBucketTable` makes it. */
export const bucketsMax = 65_536

/**
 * Beyond `keysMax` keys the bucket goes that is the next to be full. Whoever comes without a bucket may
 * be one that had to go, so it starts with what the fullest of those lacked: a crowd of new keys wins
 * nobody a token, but for the one that each new key has in any case.
 */
export class BucketTable implements Buckets {
  readonly #rate: BucketRate
  readonly #keysMax: number
  readonly #buckets = new Map<string, Bucket>()
  /** A binary heap by `fullAtMs`, the next to be full first. */
  readonly #heap: Bucket[] = []
  /** No bucket that had to go lacks anything any more from then on. */
  #goneFullAtMs = Number.NEGATIVE_INFINITY

  constructor(rate: BucketRate, keysMax: number) {
    this.#rate = rate
    this.#keysMax = keysMax
  }

  get size(): number {
    return this.#buckets.size
  }

  take(key: string, now: number): number {
    const bucket = this.#buckets.get(key)
    const missing = bucket === undefined ? this.#missingOfNew(now) : this.#missingOf(bucket, now)
    const waitMs = this.#waitMs(missing + 1)
    if (waitMs === 0) this.#write(bucket, key, missing + 1, now)
    return waitMs
  }

  waitMs(key: string, now: number): number {
    return this.#waitMs(this.missing(key, now) + 1)
  }

  spend(key: string, tokens: number, now: number): number {
    const bucket = this.#buckets.get(key)
    const before = bucket === undefined ? this.#missingOfNew(now) : this.#missingOf(bucket, now)
    this.#write(bucket, key, before + tokens, now)
    return this.#waitMs(before + tokens)
  }

  settling(): undefined {
    return undefined
  }

  /** What the bucket lacks, in tokens. */
  missing(key: string, now: number): number {
    const bucket = this.#buckets.get(key)
    return bucket === undefined ? this.#missingOfNew(now) : this.#missingOf(bucket, now)
  }

  #waitMs(missing: number): number {
    const { capacity, tokensPerMs } = this.#rate
    const over = missing - capacity
    return over <= tolerance ? 0 : over / tokensPerMs
  }

  #missingOf(bucket: Bucket, now: number): number {
    const refilled = Math.max(0, now - bucket.atMs) * this.#rate.tokensPerMs
    return Math.max(0, bucket.missing - refilled)
  }

  // However great the crowd, who is new may ask once.
  #missingOfNew(now: number): number {
    const { capacity, tokensPerMs } = this.#rate
    const missing = (this.#goneFullAtMs - now) * tokensPerMs
    return Math.max(0, Math.min(missing, capacity - 1))
  }

  #write(known: Bucket | undefined, key: string, missing: number, now: number): void {
    const fullAtMs = now + missing / this.#rate.tokensPerMs
    if (known !== undefined) {
      known.missing = missing
      known.atMs = now
      known.fullAtMs = fullAtMs
      this.#sink(known)
      return
    }
    this.#makeRoom(now)
    const bucket: Bucket = { key, missing, atMs: now, fullAtMs, place: this.#heap.length }
    this.#buckets.set(key, bucket)
    this.#heap.push(bucket)
    this.#rise(bucket)
  }

  #makeRoom(now: number): void {
    for (let left = 0; left < leaversMax; left += 1) {
      const [next] = this.#heap
      if (next === undefined || next.fullAtMs > now) break
      this.#removeNext(next)
    }
    const [next] = this.#heap
    if (next === undefined || this.#buckets.size < this.#keysMax) return
    this.#goneFullAtMs = Math.max(this.#goneFullAtMs, next.fullAtMs)
    this.#removeNext(next)
  }

  #removeNext(next: Bucket): void {
    this.#buckets.delete(next.key)
    const last = this.#heap.pop()
    if (last === undefined || last === next) return
    this.#put(last, 0)
    this.#sink(last)
  }

  #rise(bucket: Bucket): void {
    while (bucket.place > 0) {
      const above = this.#heap[(bucket.place - 1) >> 1]
      if (above === undefined || above.fullAtMs <= bucket.fullAtMs) return
      this.#swap(bucket, above)
    }
  }

  #sink(bucket: Bucket): void {
    for (;;) {
      const left = this.#heap[2 * bucket.place + 1]
      if (left === undefined) return
      const right = this.#heap[2 * bucket.place + 2]
      const earlier = right !== undefined && right.fullAtMs < left.fullAtMs ? right : left
      if (bucket.fullAtMs <= earlier.fullAtMs) return
      this.#swap(bucket, earlier)
    }
  }

  #swap(one: Bucket, other: Bucket): void {
    const { place } = one
    this.#put(one, other.place)
    this.#put(other, place)
  }

  #put(bucket: Bucket, place: number): void {
    bucket.place = place
    this.#heap[place] = bucket
  }
}

export const openBucketTable = (rate: BucketRate): BucketTable => new BucketTable(rate, bucketsMax)
