// What lives as long as the process, whatever configuration is in force: the stores, the audit log,
// issued tokens, threads for credentials, and everything that is counted or remembered of callers.

import { availableParallelism } from 'node:os'
import type { Audit } from '../audit/audit.ts'
import { createLoginMemory, type LoginMemory } from '../authenticate/login-memory.ts'
import type { KnownUser, UserDirectory } from '../authenticate/token/contract.ts'
import type { Config } from '../config/schema.ts'
import { type CredentialPool, createCredentialPool } from '../offload/credential-pool.ts'
import { openTokens, type Tokens } from '../operation/token/open.ts'
import type { TlsKeeper } from '../server/tls/keep.ts'
import type { TicketSeed } from '../server/tls/ticket-keys.ts'
import { AccessCounts } from '../telemetry/access-log.ts'
import { AuthCounts } from '../telemetry/auth-counts.ts'
import { type CacheCounts, newCacheCounts } from '../telemetry/cache-counts.ts'
import { type EdgeCounts, newEdgeCounts } from '../telemetry/edge-counts.ts'
import { GuardCounts } from '../telemetry/guard-counts.ts'
import { LimitCounts } from '../telemetry/limit-counts.ts'
import type { Logger } from '../telemetry/log.ts'
import type { PolicyCounts } from '../telemetry/metrics.ts'
import { RequestMetrics } from '../telemetry/request-metrics.ts'
import type { Tracing } from '../tracing/contract.ts'
import { openConfiguredAudit } from './audit.ts'
import type { Closers } from './closers.ts'
import { openTls } from './edge.ts'
import { type OpenRedis, openRedis } from './redis.ts'
import { openSharedLimits, type SharedLimits } from './shared-limits.ts'
import { type OpenStores, openStores } from './stores.ts'
import { openConfiguredTracing } from './tracing.ts'

// First logins that may wait for a thread: at 20 ms each, about the time that a client waits.
const loginsWaitingMax = 256

/** Counted up in place by whatever is in force. */
export interface Counts {
  readonly edge: EdgeCounts
  readonly limits: LimitCounts
  readonly logins: AuthCounts
  readonly policy: PolicyCounts
  readonly requests: RequestMetrics
  readonly access: AccessCounts
  /** Decisions of policies that are remembered. */
  readonly decisions: CacheCounts
  readonly webhooks: GuardCounts
  readonly opas: GuardCounts
}

export interface Foundation {
  readonly log: Logger
  readonly audit: Audit
  readonly stores: OpenStores
  /** Undefined where no listener uses TLS. */
  readonly tls: TlsKeeper | undefined
  readonly tokens: Tokens
  /** Of the configuration in force. */
  readonly directory: CurrentDirectory
  /** Undefined where none is configured. */
  readonly redis: OpenRedis | undefined
  readonly sharedLimits: SharedLimits
  readonly credentials: CredentialPool
  readonly logins: LoginMemory
  readonly counts: Counts
  /** Undefined where nothing is traced. */
  readonly tracing: Tracing | undefined
}

/** The users of whatever configuration is in force. */
export class CurrentDirectory implements UserDirectory {
  /** Undefined before the first one: then nobody is known. */
  current: UserDirectory | undefined

  find(username: string): KnownUser | undefined {
    return this.current?.find(username)
  }

  hasProvider(name: string): boolean {
    return this.current?.hasProvider(name) === true
  }
}

interface FoundationSource {
  /** Of this build. */
  readonly version: string
  /** That of all processes, where this is one of several. */
  readonly ticketSeed: TicketSeed | undefined
}

/**
 * Errors: Error with a message for the operator: files that cannot be used, a locked store.
 */
export async function openFoundation(
  config: Config,
  log: Logger,
  closers: Closers,
  { version, ticketSeed }: FoundationSource,
): Promise<Foundation> {
  const tls = await openTls(config, log, ticketSeed)
  if (tls !== undefined) closers.add(() => tls.close())
  const stores = await openStores(config, log, closers)
  const audit = await openConfiguredAudit(config, log, closers)
  const credentials = createCredentialPool({
    workers: credentialThreads(config.server.processes),
    queueMax: loginsWaitingMax,
  })
  closers.add(() => credentials.close())
  const directory = new CurrentDirectory()
  const store = stores.metadata
  const tokens = await openTokens(config.auth.tokenService, {
    ...{ store, directory, shared: config.storage.sharing === 'shared' },
    onEvent: (event) => audit.token(event),
    onCall: (event) => audit.tokenAdmin(event),
    onFault: (what, error) => log.warn({ err: error }, `${what}: failed`),
  })
  closers.add(() => tokens.keeper.close())
  const redis = await openRedis(config.redis, { tokens, store, log, closers })
  const sharedLimits = await openSharedLimits(config.redis, { log, closers })
  const logins = createLoginMemory(() => performance.now())
  const counts = newCounts()
  const tracing = await openConfiguredTracing(config, { version, log, closers })
  return {
    ...{ log, audit, stores, tls, tokens, directory, redis, sharedLimits, credentials, logins },
    ...{ counts, tracing },
  }
}

/** Half of the cores, shared by the processes. */
function credentialThreads(processes: number | 'auto'): number {
  const cores = availableParallelism()
  return Math.max(1, Math.floor(cores / 2 / (processes === 'auto' ? cores : processes)))
}

function newCounts(): Counts {
  return {
    edge: newEdgeCounts(),
    limits: new LimitCounts(),
    logins: new AuthCounts(),
    policy: { ruleErrors: 0 },
    requests: new RequestMetrics(),
    access: new AccessCounts(),
    decisions: newCacheCounts(),
    webhooks: new GuardCounts('webhook'),
    opas: new GuardCounts('opa'),
  }
}
