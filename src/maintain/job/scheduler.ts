// Runs what is due by itself: of the processes of a store the first that looks, and then none of the others.

import type { JobKind, JobRecord } from '../../storage/metadata/job-store.ts'
import type { Logger } from '../../telemetry/log.ts'
import type { MaintenanceCounts } from '../../telemetry/maintenance-counts.ts'
import type { JobClock } from './clock.ts'
import type { JobRunner } from './runner.ts'
import { historyOf, reportOf } from './stored.ts'

export interface SchedulerOptions {
  readonly runner: Pick<JobRunner, 'start' | 'isAbandoned' | 'readRecord' | 'running'>
  /** Asked each time, so that a reload counts. Units: ms; 0: never. */
  readonly every: () => Readonly<Partial<Record<JobKind, number>>>
  readonly clock: Pick<JobClock, 'now' | 'elapsed' | 'after'>
  /** From 0 to 1. */
  readonly random: () => number
  readonly counts: MaintenanceCounts
  readonly log: Logger
  /** How often it looks; default every five seconds. */
  readonly lookMs?: number
}

const lookMsDefault = 5_000
// A server that starts, or a host, has other things to do.
const startDelayMs = 60_000
const jitterShare = 0.1
const jitterMsMax = 10 * 60_000
const retryMsMin = 60_000
const retryMsMax = 6 * 3_600_000
// What an operator has stopped is not begun again at once, but a long one does not wait for its whole turn.
const stoppedMsMax = 24 * 3_600_000
// Clocks of processes, or of hosts, differ by less.
const clockMsMax = 60_000

export class JobScheduler {
  readonly #options: SchedulerOptions
  readonly #startedAt: number
  /** Of each kind, from 0 to 1, drawn anew for each run. */
  readonly #jitter = new Map<
    JobKind,
    { readonly run: string | undefined; readonly share: number }
  >()
  /** Attempts that did not become runs: since when, and how many. */
  readonly #refusals = new Map<JobKind, Refusals>()
  #cancel: () => void = () => {}
  #looking: Promise<void> = Promise.resolve()
  #isClosed = false

  constructor(options: SchedulerOptions) {
    this.#options = options
    this.#startedAt = options.clock.elapsed()
    this.#schedule()
  }

  /** When the server is to run it; undefined where it is not. Units: ms since 1970. */
  nextDueMs(kind: JobKind, record: JobRecord | undefined): number | undefined {
    const everyMs = this.#options.every()[kind] ?? 0
    if (everyMs <= 0) return undefined
    const { clock } = this.#options
    const sinceStartMs = clock.elapsed() - this.#startedAt
    const firstMs =
      clock.now() + startDelayMs - sinceStartMs + this.#jitterMs(kind, record, everyMs)
    const dueMs = this.#dueByRecord(kind, record, everyMs)
    const refused = this.#refusals.get(kind)
    const retryMs = refused === undefined ? 0 : clock.now() + refused.untilElapsed - clock.elapsed()
    // What is due at the start waits for it; a clock that was set back must not hold it for ever.
    return Math.max(dueMs ?? firstMs, clock.now() + startDelayMs - sinceStartMs, retryMs)
  }

  /** Once; the timer does it every few seconds. Never rejects. */
  async look(): Promise<void> {
    const { every, log } = this.#options
    for (const [kind, everyMs = 0] of Object.entries(every()) as [JobKind, number][]) {
      if (everyMs <= 0 || this.#isClosed) continue
      try {
        await this.#lookAt(kind)
      } catch (error) {
        const isNew = this.#refused(kind, 'the store cannot be used')
        if (isNew) log.warn({ job: kind, err: error }, 'maintenance: a job could not begin')
      }
    }
  }

  /** Waits for a look under way, not for runs. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#cancel()
    await this.#looking
  }

  async #lookAt(kind: JobKind): Promise<void> {
    const { clock, log, runner } = this.#options
    // Before it is worth a read of the store.
    if (clock.elapsed() - this.#startedAt < startDelayMs) return
    if (runner.running(kind) !== undefined) return
    if ((this.#refusals.get(kind)?.untilElapsed ?? 0) > clock.elapsed()) return
    const record = await runner.readRecord(kind)
    if (record !== undefined && isHeld(record) && !runner.isAbandoned(record)) return
    const dueMs = this.nextDueMs(kind, record)
    if (dueMs === undefined || dueMs > clock.now()) return
    const started = await runner.start(kind, {})
    if (started.kind === 'started' || started.kind === 'held') {
      this.#refusals.delete(kind)
      return
    }
    const isNew = this.#refused(kind, started.error)
    if (isNew) log.warn({ job: kind, reason: started.error }, 'maintenance: a job could not begin')
  }

  #dueByRecord(kind: JobKind, record: JobRecord | undefined, everyMs: number): number | undefined {
    const now = this.#options.clock.now()
    const { endedAtMs, failures } = historyOf(record)
    // Its owner was killed: it goes on where it was.
    if (record !== undefined && isHeld(record)) return now
    const report = record === undefined ? undefined : reportOf(record)
    const endMs = record?.endedAtMs
    // The clock was set back, and those who judge by it will say so.
    if ((endMs ?? 0) > now + clockMsMax || (endedAtMs ?? 0) > now + clockMsMax) return now
    if (endMs !== undefined && failures > 0 && report?.outcome === 'failed') {
      return endMs + retryAfterMs(failures, everyMs)
    }
    const isStopped = report?.outcome === 'stopped'
    if (endMs !== undefined && isStopped && report.details['stoppedBy'] === 'server') return now
    if (endedAtMs === undefined) return undefined
    const pauseMs = isStopped && endedAtMs === endMs ? Math.min(everyMs, stoppedMsMax) : everyMs
    return endedAtMs + pauseMs + this.#jitterMs(kind, record, everyMs)
  }

  #jitterMs(kind: JobKind, record: JobRecord | undefined, everyMs: number): number {
    let drawn = this.#jitter.get(kind)
    if (drawn === undefined || drawn.run !== record?.run) {
      drawn = { run: record?.run, share: this.#options.random() }
      this.#jitter.set(kind, drawn)
    }
    return drawn.share * Math.min(jitterMsMax, everyMs * jitterShare)
  }

  /** Whether it is told for the first time. */
  #refused(kind: JobKind, reason: string): boolean {
    const { clock, counts, every } = this.#options
    const before = this.#refusals.get(kind)
    const times = (before?.times ?? 0) + 1
    const waitMs = retryAfterMs(times, every()[kind] ?? retryMsMax)
    this.#refusals.set(kind, { times, untilElapsed: clock.elapsed() + waitMs })
    counts.ran(kind, 'refused')
    return before === undefined && reason !== ''
  }

  #schedule(): void {
    if (this.#isClosed) return
    const { clock, lookMs = lookMsDefault } = this.#options
    this.#cancel = clock.after(lookMs, () => {
      this.#looking = this.look().finally(() => this.#schedule())
    })
  }
}

interface Refusals {
  readonly times: number
  readonly untilElapsed: number
}

function isHeld({ owner, endedAtMs }: JobRecord): boolean {
  return owner !== undefined && endedAtMs === undefined
}

function retryAfterMs(failures: number, everyMs: number): number {
  const backOffMs = retryMsMin * 2 ** Math.min(20, failures - 1)
  return Math.min(backOffMs, retryMsMax, Math.max(everyMs, retryMsMin))
}
