// The Redis that hosts share: what its keys mean together.
import { isLoopbackHost } from '../http/loopback.ts'
import type { CheckedTables } from './checked-tables.ts'
import { refuseHalfPair } from './client-files.ts'
import type { RedisConfig, UsageConfig } from './schema.ts'
import { dottedName } from './tables.ts'

const table = 'redis'
const hashKeyLengthMin = 32

/** Errors: refuses an address in clear, two ways to find the master, and half a pair of keys. */
export function composeRedis(tables: CheckedTables): RedisConfig | undefined {
  if (!tables.has(table)) return undefined
  const redis = tables.values(table)
  for (const [key, text] of [
    ['url', redis.url] as const,
    ...redis.moreUrls.map((url) => ['more_urls', url] as const),
  ]) {
    if (text !== undefined && !isSafe(text)) {
      const message =
        'expected rediss://HOST[:PORT][/DB] without a user, or redis:// on loopback: what is revoked must not be forged on the way'
      tables.refuse(table, key, message)
    }
  }
  const isAlone = redis.sentinelName === undefined && !redis.cluster
  if (redis.cluster && redis.sentinelName !== undefined) {
    tables.refuse(table, 'cluster', 'expected it or sentinel_name, not both')
  }
  if (isAlone && redis.moreUrls.length > 0) {
    tables.refuse(table, 'more_urls', 'expected it with sentinel_name or cluster alone')
  }
  if (redis.hashKey !== undefined && redis.hashKey.reveal().length < hashKeyLengthMin) {
    const message = `expected at least ${hashKeyLengthMin} characters: openssl rand -hex 32`
    tables.refuse(table, 'hash_key', message)
  }
  refuseHalfPair(tables, table, redis)
  return redis
}

/** Errors: refuses a shared limit where nothing is shared. */
export function refuseUnshared(
  tables: CheckedTables,
  { rates }: UsageConfig,
  redis: RedisConfig | undefined,
): void {
  if (redis?.hashKey !== undefined) return
  const missing = redis === undefined ? '[redis] with hash_key' : 'redis.hash_key'
  for (const { name, shared } of rates) {
    if (shared) {
      tables.refuse(dottedName(['limits', 'rate', name]), 'shared', `expected ${missing} beside it`)
    }
  }
}

function isSafe(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, hostname, username, password, pathname, search, hash } = new URL(text)
  const isBare = username === '' && password === '' && search === '' && hash === ''
  const isLoopback = isLoopbackHost(hostname)
  const isClosed = protocol === 'rediss:' || (protocol === 'redis:' && isLoopback)
  return isBare && isClosed && hostname !== '' && /^(\/\d{0,2})?$/.test(pathname)
}
