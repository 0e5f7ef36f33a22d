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
  /**
   * Undefined where `take` may be asked now. Else what it would answer is not known well enough before
   * other hosts are heard: resolves soon, whatever becomes of them, and then it is to be asked again.
   */
  settling(key: string, now: number): Promise<void> | undefined
  /** Keys that are kept at the moment. */
  readonly size: number
}

/** A limit whose buckets are opened; its name is the same on all hosts. */
export interface BucketLimit {
  readonly name: string
  readonly shared: boolean
}

export type OpenBuckets = (rate: BucketRate, limit: BucketLimit) => Buckets

/** What a host tells of one bucket that hosts share. Units: tokens. */
export interface Spending {
  /** The same on all hosts, and for no other bucket. */
  readonly bucket: string
  readonly tokensPerMs: number
  /** Taken here since it was last told. */
  readonly spent: number
  /** What lacked without it, as far as is known here: this counts where nobody remembers the bucket. */
  readonly lacking: number
  /** Whether `lacking` counts also where less is remembered: this host was alone meanwhile. */
  readonly wasAlone: boolean
  /** Debts beyond it are let off. */
  readonly lackingMax: number
}

/** The buckets that hosts share. */
export interface SharedCounts {
  readonly isReady: boolean
  /** `Spending.bucket`: it tells nobody whose bucket it is. */
  nameOf(limit: string, rate: BucketRate, key: string): string
  /**
   * What each bucket lacks now, with what was spent, in their order; all of it by one clock, at once.
   * Limits: 500 at a time. Errors: whatever is no such answer, in bounded time; nothing of an error's
   * message is secret. What was spent may have been counted all the same.
   */
  settle(spendings: readonly Spending[]): Promise<readonly number[]>
  /** It was of use. */
  confirm(): void
  /** Give the connection up, and make another one. */
  reset(): void
  close(): void
}
