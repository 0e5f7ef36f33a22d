// What is remembered of those who try to log in. It outlives a configuration: a reload must not give
// guessers a new start, nor slow down who was right before.

import { type CacheCounts, newCacheCounts } from '../telemetry/cache-counts.ts'
import { newCachePrefix } from './credential-cache.ts'
import { FailedLogins } from './failed-logins.ts'
import { FailedTokens } from './failed-tokens.ts'

export interface LoginMemory {
  readonly failures: FailedLogins
  readonly failedTokens: FailedTokens
  /** By which both of them, and every credential cache beside them, know a credential. */
  readonly keyPrefix: string
  /** Of the credential caches. */
  readonly cache: CacheCounts
}

// About 200 bytes each.
const guessersMax = 16_384

/** `now`: monotonic, in ms. */
export function createLoginMemory(now: () => number): LoginMemory {
  return {
    failures: new FailedLogins({ entriesMax: guessersMax, now }),
    failedTokens: new FailedTokens({ entriesMax: guessersMax, now }),
    keyPrefix: newCachePrefix(),
    cache: newCacheCounts(),
  }
}
