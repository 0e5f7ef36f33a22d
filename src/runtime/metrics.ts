// The metrics of this process: what each part counts, put together.

import type { Config } from '../config/schema.ts'
import { quotaUses } from '../operation/usage-report.ts'
import { hasFallenBack, inFlight, type OpenListener } from '../server/listen.ts'
import { uwsVersion } from '../server/transport/uws/native.ts'
import { LmdbMetadataStore } from '../storage/metadata/lmdb/open.ts'
import { PostgresMetadataStore } from '../storage/metadata/postgres/store.ts'
import { ClockState } from '../telemetry/clock-state.ts'
import { LifeMetrics } from '../telemetry/life-metrics.ts'
import type { LogFigures } from '../telemetry/log-destination.ts'
import { LoopDelay } from '../telemetry/loop-delay.ts'
import { MachineMetrics, type MachineSources } from '../telemetry/machine-metrics.ts'
import { MaintenanceMetrics } from '../telemetry/maintenance-metrics.ts'
import { createMetrics, type Metrics } from '../telemetry/metrics.ts'
import type { Closers } from './closers.ts'
import type { Foundation } from './foundation.ts'
import type { Health } from './health.ts'
import type { Maintenance } from './maintenance.ts'
import type { Generations } from './reload.ts'

interface MetricsParts {
  readonly foundation: Foundation
  readonly generations: Generations
  readonly health: Health
  readonly listeners: readonly OpenListener[]
  readonly maintenance: Maintenance
  /** Of this build. */
  readonly version: string
  /** Undefined: nobody counts. */
  readonly logFigures: (() => LogFigures) | undefined
  readonly closers: Closers
}

const elapsed = (): number => performance.now()

export function openMetrics(config: Config, parts: MetricsParts): Metrics {
  const { foundation, generations, health, listeners, version, closers, logFigures } = parts
  const { maintenance } = parts
  const { audit, counts, redis, sharedLimits, stores, tls, tokens } = foundation
  const access = (): typeof generations.current.access => generations.current.access
  const delay = new LoopDelay()
  closers.add(() => delay.close())
  const clock = new ClockState({ now: Date.now, elapsed, jumps: health.clock })
  closers.add(() => clock.close())
  return createMetrics({
    edge: counts.edge,
    policy: counts.policy,
    logins: counts.logins,
    oidc: () => access().oidc.status(),
    tokens: () => tokens.keeper.status,
    tls: () => tls?.status(),
    listeners: listeners.map(({ listener, transport, tls }) => {
      return { ...listener.local, transport, tls }
    }),
    gauges: () => ({
      requests_in_flight: inFlight(listeners),
      uploads_open: stores.registry.uploads.size,
    }),
    guards: [counts.webhooks, counts.opas],
    limits: counts.limits,
    audit: () => audit.figures(),
    quotas: () => quotaUses(generations.current.registry),
    gatewayHeadersIgnored: () => access().authenticator.gatewayHeadersIgnored,
    ldap: () => access().ldap.map((each) => each.status()),
    introspections: () => access().oidc.status().providers,
    redis: () => redis?.status(),
    sharedLimits: () => sharedLimits.figures(),
    fellBack: hasFallenBack(config.server.transport),
    parts: [
      delay,
      new LifeMetrics({
        build: { version, uws: uwsVersion },
        clock,
        reload: () => generations.figures,
        log: () => logFigures?.(),
        traces: () => foundation.tracing?.figures,
      }),
      new MachineMetrics(machineSources(foundation)),
      new MaintenanceMetrics({
        counts: maintenance.counts,
        jobs: () => maintenance.admin.readings(),
      }),
      counts.requests,
      counts.access,
    ],
  })
}

function machineSources(foundation: Foundation): MachineSources {
  const { counts, credentials, logins, stores } = foundation
  const { bodies, ingest, metadata, replies } = stores.registry
  return {
    ingest: () => ingest.gauges,
    bodies: () => bodies,
    credentials: () => credentials.gauges,
    caches: () => [
      {
        ...{ name: 'replies', counts: replies.counts },
        ...{ entries: replies.size, bytes: replies.bytes, bytesMax: replies.bytesMax },
      },
      { name: 'credentials', counts: logins.cache },
      { name: 'decisions', counts: counts.decisions },
    ],
    lmdb: () => (metadata instanceof LmdbMetadataStore ? metadata.figures() : undefined),
    postgres: () => (metadata instanceof PostgresMetadataStore ? metadata.figures() : undefined),
    nodes: () => stores.liveness.list?.().filter(({ ended }) => !ended).length,
    s3: () => stores.s3,
    disks: () => stores.reserve.disks.figures,
  }
}
