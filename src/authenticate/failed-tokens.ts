// Slows down those who try tokens: wrong ones, counted for each address. A token cannot be guessed, so
// this is about work and noise, and good tokens of the same address are hardly ever to wait for it.

import { addressGroup } from '../http/address-group.ts'
import { RecentKeys } from './recent-keys.ts'

export interface FailedTokensOptions {
  /** Monotonic, in ms. */
  readonly now: () => number
  /** Addresses and tokens remembered, of each. */
  readonly entriesMax: number
}

interface Count {
  readonly failures: number
  readonly lastMs: number
  readonly windowMs: number
  /** Since `windowMs`. */
  readonly checks: number
}

// Many jobs behind one address may come with a token of yesterday's.
const freeFailures = 20
// Beyond them a token that nobody has seen yet is looked at only so often; each good one makes up for a
// wrong one.
const checksPerWindow = 20
const windowMs = 1000
// What a long flood leaves behind must be made up for within reason.
const failuresMax = 100
const forgottenAfterMs = 15 * 60_000
// Longer than a token is remembered as checked: its next check must find it here.
const goodForMs = 24 * 60 * 60_000

/** A token that was good before is not asked to wait. An address of '' has no count. */
export class FailedTokens {
  readonly #options: FailedTokensOptions
  readonly #counts = new Map<string, Count>()
  readonly #counted: RecentKeys
  readonly #good: RecentKeys

  constructor(options: FailedTokensOptions) {
    this.#options = options
    this.#counted = new RecentKeys({ ...options, forMs: forgottenAfterMs })
    this.#good = new RecentKeys({ ...options, forMs: goodForMs })
  }

  /**
   * How long a token of this address has to wait, in ms; 0 where it is looked at now.
   * `key`: of the whole credential, here and below.
   */
  waitMs(key: string, address: string): number {
    if (this.#good.has(key)) return 0
    const group = addressGroup(address)
    const count = this.#counts.get(group)
    if (count === undefined || count.failures < freeFailures) return 0
    const now = this.#options.now()
    if (now - count.lastMs > forgottenAfterMs) return 0
    const isNew = now - count.windowMs >= windowMs
    const checks = isNew ? 1 : count.checks + 1
    if (checks > checksPerWindow) return count.windowMs + windowMs - now
    this.#counts.set(group, { ...count, checks, windowMs: isNew ? now : count.windowMs })
    return 0
  }

  /** One that is shown again and again counts once. */
  failed(key: string, address: string): void {
    this.#good.delete(key)
    if (address === '' || !this.#counted.add(key)) return
    const group = addressGroup(address)
    const now = this.#options.now()
    const before = this.#counts.get(group)
    const isStale = before === undefined || now - before.lastMs > forgottenAfterMs
    const { failures, checks, windowMs: since } = isStale ? fresh(now) : before
    this.#counts.delete(group)
    this.#counts.set(group, {
      failures: Math.min(failures + 1, failuresMax),
      ...{ lastMs: now, checks, windowMs: since },
    })
    if (this.#counts.size <= this.#options.entriesMax) return
    const [oldest] = this.#counts.keys()
    if (oldest !== undefined) this.#counts.delete(oldest)
  }

  /** Only one that nobody had seen yet makes up for a wrong one. */
  succeeded(key: string, address: string): void {
    const isKnown = this.#good.has(key)
    this.#good.delete(key)
    this.#good.add(key)
    if (isKnown) return
    const group = addressGroup(address)
    const count = this.#counts.get(group)
    if (count === undefined) return
    if (count.failures <= 1) this.#counts.delete(group)
    else this.#counts.set(group, { ...count, failures: count.failures - 1 })
  }
}

function fresh(now: number): Count {
  return { failures: 0, lastMs: now, windowMs: now, checks: 0 }
}
