// Metrics of what stands between a request and its answer: guards, limits, quotas, logins and the audit
// log. Figures that others count, read when somebody asks.

import type { Registry } from 'prom-client'
import type { GuardCounts } from './guard-counts.ts'
import type { LimitCounts } from './limit-counts.ts'
import { counter, gauge } from './readings.ts'

/** What the audit log counts. */
export interface AuditReadings {
  readonly written: number
  readonly dropped: number
  readonly refused: number
  readonly queued: number
  readonly writeErrors: number
  /** Undefined before the first write. */
  readonly lastWriteAgeMs: number | undefined
}

/** One quota and how much of it is used. */
export interface QuotaReading {
  /** '' for the whole registry. */
  readonly prefix: string
  readonly bytes: number
  readonly tags: number
  readonly bytesMax?: number | undefined
  readonly tagsMax?: number | undefined
}

/** A directory of users. */
export interface LdapReading {
  readonly name: string
  readonly verdicts: number
  readonly faults: number
}

/** Providers that are asked whether tokens still count. */
export interface IntrospectionReading {
  readonly name: string
  readonly introspections: number
  readonly failedIntrospections: number
}

/** The Redis by which hosts tell each other what was revoked. */
export interface RedisReading {
  readonly connected: boolean
  readonly exchangeAgeMs: number
  readonly sent: number
  readonly received: number
  readonly refused: number
  readonly taken: number
  readonly dropped: number
  readonly failures: number
}

/** Limits that count across hosts. */
export interface SharedLimitReading {
  readonly connected: boolean
  readonly rounds: number
  readonly failures: number
  readonly alone: number
  readonly waits: number
}

export interface UseSources {
  readonly guards: readonly GuardCounts[]
  readonly limits: LimitCounts
  /** Undefined without an audit log. */
  readonly audit: () => AuditReadings | undefined
  readonly quotas: () => Promise<readonly QuotaReading[]>
  readonly gatewayHeadersIgnored: () => number
  readonly ldap: () => readonly LdapReading[]
  readonly introspections: () => readonly IntrospectionReading[]
  /** Undefined without one. */
  readonly redis: () => RedisReading | undefined
  /** Undefined where no limit can be shared. */
  readonly sharedLimits: () => SharedLimitReading | undefined
}

export function registerUseMetrics(registry: Registry, sources: UseSources): void {
  for (const counts of sources.guards) counts.register(registry)
  limitMetrics(registry, sources.limits)
  auditMetrics(registry, sources.audit)
  quotaMetrics(registry, sources.quotas)
  loginMetrics(registry, sources)
  redisMetrics(registry, sources.redis)
  sharedLimitMetrics(registry, sources.sharedLimits)
}

function limitMetrics(registry: Registry, limits: LimitCounts): void {
  counter(registry, {
    name: 'keelson_limit_refusals_total',
    help: 'Requests answered 429 by a limit on use',
    labelNames: ['limit'],
    read: () => limits.refusals().map(([limit, count]) => [{ limit }, count]),
  })
  gauge(registry, {
    name: 'keelson_limit_callers',
    help: 'Callers that a limit keeps a count for',
    labelNames: ['limit'],
    aggregator: 'sum',
    read: () => limits.keys().map(([limit, count]) => [{ limit }, count]),
  })
  counter(registry, {
    name: 'keelson_upload_holds_total',
    help: 'Times that an upload had to wait since its identity had sent too much',
    read: () => [[{}, limits.holds]],
  })
}

function auditMetrics(registry: Registry, read: () => AuditReadings | undefined): void {
  const sample = (value: (audit: AuditReadings) => number | undefined) => () => {
    const audit = read()
    const found = audit && value(audit)
    return found === undefined ? [] : [[{}, found] as const]
  }
  for (const [name, help, value] of [
    ['written', 'Records written to the audit log', (audit: AuditReadings) => audit.written],
    ['dropped', 'Records that had no place and are lost', (audit: AuditReadings) => audit.dropped],
    ['refused', 'Requests refused for want of a place', (audit: AuditReadings) => audit.refused],
    ['write_errors', 'Writes that failed', (audit: AuditReadings) => audit.writeErrors],
  ] as const) {
    counter(registry, { name: `keelson_audit_${name}_total`, help, read: sample(value) })
  }
  gauge(registry, {
    name: 'keelson_audit_queued',
    help: 'Records that wait for the audit log',
    aggregator: 'sum',
    read: sample(({ queued }) => queued),
  })
  gauge(registry, {
    name: 'keelson_audit_last_write_age_seconds',
    help: 'Since the audit log was last written',
    aggregator: 'min',
    read: sample(({ lastWriteAgeMs }) =>
      lastWriteAgeMs === undefined ? undefined : lastWriteAgeMs / 1000,
    ),
  })
}

function quotaMetrics(registry: Registry, read: UseSources['quotas']): void {
  for (const [name, help, value] of [
    ['used_bytes', 'Bytes stored below the prefix of a quota', (of: QuotaReading) => of.bytes],
    ['used_tags', 'Tags below the prefix of a quota', (of: QuotaReading) => of.tags],
    ['bytes', 'How many bytes a quota allows', (of: QuotaReading) => of.bytesMax],
    ['tags', 'How many tags a quota allows', (of: QuotaReading) => of.tagsMax],
  ] as const) {
    gauge(registry, {
      name: `keelson_quota_${name}`,
      help,
      labelNames: ['prefix'],
      aggregator: 'max',
      read: async () =>
        (await read()).flatMap((quota) => {
          const found = value(quota)
          return found === undefined ? [] : [[{ prefix: quota.prefix }, found] as const]
        }),
    })
  }
}

function loginMetrics(registry: Registry, sources: UseSources): void {
  counter(registry, {
    name: 'keelson_gateway_headers_ignored_total',
    help: 'Headers that named a user and came from nobody who may',
    read: () => [[{}, sources.gatewayHeadersIgnored()]],
  })
  counter(registry, {
    name: 'keelson_ldap_logins_total',
    help: 'Logins that a directory was asked about: it answered, or it could not be used',
    labelNames: ['ldap', 'result'],
    read: () =>
      sources
        .ldap()
        .flatMap(({ name, verdicts, faults }) => [
          [{ ldap: name, result: 'answered' }, verdicts] as const,
          [{ ldap: name, result: 'unavailable' }, faults] as const,
        ]),
  })
  counter(registry, {
    name: 'keelson_oidc_introspections_total',
    help: 'Tokens that a provider was asked about: it answered, or it could not be used',
    labelNames: ['provider', 'result'],
    read: () =>
      sources
        .introspections()
        .flatMap(({ name, introspections, failedIntrospections }) => [
          [{ provider: name, result: 'answered' }, introspections - failedIntrospections] as const,
          [{ provider: name, result: 'unavailable' }, failedIntrospections] as const,
        ]),
  })
}

function redisMetrics(registry: Registry, read: UseSources['redis']): void {
  const sample = (value: (redis: RedisReading) => number) => () => {
    const redis = read()
    return redis === undefined ? [] : [[{}, value(redis)] as const]
  }
  gauge(registry, {
    name: 'keelson_redis_connected',
    help: 'Whether revocations reach other hosts through Redis at the moment',
    aggregator: 'min',
    read: sample(({ connected }) => (connected ? 1 : 0)),
  })
  gauge(registry, {
    name: 'keelson_redis_exchange_age_seconds',
    help: 'Since this host and Redis were last seen to hold the same revocations',
    aggregator: 'max',
    read: sample(({ exchangeAgeMs }) => exchangeAgeMs / 1000),
  })
  for (const [name, help, value] of [
    ['messages_sent', 'Messages published to other hosts', (of: RedisReading) => of.sent],
    ['messages_received', 'Messages heard, own ones among them', (of: RedisReading) => of.received],
    ['refused', 'Messages and entries that are no revocations', (of: RedisReading) => of.refused],
    [
      'revocations_taken',
      'Revocations of other hosts in force here',
      (of: RedisReading) => of.taken,
    ],
    ['revocations_dropped', 'Revocations without a place', (of: RedisReading) => of.dropped],
    ['failures', 'Attempts to use Redis that failed', (of: RedisReading) => of.failures],
  ] as const) {
    counter(registry, { name: `keelson_redis_${name}_total`, help, read: sample(value) })
  }
}

function sharedLimitMetrics(registry: Registry, read: UseSources['sharedLimits']): void {
  const sample = (value: (shared: SharedLimitReading) => number) => () => {
    const shared = read()
    return shared === undefined ? [] : [[{}, value(shared)] as const]
  }
  gauge(registry, {
    name: 'keelson_limit_shared_connected',
    help: 'Whether shared limits count across hosts at the moment',
    aggregator: 'min',
    read: sample(({ connected }) => (connected ? 1 : 0)),
  })
  for (const [name, help, value] of [
    [
      'rounds',
      'Times that use was settled with other hosts',
      (of: SharedLimitReading) => of.rounds,
    ],
    ['failures', 'Times that this failed', (of: SharedLimitReading) => of.failures],
    ['waits', 'Waits of requests for other hosts', (of: SharedLimitReading) => of.waits],
    [
      'alone',
      'Requests that a shared limit counted on this host alone',
      (of: SharedLimitReading) => of.alone,
    ],
  ] as const) {
    counter(registry, { name: `keelson_limit_shared_${name}_total`, help, read: sample(value) })
  }
}
