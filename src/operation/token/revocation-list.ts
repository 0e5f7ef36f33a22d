// The revocations of this store as other hosts may know them, and theirs as this store takes them.

import type { Revocation, TokenStore } from '../../storage/metadata/token-store.ts'
import { type TokenKeeper, tokensOutlivedMs } from './state.ts'

export interface RevocationListOptions {
  readonly store: Pick<TokenStore, 'applyRevocations'>
  readonly keeper: Pick<TokenKeeper, 'onChange' | 'refresh' | 'reload' | 'stored'>
  /** Wall clock, in ms since the epoch. */
  readonly now: () => number
}

// Of each kind, so that a host gone mad cannot fill the disks of the others.
const countMax = 100_000
// One transaction each: other writers have their turn between them.
const perWrite = 1_000
// A time further ahead than clocks are apart is none that can be believed.
const clocksApartMaxMs = 60 * 60_000
const apiKeyTtlMaxMs = 10 * 365 * 24 * 60 * 60_000

export class RevocationList {
  readonly #options: RevocationListOptions

  constructor(options: RevocationListOptions) {
    this.#options = options
  }

  /** `listener` hears that `live` may answer otherwise now; it takes the place of another one. */
  onChange(listener: () => void): void {
    this.#options.keeper.onChange(listener)
  }

  /** Those that still refuse something. */
  live(): readonly Revocation[] {
    const { keeper, now } = this.#options
    const { apiKeys, revocations } = keeper.stored
    const nowMs = now()
    const ofKeys = apiKeys.flatMap(({ id, revokedAtMs, expiresAtMs }): readonly Revocation[] =>
      revokedAtMs === undefined
        ? []
        : [{ of: 'api-key', subject: id, atMs: revokedAtMs, forgetAtMs: expiresAtMs }],
    )
    return [...revocations, ...ofKeys].filter(({ forgetAtMs }) => forgetAtMs > nowMs)
  }

  /**
   * Take what another host has revoked: durable and in force here when it resolves. It only ever adds.
   * Answers how many were news, and how many had no place. Errors: StorageError.
   */
  async apply(
    heard: readonly Revocation[],
  ): Promise<{ readonly applied: number; readonly dropped: number }> {
    const { store, keeper, now } = this.#options
    const nowMs = now()
    const believed = heard
      .map((revocation) => bounded(revocation, nowMs))
      .filter(({ forgetAtMs }) => forgetAtMs > nowMs)
    const sum = { applied: 0, dropped: 0 }
    for (let from = 0; from < believed.length; from += perWrite) {
      const part = believed.slice(from, from + perWrite)
      const { applied, dropped } = await store.applyRevocations(part, countMax)
      sum.applied += applied
      sum.dropped += dropped
    }
    if (sum.applied > 0) await keeper.reload()
    // In a store that is shared whoever told it has written it already.
    else if (believed.length > 0) await keeper.refresh()
    return sum
  }
}

// When a token or a user's last token has ended follows from the moment; a shorter time that somebody
// tells must not make the list forget.
function bounded({ of, subject, ...times }: Revocation, nowMs: number): Revocation {
  const atMs = Math.min(times.atMs, nowMs + clocksApartMaxMs)
  const forgetAtMs =
    of === 'api-key' ? Math.min(times.forgetAtMs, nowMs + apiKeyTtlMaxMs) : atMs + tokensOutlivedMs
  return { of, subject, atMs, forgetAtMs }
}
