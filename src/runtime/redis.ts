// What this host shares with others through Redis: its revocations.

import { randomUUID } from 'node:crypto'
import type { RedisConfig } from '../config/schema.ts'
import type { Tokens } from '../operation/token/open.ts'
import { RevocationList } from '../operation/token/revocation-list.ts'
import type { RedisLink, RedisStatus } from '../redis/contract.ts'
import type { TokenStore } from '../storage/metadata/token-store.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Closers } from './closers.ts'

export interface OpenRedis {
  readonly status: () => RedisStatus
}

interface Parts {
  readonly tokens: Tokens
  readonly store: TokenStore
  readonly log: Logger
  readonly closers: Closers
}

/**
 * Resolves when this host has caught up, or after `timeoutMs`: a Redis that is away holds nobody up.
 * Undefined where none is configured. Errors: Error for the operator.
 */
export async function openRedis(
  config: RedisConfig | undefined,
  { tokens, store, log, closers }: Parts,
): Promise<OpenRedis | undefined> {
  if (config === undefined) return undefined
  // Loaded here, so that a server without one starts without its client.
  const { connectRedis } = await import('../redis/connect.ts')
  const { RevocationSpread } = await import('../redis/spread.ts')
  const now = Date.now
  const spread = new RevocationSpread({
    list: new RevocationList({ store, keeper: tokens.keeper, now }),
    key: `${config.keyPrefix}revocations`,
    ...{ now, elapsed: () => performance.now(), random: Math.random, randomUuid: randomUUID },
    after: (ms, action) => {
      const timer = setTimeout(action, ms).unref()
      return () => clearTimeout(timer)
    },
    onOutage: (reason) => {
      log.warn({ reason }, 'Redis cannot be used: revocations do not reach other hosts')
    },
    onRecovery: () => log.info('Redis can be used again'),
  })
  const link: RedisLink = await connectRedis(config, { random: Math.random, events: spread.events })
  closers.add(() => spread.close())
  const { promise: late, stop } = timeout(config.timeoutMs)
  await Promise.race([spread.start(link), late])
  stop()
  return { status: () => spread.status }
}

function timeout(ms: number): { readonly promise: Promise<void>; readonly stop: () => void } {
  let stop = (): void => {}
  const promise = new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms)
    stop = () => clearTimeout(timer)
  })
  return { promise, stop }
}
