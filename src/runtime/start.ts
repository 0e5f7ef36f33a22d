// Configuration → the running registry. This folder alone makes long-lived things, and ends them.

import type { Config } from '../config/schema.ts'
import { type AdminListener, listenAdmin } from '../server/admin.ts'
import { createProxyTrust } from '../server/forwarded.ts'
import {
  closeListeners,
  drain,
  inFlight,
  type OpenListener,
  openListeners,
} from '../server/listen.ts'
import type { ChildLink } from '../supervise/child.ts'
import type { Logger } from '../telemetry/log.ts'
import type { LogFigures } from '../telemetry/log-destination.ts'
import { configuredPolicies } from './access.ts'
import { openAdmin } from './admin.ts'
import { auditConfig, auditLife } from './audit.ts'
import { Closers } from './closers.ts'
import { edgeOptions } from './edge.ts'
import { type Foundation, openFoundation } from './foundation.ts'
import { buildGeneration } from './generation.ts'
import { openHealth } from './health.ts'
import { JobLoad } from './job-load.ts'
import { type Maintenance, openMaintenance } from './maintenance.ts'
import { openMetrics } from './metrics.ts'
import { Generations, type ReloadResult } from './reload.ts'
import { requireRules } from './rules.ts'
import { selfAnswers } from './self-answers.ts'

export interface Runtime {
  readonly listeners: readonly OpenListener[]
  readonly admin: AdminListener | undefined
  /**
   * Put another configuration in force. `load` reads it; what it throws, and whatever else is wrong,
   * leaves everything as it was. Never rejects.
   */
  reload(load: () => Config): Promise<ReloadResult>
  /** Read the TLS files again and reopen the audit log; what cannot be used leaves the old. */
  reopen(): Promise<void>
  /** Look at once for what another process has issued or revoked. */
  refresh(): Promise<void>
  /**
   * Stop taking connections, wait for what is in flight (`server.shutdown_timeout`), then end
   * everything in the order that keeps acknowledged writes. True where nothing had to be cut.
   */
  stop(): Promise<boolean>
}

/** What the runtime is told beside its configuration. */
export interface Source {
  /** Of the configuration. */
  readonly files: readonly string[]
  /** Of this build. */
  readonly version: string
  /** What became of lines of the log; undefined: nobody counts. */
  readonly logFigures?: () => LogFigures
  /** Where this is one of several processes; the supervisor's admin socket is that of all. */
  readonly link?: Link | undefined
}

/** What the runtime needs of its supervisor. */
export type Link = Pick<ChildLink, 'ask' | 'index' | 'serveAdmin' | 'ticketSeed'>

/** Errors: Error with a message for the operator: a locked or unusable store, a taken port. */
export async function startRuntime(config: Config, log: Logger, source: Source): Promise<Runtime> {
  const closers = new Closers(log)
  try {
    return await build(config, source, log, closers)
  } catch (error) {
    await closers.closeAll()
    throw error
  }
}

async function build(
  config: Config,
  source: Source,
  log: Logger,
  closers: Closers,
): Promise<Runtime> {
  const { files, version, link } = source
  const serveAdmin = link?.serveAdmin ?? listenAdmin
  const policies = configuredPolicies(config)
  requireRules(config, files)
  const foundation = await openFoundation(config, log, closers, {
    ...{ version, ticketSeed: link?.ticketSeed },
  })
  const { audit, counts, tls, tokens } = foundation
  auditConfig(audit, config, files)
  const first = await buildGeneration(config, policies, foundation)
  const generations = new Generations({ foundation, files, first, now: Date.now })
  closers.add(() => generations.close())
  const sharesAddress = link !== undefined
  const { trusts } = createProxyTrust(config.server.trustedProxies)
  const listeners = await openListeners(
    config.listeners,
    edgeOptions(config, generations, { counts: counts.edge, log, trusts, sharesAddress }),
    () => tls?.material,
  )
  closers.add(() => closeListeners(listeners))
  auditLife(audit, { listeners, version }, closers)
  tls?.onRenew(async (material) => {
    const secure = listeners.filter((each) => each.tls)
    await Promise.all(secure.map(({ listener }) => listener.renewTls(material)))
  })
  const health = openHealth(foundation, () => generations.current.config.health.probeTimeoutMs)
  const maintenance = maintain(foundation, generations, listeners)
  closers.add(() => maintenance.close())
  const metrics = openMetrics(config, {
    ...{ foundation, generations, health, listeners, maintenance, version, closers },
    logFigures: source.logFigures,
  })
  const { registry } = foundation.stores
  if (registry.damage !== undefined) registry.damage.onFound = maintenance.onDamage
  registry.report.current = selfAnswers({ readiness: health.readiness, metrics, link })
  const admin = await openAdmin(config, {
    ...{ foundation, generations, health, listeners, maintenance, metrics, serveAdmin },
  })
  if (admin !== undefined) closers.add(() => admin.close())
  return {
    listeners,
    admin,
    reload: (load) => generations.reload(load),
    reopen: async () => {
      await Promise.all([audit.reopen(), tls?.reload()])
    },
    refresh: () => tokens.keeper.refresh(),
    stop: async () => {
      const { shutdownTimeoutMs } = generations.current.config.server
      maintenance.stopAll()
      const idle = await drain(listeners, shutdownTimeoutMs)
      await closers.closeAll()
      return idle
    },
  }
}

function maintain(
  { audit, log, stores }: Foundation,
  generations: Generations,
  listeners: readonly OpenListener[],
): Maintenance {
  const { metadata, registry } = stores
  const { blobs, ingest, readers, replies, shared } = registry
  const load = new JobLoad({
    requestsInFlight: () => inFlight(listeners),
    ingest: () => ingest.gauges,
    pushes: () => registry.uploads.requests,
    elapsed: () => performance.now(),
  })
  return openMaintenance({
    config: () => generations.current.config,
    parts: {
      ...{ metadata, blobs, ingest, log, shared, liveness: stores.liveness },
      hasDiskRoom: (bytes) => stores.reserve.disks.leaves(bytes),
      changing: (write) => replies.during(write),
      forgetBytes: (digests) => {
        for (const digest of digests) readers.drop(digest)
      },
    },
    audit,
    flushPulls: () => registry.pulls.flush(),
    load: () => load.read(),
    onBusy: (isBegin) => (isBegin ? load.begin() : load.end()),
    isScheduled: true,
  })
}
