// Opens the buckets of limits: those of this host, and those that hosts share through Redis.

import { createSecretKey } from 'node:crypto'
import type { RedisConfig } from '../config/schema.ts'
import { bucketsMax, openBucketTable } from '../limit/bucket-table.ts'
import type { OpenBuckets } from '../limit/contract.ts'
import { Settler, type SharingFigures } from '../limit/settler.ts'
import { SharedBuckets } from '../limit/shared-buckets.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Closers } from './closers.ts'

export interface SharedLimits {
  readonly open: OpenBuckets
  /** Undefined where none can be shared. */
  readonly figures: () => SharingFigures | undefined
}

/**
 * Waits for nothing: till Redis is there, all limits count on this host. What `hash_key` is gets read here
 * and not later. Errors: an Error for the operator where files of the configuration cannot be used.
 */
export async function openSharedLimits(
  config: RedisConfig | undefined,
  { log, closers }: { readonly log: Logger; readonly closers: Closers },
): Promise<SharedLimits> {
  if (config?.hashKey === undefined) return { open: openBucketTable, figures: () => undefined }
  const { connectRedis } = await import('../redis/connect.ts')
  const { RedisCounts } = await import('../redis/shared-counts.ts')
  const settler = new Settler({
    ...{ now: () => performance.now(), random: Math.random, soon: setImmediate },
    after: (ms, action) => {
      const timer = setTimeout(action, ms).unref()
      return () => clearTimeout(timer)
    },
    onOutage: (reason) => {
      log.warn({ reason }, 'Redis cannot be used: shared limits count on this host alone')
    },
    onRecovery: () => log.info('Shared limits count across hosts again'),
  })
  const link = await connectRedis(config, {
    random: Math.random,
    listens: false,
    events: {
      onReady: () => settler.connected(),
      onMessage: () => {},
      onFault: (reason) => settler.lost(reason),
    },
  })
  const hashKey = createSecretKey(Buffer.from(config.hashKey.reveal()))
  const counts = new RedisCounts({ link, keyPrefix: config.keyPrefix, hashKey })
  settler.start(counts)
  closers.add(() => settler.close())
  const open: OpenBuckets = (rate, { name, shared }) => {
    const own = openBucketTable(rate)
    if (!shared) return own
    const around = { settler, counts, keysMax: bucketsMax }
    return new SharedBuckets({ limit: name, rate, own, ...around })
  }
  return { open, figures: () => settler.figures }
}
