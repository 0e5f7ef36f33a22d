// Maintenance: the table of jobs, what they are given, and what the admin interface says of them.

import { randomUUID } from 'node:crypto'
import type { Audit } from '../audit/audit.ts'
import type { Config } from '../config/schema.ts'
import { createBackupJob } from '../maintain/backup/create.ts'
import { type GcCallsSource, gcCalls, gcRoutes } from '../maintain/gc/calls.ts'
import { createGcJob } from '../maintain/gc/job.ts'
import { JobsAdmin } from '../maintain/job/admin.ts'
import { type AnyJob, anyJob } from '../maintain/job/any-job.ts'
import { type JobClock, systemJobClock } from '../maintain/job/clock.ts'
import { ClockGuard } from '../maintain/job/clock-guard.ts'
import type { JobParts } from '../maintain/job/contract.ts'
import { JobRunner } from '../maintain/job/runner.ts'
import { JobScheduler } from '../maintain/job/scheduler.ts'
import { createRewrapJob } from '../maintain/rewrap/job.ts'
import { createExportJob } from '../maintain/transfer/export-job.ts'
import type { Digest } from '../oci/digest.ts'
import type { AdminCalls, AdminRoutes } from '../server/admin.ts'
import type { JobKind } from '../storage/metadata/job-store.ts'
import { ownIdentity } from '../storage/process-table.ts'
import type { Logger } from '../telemetry/log.ts'
import { MaintenanceCounts } from '../telemetry/maintenance-counts.ts'
import { backupSettings } from './backups.ts'
import { migrateJob } from './migrate.ts'
import { importJob } from './peers.ts'
import { openRetention, type Retention } from './retention.ts'
import { openDamageWatch, scrubJob } from './scrub.ts'

// Blobs whose removal was cut short, looked at; and again after so long.
const unfinishedMax = 64
const unfinishedEveryMs = 60_000

/** What maintenance stands on, in a server and without one. */
export interface MaintenanceHost {
  /** The one in force; asked each time. */
  readonly config: () => Config
  readonly parts: Pick<
    JobParts,
    | 'metadata'
    | 'blobs'
    | 'ingest'
    | 'changing'
    | 'forgetBytes'
    | 'shared'
    | 'liveness'
    | 'hasDiskRoom'
    | 'log'
  >
  readonly audit: Pick<Audit, 'maintenance' | 'hasRoom'>
  /** Resolves when the store knows of every pull of this process. Absent where none is noted. */
  readonly flushPulls?: () => Promise<void>
  /** How much stands in the way of requests, from 0 to 1. */
  readonly load: () => number
  /** A run begins, or has ended. */
  readonly onBusy?: (isBegin: boolean) => void
  /** Whether jobs are run by themselves when they are due. */
  readonly isScheduled: boolean
}

export interface Maintenance {
  readonly runner: JobRunner
  readonly admin: JobsAdmin
  readonly counts: MaintenanceCounts
  /** What a GET of the admin interface answers. */
  readonly routes: AdminRoutes
  /** What a POST does; those by path that are no jobs work without a server, too. */
  readonly calls: AdminCalls
  /** A request has found a blob damaged. Returns at once. */
  readonly onDamage: (digest: Digest) => void
  /** Asks what runs to stop. */
  stopAll(): void
  /** Waits for that, for at most five seconds. */
  close(): Promise<void>
}

/** A line each. */
function jobTable(
  config: () => Config,
  log: Logger,
  retention: Retention,
  flushPulls: () => Promise<void>,
): readonly AnyJob[] {
  return [
    anyJob(createGcJob(() => config().gc, flushPulls)),
    scrubJob(config),
    retention.job,
    anyJob(createBackupJob(() => backupSettings(config()))),
    importJob(config),
    anyJob(createExportJob(() => ({ descriptorsMax: config().global.descriptorsMax }))),
    migrateJob(config, log),
    anyJob(createRewrapJob()),
  ]
}

/** What else can be asked, by path: a record of each room. */
function roomRoutes(parts: JobParts, config: () => Config, audit: AuditOfDeeds): AdminRoutes {
  return gcRoutes(gcSource(parts, config, audit))
}

function roomCalls(parts: JobParts, config: () => Config, audit: AuditOfDeeds): AdminCalls {
  return gcCalls(gcSource(parts, config, audit))
}

type AuditOfDeeds = Pick<Audit, 'maintenance'>

function gcSource(parts: JobParts, config: () => Config, audit: AuditOfDeeds): GcCallsSource {
  return {
    ...{ parts, settings: () => config().gc },
    record: (deed) => audit.maintenance({ job: 'gc', run: 'restore', ...deed }),
  }
}

export function openMaintenance(host: MaintenanceHost): Maintenance {
  const { audit, config, isScheduled, load, onBusy } = host
  const parts: JobParts = { ...host.parts, now: Date.now, randomUuid: randomUUID }
  const { log, metadata } = parts
  const clock = systemJobClock
  const counts = new MaintenanceCounts()
  const { flushPulls = async () => undefined } = host
  const retention = openRetention({
    ...{ config, parts, flushPulls },
    record: (deed) => audit.maintenance({ job: 'prune', run: 'restore', ...deed }),
  })
  const runner = new JobRunner({
    ...{ parts, clock, counts, load, isReported: !isScheduled },
    jobs: jobTable(config, log, retention, flushPulls),
    guard: new ClockGuard({
      ...{ clock, bootId: ownIdentity().bootId, settleMs: () => config().gc.graceMs },
    }),
    hasRoom: () => audit.hasRoom(),
    onDeed: (job, run, deed) => audit.maintenance({ job, run, ...deed }),
    onRun: ({ kind: job, run, end }) => {
      onBusy?.(end === undefined)
      const reason =
        end === undefined ? 'started' : `${end.outcome}: ${end.report.summary[0] ?? ''}`
      audit.maintenance({ job, run, deed: end === undefined ? 'begin' : 'end', reason })
    },
  })
  const finishing = isScheduled ? finishDestroying(runner, parts, clock) : undefined
  const every = (): ReturnType<typeof everyOf> => everyOf(config(), runner.kinds)
  const scheduler = isScheduled
    ? new JobScheduler({
        ...{ runner, clock, counts, log, random: Math.random },
        every,
      })
    : undefined
  const admin = new JobsAdmin({
    runner,
    nextDueMs: (kind, record) => scheduler?.nextDueMs(kind, record),
    everyMs: (kind) => every()[kind] ?? 0,
    askToStop: ({ kind, run }) => metadata.askJobToStop(kind, run),
  })
  const damage = openDamageWatch(parts, config, { audit, counts })
  return {
    ...{ runner, admin, counts },
    onDamage: (digest) => damage.look(digest),
    routes: {
      ...roomRoutes(parts, config, audit),
      ...retention.routes,
      '/jobs': (query) => admin.status(query),
    },
    calls: {
      ...roomCalls(parts, config, audit),
      ...retention.calls,
      '/jobs/start': (input) => admin.start(input),
      '/jobs/stop': (input) => admin.stop(input),
    },
    stopAll: () => runner.stopAll(),
    close: async () => {
      finishing?.cancel()
      await scheduler?.close()
      await Promise.all([runner.close(), damage.close()])
    },
  }
}

// Nobody can push a blob with whose destruction a run had begun when it was killed, until that is finished:
// this is due at once, or as soon as what it had sent can happen no more, also where garbage is collected by hand alone.
function finishDestroying(
  runner: JobRunner,
  { blobs, log, metadata, now }: JobParts,
  clock: JobClock,
): { readonly cancel: () => void } {
  const { removalsLateMs = 0 } = blobs
  let cancel = (): void => {}
  const look = async (): Promise<void> => {
    try {
      const left = await metadata.listDestroying(unfinishedMax, { onCorrupt: () => undefined })
      const isDue = left.some(({ beganAtMs = 0 }) => beganAtMs + removalsLateMs <= now())
      if (isDue) await runner.start('gc', { onlyUnfinished: true })
    } catch (error) {
      const text = 'maintenance: what a killed run had begun to destroy is not finished'
      log.warn({ err: error }, text)
    }
    if (removalsLateMs > 0) cancel = clock.after(unfinishedEveryMs, () => void look())
  }
  void look()
  return { cancel: () => cancel() }
}

/** In ms; 0: never. */
function everyOf(
  { gc, retention, scrub }: Config,
  kinds: readonly JobKind[],
): Readonly<Partial<Record<JobKind, number>>> {
  const all = { gc: gc.everyMs, prune: retention.everyMs, scrub: scrub.everyMs }
  return Object.fromEntries(Object.entries(all).filter(([kind]) => kinds.includes(kind as JobKind)))
}
