// The buckets of one limit that counts across hosts: a bucket of this host's own, which always holds, and
// beside it what all hosts together have used, as far as was heard. Between two settlements a host lets
// through no more than its slack, so that all of them exceed the limit by no more than a slack for each
// host but one.

import type { BucketTable } from './bucket-table.ts'
import type { BucketRate, Buckets, SharedCounts, Spending } from './contract.ts'
import type { Settler, Unsettled } from './settler.ts'

export interface SharedBucketsOptions {
  readonly limit: string
  readonly rate: BucketRate
  readonly own: BucketTable
  readonly settler: Settler
  readonly counts: Pick<SharedCounts, 'nameOf'>
  readonly keysMax: number
}

// As in the table of this host's own: what is lost and gained by rounding.
const tolerance = 1e-6
// Of those used longest ago, how many are looked at to make room for one.
const leaversMax = 2
const slackMax = 1_000

/** How many requests of one caller a host lets through before others hear of them: 5 % of a full bucket. */
export function slackOf({ capacity }: BucketRate): number {
  return Math.min(slackMax, Math.max(1, Math.floor(capacity / 20)))
}

/** Hosts that let through too much at once lack it afterwards, to this extent. */
export function lackingMaxOf({ capacity }: BucketRate): number {
  return 2 * capacity + 16
}

export class SharedBuckets implements Buckets {
  readonly #options: SharedBucketsOptions
  readonly #slack: number
  /** Those used longest ago first. */
  readonly #shares = new Map<string, Share>()

  constructor(options: SharedBucketsOptions) {
    this.#options = options
    this.#slack = slackOf(options.rate)
  }

  get size(): number {
    return this.#options.own.size
  }

  take(key: string, now: number): number {
    const { own, settler } = this.#options
    const share = this.#shares.get(key)
    const wait = this.#sharedWaitMs(share, now)
    if (wait > 0) return Math.max(wait, own.waitMs(key, now))
    const ownWait = own.take(key, now)
    if (ownWait > 0) return ownWait
    const { isUp } = settler
    const noted = share ?? this.#newShare(key, now)
    if (!isUp || noted === undefined || noted.untold >= this.#slack) settler.countAlone()
    if (noted === undefined) return 0
    noted.use(isUp)
    if (isUp && 2 * noted.untold >= this.#slack) settler.hurry()
    return 0
  }

  waitMs(key: string, now: number): number {
    const { own } = this.#options
    return Math.max(this.#sharedWaitMs(this.#shares.get(key), now), own.waitMs(key, now))
  }

  /** Nothing is told of it to others, who never asks for debts of requests. */
  spend(key: string, tokens: number, now: number): number {
    return this.#options.own.spend(key, tokens, now)
  }

  settling(key: string, now: number): Promise<void> | undefined {
    const share = this.#shares.get(key)
    // Who is refused in any case need not wait for it.
    if (share === undefined || share.untold < this.#slack || this.waitMs(key, now) > 0) {
      return undefined
    }
    return this.#options.settler.nextRound()
  }

  #sharedWaitMs(share: Share | undefined, now: number): number {
    if (share === undefined || !this.#options.settler.isUp) return 0
    const { capacity, tokensPerMs } = this.#options.rate
    const over = share.missing(now) + 1 - capacity
    return over <= tolerance ? 0 : over / tokensPerMs
  }

  /** Undefined where there is no room: then this one is counted here alone. */
  #newShare(key: string, now: number): Share | undefined {
    const { keysMax } = this.#options
    let looked = 0
    for (const [eldest, share] of this.#shares) {
      if (looked === leaversMax) break
      looked += 1
      // One that is forgotten too early costs no more than another slack.
      const isNeeded = this.#shares.size < keysMax && share.missing(now) > 0
      if (!share.isTold || isNeeded) {
        this.#shares.delete(eldest)
        this.#shares.set(eldest, share)
      } else this.#shares.delete(eldest)
    }
    if (this.#shares.size >= keysMax) return undefined
    const share = new Share(key, this.#options)
    this.#shares.set(key, share)
    return share
  }
}

/** What is known of the bucket of one key. */
class Share implements Unsettled {
  readonly #key: string
  readonly #options: SharedBucketsOptions
  #bucket: string | undefined
  /** All hosts together, at `#atMs`. */
  #missing = 0
  #atMs = 0
  #spent = 0
  #underWay = 0
  #wasAlone = false
  #isQueued = false

  constructor(key: string, options: SharedBucketsOptions) {
    this.#key = key
    this.#options = options
  }

  /** Used here since the last settlement that has ended. */
  get untold(): number {
    return this.#spent + this.#underWay
  }

  get isTold(): boolean {
    return !this.#isQueued && this.untold === 0
  }

  missing(now: number): number {
    return this.#lacking(now) + this.untold
  }

  use(isUp: boolean): void {
    if (isUp) this.#spent += 1
    else this.#wasAlone = true
    this.#queue()
  }

  spending(now: number): Spending {
    const { limit, rate, own, counts } = this.#options
    this.#bucket ??= counts.nameOf(limit, rate, this.#key)
    this.#isQueued = false
    const wasAlone = this.#wasAlone
    this.#wasAlone = false
    const { tokensPerMs } = rate
    const about = { bucket: this.#bucket, tokensPerMs, wasAlone, lackingMax: lackingMaxOf(rate) }
    this.#underWay = this.#spent
    this.#spent = 0
    // The bucket of this host's own has all that was used here.
    if (wasAlone) return { ...about, spent: 0, lacking: own.missing(this.#key, now) }
    return { ...about, spent: this.#underWay, lacking: this.#lacking(now) }
  }

  settled(missing: number, now: number): void {
    this.#missing = missing
    this.#atMs = now
    this.#underWay = 0
  }

  failed(): void {
    this.#underWay = 0
    this.#spent = 0
    this.#wasAlone = true
    this.#queue()
  }

  #lacking(now: number): number {
    return Math.max(
      0,
      this.#missing - Math.max(0, now - this.#atMs) * this.#options.rate.tokensPerMs,
    )
  }

  #queue(): void {
    if (this.#isQueued) return
    this.#isQueued = true
    this.#options.settler.add(this)
  }
}
