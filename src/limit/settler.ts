// Settles what this host has let through with the buckets that all hosts share: in rounds, one at a time,
// behind the back of requests. Knows whether that works, and tries again for ever where it does not.

import type { SharedCounts, Spending } from './contract.ts'

/** A bucket whose use here is not told yet. */
export interface Unsettled {
  spending(now: number): Spending
  /** What it lacks, all hosts together. */
  settled(missing: number, now: number): void
  /** Nobody knows whether it was counted. */
  failed(): void
}

export interface SettlerOptions {
  /** Monotonic, in ms. */
  readonly now: () => number
  /** From 0 to less than 1. */
  readonly random: () => number
  /** Answers what calls it off. */
  readonly after: (ms: number, action: () => void) => () => void
  /** When what is at hand is done, so that requests that come together are told together. */
  readonly soon: (action: () => void) => void
  /** Once for each outage; then what ends it. */
  readonly onOutage: (reason: string) => void
  readonly onRecovery: () => void
}

export interface SharingFigures {
  /** Whether limits count across hosts at the moment. */
  readonly connected: boolean
  readonly rounds: number
  readonly failures: number
  /** Requests that were counted on this host alone. */
  readonly alone: number
  /** Requests that waited for a round. */
  readonly waits: number
}

/** How many buckets go in one round. */
export const perRoundMax = 500
/** How long a use stays untold, where there is no hurry. */
export const settleEveryMs = 500
/** How long a request waits for a round, and then no other does before it has ended. */
export const patienceMs = 100
const retryEveryMs = 1_000
// It may be half open, or a replica by now.
const failuresBeforeReset = 2

const probe: Spending = {
  ...{ bucket: 'probe', tokensPerMs: 1, spent: 1, lacking: 0, wasAlone: false, lackingMax: 1 },
}

export class Settler {
  readonly #options: SettlerOptions
  readonly #unsettled = new Set<Unsettled>()
  readonly #figures = { rounds: 0, failures: 0, alone: 0, waits: 0 }
  #counts: SharedCounts | undefined
  #isUp = false
  #isOut = false
  #isSlow = false
  #isHurried = false
  #isClosed = false
  #failedInARow = 0
  #working: Promise<void> | undefined
  #ended: { readonly promise: Promise<void>; readonly end: () => void } | undefined
  #cancelTimer: (() => void) | undefined
  #cancelRetry: () => void = () => {}

  constructor(options: SettlerOptions) {
    this.#options = options
  }

  /** False: limits count on this host alone. */
  get isUp(): boolean {
    return this.#isUp
  }

  get figures(): SharingFigures {
    return { connected: this.#isUp, ...this.#figures }
  }

  start(counts: SharedCounts): void {
    this.#counts = counts
    this.#scheduleRetry()
    if (counts.isReady) this.#go()
  }

  /** The connection is there, or there again. */
  connected(): void {
    if (!this.#isUp) this.#go()
  }

  /** The connection was lost, or could not be made. */
  lost(reason: string): void {
    this.#fail(reason)
  }

  add(unsettled: Unsettled): void {
    this.#unsettled.add(unsettled)
    if (this.#isUp && this.#working === undefined) {
      this.#cancelTimer ??= this.#options.after(settleEveryMs, () => this.#go())
    }
  }

  /** Much has been used: tell at once. */
  hurry(): void {
    if (this.#isHurried || !this.#isUp) return
    this.#isHurried = true
    // Else the round that is under way is followed by another one.
    if (this.#working === undefined) this.#options.soon(() => this.#go())
  }

  countAlone(): void {
    this.#figures.alone += 1
  }

  /** Resolves at the end of a round, or when that takes too long; undefined where there is no use in waiting. */
  nextRound(): Promise<void> | undefined {
    if (!this.#isUp || this.#isSlow) return undefined
    this.hurry()
    this.#figures.waits += 1
    this.#ended ??= this.#newEnd()
    return this.#ended.promise
  }

  /** What was used is told, if it can be. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#cancelTimer?.()
    this.#cancelRetry()
    await this.#working
    if (this.#isUp && this.#unsettled.size > 0) await this.#round().catch(() => undefined)
    this.#end()
    this.#counts?.close()
  }

  #newEnd(): { readonly promise: Promise<void>; readonly end: () => void } {
    let resolve = (): void => {}
    const promise = new Promise<void>((done) => {
      resolve = done
    })
    const cancel = this.#options.after(patienceMs, () => {
      this.#isSlow = true
      this.#end()
    })
    const end = (): void => {
      cancel()
      resolve()
    }
    return { promise, end }
  }

  #end(): void {
    const ended = this.#ended
    this.#ended = undefined
    ended?.end()
  }

  #scheduleRetry(): void {
    const { after, random } = this.#options
    this.#cancelRetry = after(retryEveryMs * (0.75 + random() / 4), () => {
      if (!this.#isUp && this.#working === undefined) {
        if (this.#failedInARow >= failuresBeforeReset && this.#counts?.isReady) {
          this.#failedInARow = 0
          this.#counts.reset()
        } else this.#go()
      }
      this.#scheduleRetry()
    })
  }

  #go(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    if (this.#isClosed || !this.#counts?.isReady) return
    this.#working ??= this.#work().finally(() => this.#rest())
  }

  #rest(): void {
    const isHurried = this.#isHurried
    this.#working = undefined
    this.#isHurried = false
    if (this.#isClosed || !this.#isUp || this.#unsettled.size === 0) return
    if (isHurried) this.hurry()
    else this.#cancelTimer ??= this.#options.after(settleEveryMs, () => this.#go())
  }

  async #work(): Promise<void> {
    do {
      this.#isHurried = false
      try {
        await this.#round()
        this.#recover()
      } catch (error) {
        this.#failedInARow += 1
        this.#fail(error instanceof Error ? error.message : 'unknown')
        return
      }
    } while (!this.#isClosed && this.#unsettled.size > 0 && this.#isPressed())
  }

  // Not after every round: what is used meanwhile goes together with what comes soon.
  #isPressed(): boolean {
    return this.#isHurried || this.#unsettled.size >= perRoundMax
  }

  async #round(): Promise<void> {
    const { now } = this.#options
    if (this.#counts === undefined) throw new Error('there is no connection')
    const told: Unsettled[] = []
    for (const unsettled of this.#unsettled) {
      this.#unsettled.delete(unsettled)
      if (told.push(unsettled) === perRoundMax) break
    }
    try {
      const sent = now()
      const spendings = told.length === 0 ? [probe] : told.map((each) => each.spending(sent))
      const missing = await this.#counts.settle(spendings)
      // As of now, though it was true a little earlier: what came back meanwhile is found by the next.
      const at = now()
      for (const [index, each] of told.entries()) each.settled(missing[index] ?? 0, at)
      this.#figures.rounds += 1
    } catch (error) {
      for (const each of told) each.failed()
      throw error
    }
  }

  #fail(reason: string): void {
    if (this.#isClosed) return
    this.#figures.failures += 1
    this.#isUp = false
    this.#isHurried = false
    if (!this.#isOut) this.#options.onOutage(reason)
    this.#isOut = true
    this.#end()
  }

  #recover(): void {
    this.#counts?.confirm()
    this.#failedInARow = 0
    this.#isUp = true
    this.#isSlow = false
    if (this.#isOut) this.#options.onRecovery()
    this.#isOut = false
    this.#end()
  }
}
