// Maintenance while no server runs: the stores are locked and opened, and a job runs in this process.

import type { Config } from '../config/schema.ts'
import type { JobProgress } from '../maintain/job/contract.ts'
import type { StatusAnswer } from '../server/admin.ts'
import { oneHost } from '../storage/liveness.ts'
import type { JobKind } from '../storage/metadata/job-store.ts'
import { createLog, type Logger } from '../telemetry/log.ts'
import { openAlone, openAloneToMove } from './alone.ts'
import { openConfiguredAudit } from './audit.ts'
import { openBlobs } from './blobs.ts'
import { Closers } from './closers.ts'
import { type Maintenance, openMaintenance } from './maintenance.ts'
import { openReserve } from './reserve.ts'
import { createPool } from './stores.ts'

export type { JobKind }

export interface OfflineJob {
  readonly kind: JobKind
  readonly input: object
  /** The operator says that the clock is right. */
  readonly trustClock: boolean
}

const lookMs = 100

/**
 * Runs a job to its end. The answer is that of `GET /jobs` about it, or the refusal.
 * Errors: Error with a message for the operator: no store, one in use, or one of another user.
 */
export function runOffline(
  config: Config,
  { kind, input, trustClock }: OfflineJob,
  watch: {
    /** Asks the job to stop. */
    readonly signal: AbortSignal
    readonly onProgress: (progress: Partial<JobProgress>) => void
  },
): Promise<StatusAnswer> {
  return withMaintenance(config, kind === 'migrate', async ({ runner, admin }) => {
    const started = await runner.start(kind, input, trustClock)
    if (started.kind !== 'started') return { status: 409, body: { error: started.error } }
    const stop = (): void => void runner.stop(kind)
    if (watch.signal.aborted) stop()
    watch.signal.addEventListener('abort', stop)
    const timer = setInterval(() => watch.onProgress(runner.running(kind)?.progress ?? {}), lookMs)
    const { report, outcome } = await started.done.finally(() => {
      clearInterval(timer)
      watch.signal.removeEventListener('abort', stop)
    })
    const { body } = await admin.status(new URLSearchParams({ kind }))
    const [job] = (body as { readonly jobs: readonly object[] }).jobs
    // The report of this run, though its record could not be written.
    return { status: 200, body: { ...job, kind, run: started.run, outcome, ...report } }
  })
}

/**
 * What else the admin interface answers about maintenance, as it does. `path` may have a query.
 * Errors: as `runOffline`.
 */
export function callMaintenance(
  config: Config,
  path: string,
  input: object | undefined,
): Promise<StatusAnswer> {
  const [name = '', query = ''] = path.split('?')
  return withMaintenance(config, false, async ({ calls, routes }) => {
    const call = Object.hasOwn(calls, name) ? calls[name] : undefined
    const route = Object.hasOwn(routes, name) ? routes[name] : undefined
    if (input !== undefined && call !== undefined) return call(input)
    if (input !== undefined || route === undefined) {
      throw new Error(`${name} needs a running server`)
    }
    const told = await route(new URLSearchParams(query))
    const isAnswer = typeof told === 'object' && told !== null && 'status' in told
    return isAnswer ? (told as StatusAnswer) : { status: 200, body: told as object }
  })
}

async function withMaintenance<T>(
  config: Config,
  moves: boolean,
  action: (maintenance: Maintenance) => Promise<T>,
): Promise<T> {
  const { log, flush } = createLog({ ...config.log, level: 'warn', descriptor: 2 })
  const closers = new Closers(log)
  try {
    return await action(await openParts(config, moves, log, closers))
  } finally {
    await closers.closeAll()
    await flush()
  }
}

async function openParts(
  config: Config,
  moves: boolean,
  log: Logger,
  closers: Closers,
): Promise<Maintenance> {
  const metadata = await (moves ? openAloneToMove(config, log) : openAlone(config))
  closers.add(() => metadata.close())
  const { blobs } = await openBlobs(config, metadata, log)
  closers.add(() => blobs.close())
  const ingest = createPool(config, blobs, log)
  closers.add(() => ingest.close())
  const { disks } = await openReserve(config, ingest, log, closers)
  // After the store: whoever has its lock is alone with the audit log, too.
  const audit = await openConfiguredAudit(config, log, closers)
  const maintenance = openMaintenance({
    config: () => config,
    parts: {
      ...{ metadata, blobs, ingest, log, shared: false, liveness: oneHost },
      hasDiskRoom: (bytes) => disks.leaves(bytes),
      changing: (write) => write(),
      forgetBytes: () => {},
    },
    audit,
    load: () => 0,
    isScheduled: false,
  })
  closers.add(() => maintenance.close())
  return maintenance
}
