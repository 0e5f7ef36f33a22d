// Configuration → the limits on what callers use.

import type { UsageConfig } from '../config/schema.ts'
import { openBucketTable } from './bucket-table.ts'
import { type RateLimitOptions, RateLimits } from './rate-limits.ts'
import { TransferLimits, type TransferOptions } from './transfers.ts'

/** Undefined where nothing is limited, so that nothing is asked. */
export interface Limits {
  readonly rates: RateLimits | undefined
  readonly transfers: TransferLimits | undefined
}

type LimitOptions = RateLimitOptions & Omit<TransferOptions, 'open'>

export function createLimits(config: UsageConfig, around: LimitOptions): Limits {
  const options = { ...around, open: openBucketTable }
  const { rates, uploadsPerIdentity, pullsPerIdentity, uploadRatePerIdentityBytes } = config
  const limitsTransfers = uploadsPerIdentity + pullsPerIdentity + uploadRatePerIdentityBytes > 0
  return {
    rates: rates.length > 0 ? new RateLimits(rates, around) : undefined,
    transfers: limitsTransfers ? new TransferLimits(config, options) : undefined,
  }
}

/** `TransferOptions.after` of the running server: a wait does not keep the process alive. */
export function afterTimeout(ms: number, callback: () => void): () => void {
  const timer = setTimeout(callback, ms).unref()
  return () => clearTimeout(timer)
}
