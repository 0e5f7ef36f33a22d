// What a store of token buckets promises, wherever it keeps them.

export interface BucketRate {
  /** Tokens that a full bucket holds. */
  readonly capacity: number
  readonly tokensPerMs: number
}

/**
 * The buckets of one limit, one for each key, refilled as the caller's monotonic clock says (`now`, in
 * ms); a key that is not known has a full one. Answers at once:
 * a store whose buckets several hosts share settles with them behind the back of its callers, since no
 * request may wait for it or fail with it.
 */
export interface Buckets {
  /** Takes a token: 0, or how long until there is one, in ms; then nothing is taken. */
  take(key: string, now: number): number
  /** What `take` would answer. */
  waitMs(key: string, now: number): number
  /** Takes so many, also those that are not there yet: how long until that debt is paid, in ms. */
  spend(key: string, tokens: number, now: number): number
  /** Keys that are kept at the moment. */
  readonly size: number
}

export type OpenBuckets = (rate: BucketRate) => Buckets
