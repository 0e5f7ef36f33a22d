// What the admin socket tells and does.

import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Config } from '../config/schema.ts'
import { recountUsage, reportUsage } from '../operation/usage-report.ts'
import type { AdminCalls, AdminListener, AdminRoutes } from '../server/admin.ts'
import { auditedCalls, decisionRoute, guardedCalls } from '../server/audited-admin.ts'
import { inFlight, type OpenListener } from '../server/listen.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Foundation } from './foundation.ts'
import type { Health } from './health.ts'
import type { Maintenance } from './maintenance.ts'
import type { Generations } from './reload.ts'

/** Serves what the admin socket tells and does, wherever that is. */
export type ServeAdmin = (
  socket: string,
  routes: AdminRoutes,
  calls: AdminCalls,
) => Promise<AdminListener>

interface AdminParts {
  readonly foundation: Foundation
  readonly generations: Generations
  readonly health: Health
  readonly listeners: readonly OpenListener[]
  readonly maintenance: Maintenance
  readonly metrics: Metrics
  readonly serveAdmin: ServeAdmin
}

export async function openAdmin(
  config: Config,
  parts: AdminParts,
): Promise<AdminListener | undefined> {
  const { socket } = config.admin
  if (socket === undefined) return undefined
  const { foundation, generations, health, listeners, maintenance, metrics, serveAdmin } = parts
  const { audit, counts, redis, sharedLimits, stores, tls, tokens } = foundation
  const { registry } = stores
  const access = (): typeof generations.current.access => generations.current.access
  const startedAtMs = Date.now()
  const listening = listeners.map(({ listener, transport, tls }) => {
    return { ...listener.local, transport, tls }
  })
  await mkdir(dirname(socket), { recursive: true, mode: 0o700 })
  const routes = {
    '/healthz': () => health.live(),
    '/readyz': () => health.ready(),
    // The figures are what a supervisor adds up.
    '/metrics': (query: URLSearchParams) =>
      query.has('figures') ? metrics.figures() : metrics.render(),
    '/usage': (query: URLSearchParams) => reportUsage(query, generations.current.registry),
    '/decisions': decisionRoute(audit),
    ...maintenance.routes,
    '/tokens': async () => (await tokens.admin.list()).body,
    '/status': () => ({
      pid: process.pid,
      uptimeSeconds: Math.round((Date.now() - startedAtMs) / 1000),
      listening,
      requestsInFlight: inFlight(listeners),
      uploadsOpen: registry.uploads.size,
      ingest: registry.ingest.gauges,
      edge: counts.edge,
      tls: tls?.status(),
      oidc: access().oidc.status(),
      tokens: tokens.keeper.status,
      redis: redis?.status(),
      ldap: access().ldap.map((each) => each.status()),
      webhooks: access().guards.webhooks.status(),
      opas: access().guards.opas.status(),
      limits: {
        refusals: Object.fromEntries(counts.limits.refusals()),
        holds: counts.limits.holds,
        shared: sharedLimits.figures(),
      },
      reload: generations.figures,
      audit: audit.figures(),
      nodes: stores.liveness.list?.(),
      disks: stores.reserve.disks.figures,
      bucket: stores.s3?.status,
    }),
  }
  const own = {
    ...maintenance.calls,
    '/usage/recount': (input: unknown) => recountUsage(input, generations.current.registry),
  }
  const ofTokens = {
    '/tokens/create': (input: unknown) => tokens.admin.create(input),
    '/tokens/revoke': (input: unknown) => tokens.admin.revoke(input),
  }
  const calls = { ...auditedCalls(own, audit), ...guardedCalls(ofTokens, audit) }
  return serveAdmin(socket, routes, calls)
}
