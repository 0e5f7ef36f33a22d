// Keeps the revocations of this host and of the others alike, by way of Redis: each change is published
// at once, and what all of them know lies there in a hash, which is compared again and again.

import type { Revocation } from '../storage/metadata/token-store.ts'
import type { LinkEvents, RedisLink, RedisStatus, Revocations } from './contract.ts'
import { KnownRevocations } from './known.ts'
import { fieldOf, messageOf, perMessageMax, readField, readMessage, timesOf } from './message.ts'

export interface SpreadOptions {
  readonly list: Revocations
  /** Of the hash, and the name of the channel. */
  readonly key: string
  /** Wall clock, in ms since the epoch. */
  readonly now: () => number
  /** Monotonic, in ms. */
  readonly elapsed: () => number
  /** From 0 to less than 1. */
  readonly random: () => number
  readonly randomUuid: () => string
  /** Answers what calls it off. */
  readonly after: (ms: number, action: () => void) => () => void
  /** Once for each outage; then what ends it. */
  readonly onOutage: (reason: string) => void
  readonly onRecovery: () => void
}

/** How often everything is compared, at most. */
export const exchangeEveryMs = 10_000
// An unchanged mark says that nobody has written. A Redis that lost entries alone does not tell.
const readAllEveryMs = 5 * 60_000
const fieldsPerWrite = 500
// More go by the comparison: a flushed Redis must not make each host tell all the others everything.
const publishedAtOnceMax = 1_000
const queuedMax = 10_000
const entriesMax = 400_000
// Whose clock is ahead must not remove what still counts for others.
const keptOverMs = 60 * 60_000
// Every write changes it.
const markField = 'mark'

/** Make the link with `events`, then call `start`. */
export class RevocationSpread {
  readonly #options: SpreadOptions
  readonly #known = new KnownRevocations()
  readonly #counts = { sent: 0, received: 0, refused: 0, taken: 0, dropped: 0, failures: 0 }
  #link: RedisLink | undefined
  #queued: Revocation[] = []
  #taking: Promise<void> | undefined
  #working: Promise<void> | undefined
  #wanted: 'nothing' | 'push' | 'exchange' = 'nothing'
  #mark: string | undefined
  #readAllAtMs = Number.NEGATIVE_INFINITY
  #exchangedAtMs: number
  #isOut = false
  #isUp = false
  #isClosed = false
  #cancelTimer: () => void = () => {}
  #onFirst: () => void = () => {}

  constructor(options: SpreadOptions) {
    this.#options = options
    this.#exchangedAtMs = options.elapsed()
  }

  get events(): LinkEvents {
    return {
      onReady: () => this.#want('exchange'),
      onMessage: (message) => this.#hear(message),
      onFault: (reason) => this.#fail(reason),
    }
  }

  get status(): RedisStatus {
    const { elapsed } = this.#options
    return {
      connected: this.#isUp && this.#link?.isReady === true,
      exchangeAgeMs: Math.max(0, elapsed() - this.#exchangedAtMs),
      ...this.#counts,
      known: this.#known.size,
    }
  }

  /** Resolves when everything was compared for the first time, or the first attempt has failed. */
  start(link: RedisLink): Promise<void> {
    this.#link = link
    const first = new Promise<void>((resolve) => {
      this.#onFirst = resolve
    })
    this.#options.list.onChange(() => this.#want('push'))
    this.#schedule()
    if (link.isReady) this.#want('exchange')
    return first
  }

  /** Resolves when nothing is under way any more: what was revoked here was told, if it could be. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#cancelTimer()
    await this.#working
    await this.#taking
    this.#link?.close()
  }

  #schedule(): void {
    const { after, random } = this.#options
    this.#cancelTimer = after(exchangeEveryMs * (0.75 + random() / 4), () => {
      // It may be half open, or a replica by now. New connections are compared with at once.
      if (this.#isOut && this.#link?.isReady) this.#link.reset()
      else this.#want('exchange')
      this.#schedule()
    })
  }

  #want(what: 'push' | 'exchange'): void {
    if (this.#isClosed) return
    if (this.#wanted !== 'exchange') this.#wanted = what
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined
    })
  }

  async #work(): Promise<void> {
    for (; this.#wanted !== 'nothing' && this.#link?.isReady; ) {
      const wanted = this.#wanted
      this.#wanted = 'nothing'
      try {
        if (wanted === 'exchange') await this.#exchange(this.#link)
        else await this.#push(this.#link)
        this.#link.confirm()
        this.#recover()
      } catch (error) {
        this.#fail(error instanceof Error ? error.message : 'unknown')
      }
    }
    // Whoever is not there is compared with when it is back.
    this.#wanted = 'nothing'
  }

  async #exchange(link: RedisLink): Promise<void> {
    const { key, elapsed } = this.#options
    // First, so that nothing is missed between what is read and what is told.
    await link.subscribe(key)
    const mark = await link.readField(key, markField)
    const isOld = elapsed() - this.#readAllAtMs >= readAllEveryMs
    if (mark === undefined || mark !== this.#mark || isOld) {
      await this.#readAll(link)
      this.#mark = mark
      this.#readAllAtMs = elapsed()
    }
    await this.#push(link)
    this.#exchangedAtMs = elapsed()
  }

  async #readAll(link: RedisLink): Promise<void> {
    const { key, now } = this.#options
    const seen = new Map<string, Revocation>()
    const ended: string[] = []
    for (let cursor = '', count = 0; cursor !== '0'; ) {
      const page = await link.readPage(key, cursor === '' ? '0' : cursor)
      cursor = page.cursor
      const news: Revocation[] = []
      for (const [field, value] of page.pairs) {
        if (field === markField) continue
        const revocation = readField(field, value)
        if (revocation === undefined) this.#counts.refused += 1
        else if (revocation.forgetAtMs + keptOverMs <= now()) ended.push(field)
        else {
          seen.set(field, revocation)
          if (!this.#known.covers(revocation)) news.push(revocation)
        }
      }
      await this.#take(news)
      count += page.pairs.length
      if (this.#isClosed) throw new Error('closing')
      if (count > entriesMax) break
    }
    this.#known.replace(seen.values())
    if (ended.length > 0) await link.remove(key, ended.slice(0, fieldsPerWrite))
  }

  /** Tell what Redis does not know yet: what was revoked here, or heard before it lost its memory. */
  async #push(link: RedisLink): Promise<void> {
    const { key, list, now, randomUuid } = this.#options
    const news = list.live().filter((revocation) => !this.#known.covers(revocation))
    if (news.length === 0) return
    for (let from = 0; from < news.length; from += fieldsPerWrite) {
      const part = news.slice(from, from + fieldsPerWrite).map((each) => this.#known.merged(each))
      const fields = part.map((each) => [fieldOf(each), timesOf(each)] as const)
      const mark = [markField, randomUuid()] as const
      // Known before it is told: this host hears it, too.
      const undo = this.#known.addAll(part)
      const told = news.length <= publishedAtOnceMax ? this.#publish(link, part) : undefined
      try {
        await Promise.all([link.write(key, Object.fromEntries([...fields, mark])), told])
      } catch (error) {
        undo()
        throw error
      }
    }
    await link.expire(key, this.#known.latestEndMs - now() + keptOverMs)
  }

  async #publish(link: RedisLink, part: readonly Revocation[]): Promise<void> {
    for (let from = 0; from < part.length; from += perMessageMax) {
      await link.publish(this.#options.key, messageOf(part.slice(from, from + perMessageMax)))
      this.#counts.sent += 1
    }
  }

  #hear(message: string): void {
    if (this.#isClosed) return
    this.#counts.received += 1
    const { revocations, refused } = readMessage(message)
    this.#counts.refused += refused
    const news = revocations.filter((revocation) => !this.#known.covers(revocation))
    if (news.length === 0) return
    // What has no place here is found by the next comparison: whoever told it has written it, too.
    if (this.#queued.length + news.length <= queuedMax) this.#queued.push(...news)
    this.#taking ??= this.#takeQueued().finally(() => {
      this.#taking = undefined
    })
  }

  async #takeQueued(): Promise<void> {
    try {
      for (; this.#queued.length > 0; ) await this.#take(this.#queued.splice(0))
    } catch (error) {
      // What was heard is found by the next comparison.
      this.#fail(error instanceof Error ? error.message : 'unknown')
    }
  }

  async #take(news: readonly Revocation[]): Promise<void> {
    if (news.length === 0) return
    // Known before it is in the store, whose change would be told to all as news otherwise.
    const undo = this.#known.addAll(news)
    try {
      const { applied, dropped } = await this.#options.list.apply(news)
      this.#counts.dropped += dropped
      this.#counts.taken += applied
    } catch (error) {
      undo()
      throw error
    }
  }

  #fail(reason: string): void {
    if (this.#isClosed) return
    this.#counts.failures += 1
    this.#isUp = false
    if (!this.#isOut) this.#options.onOutage(reason)
    this.#isOut = true
    this.#onFirst()
  }

  #recover(): void {
    this.#isUp = true
    if (this.#isOut) this.#options.onRecovery()
    this.#isOut = false
    this.#onFirst()
  }
}
