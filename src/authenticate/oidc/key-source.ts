// The keys of one issuer, kept: refreshed in time, when a new one shows up, and for a while without.

import type { OidcConfig, OidcLog, OidcProviderStatus, SignatureAlgorithm } from './contract.ts'
import { type FetchedKeys, fetchKeys } from './fetch-keys.ts'
import type { KeySet, UsableKey } from './key-set.ts'
import { reasonOf, refuse, unavailable } from './refusal.ts'

export type KeySourceStatus = Omit<
  OidcProviderStatus,
  'name' | 'introspections' | 'failedIntrospections'
>

export interface KeySourceOptions {
  readonly config: OidcConfig
  readonly now: () => number
  readonly elapsed: () => number
  readonly random: () => number
  readonly log: OidcLog
}

// Random key ids must not make us a flood upon the provider.
const refetchPauseMs = 60_000
const retryMs = { first: 2000, longest: 60_000 } as const
// What a timer can hold.
const timerMsMax = 2 ** 31 - 1

export class KeySource {
  readonly #options: KeySourceOptions
  #keySet: KeySet | undefined
  #fetchedAtMs = 0
  #refreshing: Promise<void> | undefined
  #abort: AbortController | undefined
  #timer: NodeJS.Timeout | undefined
  #nextAtMs = 0
  #lastRefetchMs = Number.NEGATIVE_INFINITY
  #failuresInRow = 0
  #isClosed = false
  #isLastOk: boolean | undefined
  #refreshes = 0
  #failedRefreshes = 0
  #clockOffsetMs: number | undefined

  constructor(options: KeySourceOptions) {
    this.#options = options
  }

  /** Fetches for the first time; nobody has to wait for it. */
  start(): void {
    void this.#refresh()
  }

  /**
   * A key that the issuer has not shown yet is asked for, at most once a minute.
   * Errors: OciError UNAUTHORIZED, UNAVAILABLE.
   */
  async find(keyId: string, algorithm: SignatureAlgorithm, provider: string): Promise<UsableKey> {
    const isCurrent = (): boolean => this.#current() !== undefined
    const search = (): UsableKey | 'unfit' | undefined => this.#current()?.find(keyId, algorithm)
    let found = search()
    if (found === undefined && this.#refreshing !== undefined) {
      await this.#refreshing
      found = search()
    }
    if (found === undefined && isCurrent() && this.#mayRefetch()) {
      await this.#refresh()
      found = search()
    }
    if (found === 'unfit') throw refuse('unfit-key', provider)
    if (found !== undefined) return found
    // While the issuer cannot be asked, nobody knows whether the key is one of its own.
    if (isCurrent() && this.#isLastOk === true) throw refuse('unknown-key', provider)
    const reason = `there is no current key set of the identity provider ${provider}`
    throw unavailable(reason, this.#nextAtMs - this.#options.elapsed())
  }

  status(): KeySourceStatus {
    const keySet = this.#keySet
    return {
      keys: keySet?.size ?? 0,
      keySetAgeMs: keySet === undefined ? undefined : this.#options.elapsed() - this.#fetchedAtMs,
      isLastRefreshOk: this.#isLastOk,
      refreshes: this.#refreshes,
      failedRefreshes: this.#failedRefreshes,
      clockOffsetMs: this.#clockOffsetMs,
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#abort?.abort(new Error('the configuration is no longer in force'))
    await this.#refreshing
  }

  #current(): KeySet | undefined {
    const ageMs = this.#options.elapsed() - this.#fetchedAtMs
    return ageMs <= this.#options.config.jwksMaxStaleMs ? this.#keySet : undefined
  }

  #mayRefetch(): boolean {
    const nowMs = this.#options.elapsed()
    if (nowMs - this.#lastRefetchMs < refetchPauseMs) return false
    this.#lastRefetchMs = nowMs
    return true
  }

  // Single flight. Never rejects.
  #refresh(): Promise<void> {
    if (this.#isClosed) return Promise.resolve()
    this.#refreshing ??= this.#refreshOnce().finally(() => {
      this.#refreshing = undefined
    })
    return this.#refreshing
  }

  async #refreshOnce(): Promise<void> {
    const { config, now } = this.#options
    clearTimeout(this.#timer)
    this.#abort = new AbortController()
    try {
      this.#take(await fetchKeys(config, this.#abort, now))
    } catch (error) {
      if (!this.#isClosed) this.#miss(error)
    }
    this.#abort = undefined
    if (!this.#isClosed) this.#schedule()
  }

  #take({ keySet, clockOffsetMs }: FetchedKeys): void {
    const { config, elapsed, log } = this.#options
    const before = this.#keySet?.problems.join()
    this.#keySet = keySet
    this.#fetchedAtMs = elapsed()
    this.#isLastOk = true
    this.#failuresInRow = 0
    this.#refreshes += 1
    this.#clockOffsetMs = clockOffsetMs
    const { problems, size } = keySet
    if (problems.length > 0 && problems.join() !== before) {
      const first = problems.slice(0, 8)
      log.warn(
        { issuer: config.issuer, keys: size, problems: first },
        'keys were left out of a set',
      )
    }
    if (Math.abs(clockOffsetMs ?? 0) <= config.clockSkewToleranceMs) return
    const fields = { issuer: config.issuer, clockOffsetMs }
    log.warn(fields, "the provider's clock and this host's differ")
  }

  #miss(error: unknown): void {
    const { config, log } = this.#options
    this.#isLastOk = false
    this.#failuresInRow += 1
    this.#failedRefreshes += 1
    const reason = reasonOf(error)
    const hasKeys = this.#current() !== undefined
    log.warn({ issuer: config.issuer, reason, hasKeys }, 'could not fetch the keys of a provider')
  }

  #schedule(): void {
    const { config, elapsed, random } = this.#options
    const { jwksRefreshIntervalMs: interval } = config
    const pause = retryMs.first * 2 ** Math.min(this.#failuresInRow - 1, 10)
    const due = this.#failuresInRow === 0 ? interval : Math.min(pause, retryMs.longest, interval)
    // Up to a tenth early: many hosts that started together must not ask together for ever.
    const delayMs = Math.min(due * (1 - random() / 10), timerMsMax)
    this.#nextAtMs = elapsed() + delayMs
    this.#timer = setTimeout(() => void this.#refresh(), delayMs)
    this.#timer.unref()
  }
}
