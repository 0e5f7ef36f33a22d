// One run of a job: it tells the record how far it is, every few seconds, and how it ended.

import { StorageError } from '../../storage/error.ts'
import type { JobKind, JobRecord } from '../../storage/metadata/job-store.ts'
import type { MaintenanceCounts } from '../../telemetry/maintenance-counts.ts'
import { roughDuration } from '../../telemetry/rough-units.ts'
import type { PreparedJob } from './any-job.ts'
import type { JobClock } from './clock.ts'
import type { ClockGuard } from './clock-guard.ts'
import type { JobContext, JobDeed, JobParts, JobProgress, JobReport } from './contract.ts'
import { Pacer } from './pace.ts'
import {
  boundedProgress,
  boundedReport,
  type History,
  isDryRun,
  lastRun,
  type Outcome,
  openCheckpoint,
  type StoredReport,
  sealCheckpoint,
} from './stored.ts'

export interface RunOptions {
  readonly parts: JobParts
  readonly prepared: PreparedJob
  readonly claimed: JobRecord
  readonly owner: string
  readonly history: History
  /** Its end counts in the history of scheduled runs. */
  readonly isFull: boolean
  /** It judges things by the clock. */
  readonly isTimed: boolean
  readonly clock: JobClock
  readonly guard: ClockGuard
  readonly load: () => number
  readonly hasRoom: () => boolean
  readonly onDeed: (kind: JobKind, run: string, deed: JobDeed) => void
  readonly counts: MaintenanceCounts
  readonly isReported?: boolean
}

export interface RunEnd {
  readonly outcome: Outcome
  readonly report: JobReport
}

/** Why a run is to end before it is done. */
export class Stopped extends Error {
  override readonly name = 'AbortError'
  readonly by: 'operator' | 'server'

  constructor(by: 'operator' | 'server') {
    super(by === 'operator' ? 'an operator stopped it' : 'the server stops')
    this.by = by
  }
}

/** Another process has taken the job over: whatever is done from here on is done twice. */
class Fenced extends Error {
  override readonly name = 'AbortError'

  constructor(message = 'another process has taken the job over') {
    super(message)
  }
}

const heartbeatMs = 2_000
const saveTries = 4
const saveRetryMs = 500

export class Run {
  readonly kind: JobKind
  readonly id: string
  readonly startedAtMs: number
  /** Never rejects. */
  readonly done: Promise<RunEnd>
  readonly #options: RunOptions
  readonly #abort = new AbortController()
  #progress: JobProgress | undefined
  #isOver = false
  #isSilent = false

  constructor(options: RunOptions) {
    const { kind, run, startedAtMs } = options.claimed
    this.kind = kind
    this.id = run
    this.startedAtMs = startedAtMs
    this.#options = options
    this.done = this.#work()
  }

  /** Undefined before the job has told any. */
  get progress(): JobProgress | undefined {
    return this.#progress
  }

  /** `done` tells when it has. Idempotent. */
  stop(by: 'operator' | 'server'): void {
    this.#abort.abort(new Stopped(by))
  }

  async #work(): Promise<RunEnd> {
    const { parts, claimed } = this.#options
    parts.log.info({ job: this.kind, run: this.id }, 'maintenance: a job begins')
    const cancel = this.#beat()
    const end = await this.#attempt()
    this.#isOver = true
    cancel()
    const kept: RunEnd = (await this.#saveEnd(end)) ? end : { ...end, outcome: 'failed' }
    this.#tell(kept, parts.now() - claimed.startedAtMs)
    return kept
  }

  async #attempt(): Promise<RunEnd> {
    const { signal } = this.#abort
    const resumes = this.#resumed() !== undefined
    try {
      const report = await this.#options.prepared.run(this.#context())
      if (signal.aborted && report.isFinal !== true) return this.#cut(report)
      return { outcome: report.ok ? 'ok' : 'problems', report }
    } catch (error) {
      if (signal.aborted && isAbort(error)) return this.#cut(undefined)
      const message = error instanceof Error ? error.message : String(error)
      const summary = [`${this.kind} failed: ${message}`]
      const details = { error: message, resumed: resumes }
      const told = { job: this.kind, run: this.id, err: error }
      const { isReported = false, parts } = this.#options
      if (!isReported) parts.log.error(told, 'maintenance: a job failed')
      // What a store that is away has cut short can go on; what else fails might fail there again.
      const isAway = error instanceof StorageError && error.kind === 'unavailable'
      return { outcome: 'failed', report: { ok: false, summary, details: { ...details, isAway } } }
    }
  }

  #cut(report: JobReport | undefined): RunEnd {
    const { reason } = this.#abort.signal
    const why = reason instanceof Error ? reason.message : 'stopped'
    if (reason instanceof Fenced) {
      return { outcome: 'failed', report: { ok: false, summary: [why], details: { error: why } } }
    }
    const { done, total } = this.#progress ?? {}
    const far = done === undefined ? '' : ` at ${done}${total === undefined ? '' : ` of ${total}`}`
    const summary = [`${this.kind} was stopped${far}: ${why}; the next run goes on from there`]
    const by = reason instanceof Stopped ? reason.by : 'server'
    const details = { ...report?.details, stoppedBy: by }
    return {
      outcome: 'stopped',
      report: { ok: false, summary: [...summary, ...(report?.summary ?? [])], details },
    }
  }

  #context(): JobContext {
    const { clock, counts, guard, hasRoom, isTimed, load, onDeed, parts, prepared } = this.#options
    const { signal } = this.#abort
    const check = (): void => {
      signal.throwIfAborted()
      this.#requireLease()
      const problem = isTimed ? guard.problem() : undefined
      if (problem !== undefined) throw new Error(problem)
    }
    const pacer = new Pacer({ clock, rates: prepared.rates, load, hasRoom, check, signal })
    return {
      ...parts,
      run: this.id,
      signal,
      progress: (progress) => {
        this.#progress = progress
      },
      pace: async (work) => {
        await pacer.wait(work)
        counts.did(this.kind, 'processed', work.items, work.bytes)
      },
      requireHeld: () => this.#requireLease(),
      resumed: this.#resumed(),
      checkpoint: async (value) => {
        await this.#save({ checkpoint: sealCheckpoint(prepared.input, value) })
      },
      record: (deed) => {
        counts.did(this.kind, deed.deed, 1, deed.bytes ?? 0)
        onDeed(this.kind, this.id, deed)
      },
    }
  }

  #resumed(): unknown {
    const { claimed, prepared } = this.#options
    return openCheckpoint(prepared.input, claimed.checkpoint)
  }

  #beat(): () => void {
    const { clock } = this.#options
    let cancel = (): void => {}
    const next = (): void => {
      if (this.#isOver) return
      cancel = clock.after(heartbeatMs, () => void this.#heartbeat().finally(next))
    }
    void this.#heartbeat().finally(next)
    return () => cancel()
  }

  async #heartbeat(): Promise<void> {
    if (this.#isOver) return
    const { history, parts } = this.#options
    try {
      this.#requireLease()
      await this.#save({ progress: boundedProgress({ ...this.#progress, history }) })
      this.#isSilent = false
      await this.#lookForStop()
    } catch (error) {
      // It goes on: who takes over fences it, and a store that is away stops it by itself.
      if (!this.#isSilent && !this.#abort.signal.aborted) {
        const told = { job: this.kind, run: this.id, err: error }
        parts.log.warn(told, 'maintenance: the record of the job cannot be written')
      }
      this.#isSilent = true
    }
  }

  // Between two of its renewals another process may have taken over what this one goes on with.
  #requireLease(): void {
    const { owner, parts } = this.#options
    const problem = parts.liveness.problem(owner)
    if (problem === undefined) return
    const fenced = new Fenced(problem)
    if (!this.#abort.signal.aborted) this.#abort.abort(fenced)
    throw fenced
  }

  // Another process was asked.
  async #lookForStop(): Promise<void> {
    const { metadata, shared } = this.#options.parts
    if (shared) metadata.refresh()
    const record = await metadata.readJob(this.kind)
    if (record?.run === this.id && record.isAskedToStop === true) this.stop('operator')
  }

  async #saveEnd({ outcome, report }: RunEnd): Promise<boolean> {
    const { claimed, clock, guard, isFull, parts, prepared } = this.#options
    if (this.#abort.signal.reason instanceof Fenced) return false
    const endedAtMs = parts.now()
    const { startedAtMs } = claimed
    const { figures, summary } = report
    const before = this.#options.history
    const history: History = isDryRun(prepared.input)
      ? before
      : {
          ...before,
          last: lastRun({ outcome, startedAtMs, endedAtMs, summary }),
          ...(figures === undefined ? {} : { figures }),
        }
    const stored = boundedReport({
      ...report,
      outcome,
      clock: guard.stamp(),
      history: isFull ? nextHistory(history, { outcome, report }, endedAtMs) : history,
    })
    const isStopped = outcome === 'stopped' || report.details['isAway'] === true
    for (let tries = 1; ; tries += 1) {
      try {
        await this.#save({ end: { report: stored, isStopped } })
        return true
      } catch (error) {
        const isOver = tries === saveTries || this.#abort.signal.reason instanceof Fenced
        if (isOver) {
          const told = { job: this.kind, run: this.id, err: error }
          parts.log.error(told, 'maintenance: the end of a job could not be recorded')
          return false
        }
        await new Promise<void>((resolve) => clock.after(saveRetryMs, resolve))
      }
    }
  }

  async #save(change: {
    readonly progress?: object
    readonly checkpoint?: object
    readonly end?: { readonly report: StoredReport; readonly isStopped: boolean }
  }): Promise<void> {
    const { claimed, owner, parts } = this.#options
    const held = { owner, fence: claimed.fence }
    try {
      await parts.metadata.saveJob(this.kind, held, { ...change, nowMs: parts.now() })
    } catch (error) {
      if (!(error instanceof StorageError && error.kind === 'conflict')) throw error
      const fenced = new Fenced()
      // Nothing but this counts any more, a stop neither.
      if (!this.#abort.signal.aborted) this.#abort.abort(fenced)
      throw fenced
    }
  }

  #tell({ outcome, report }: RunEnd, tookMs: number): void {
    const { counts, isReported = false, parts } = this.#options
    counts.ran(this.kind, outcome)
    if (isReported) return
    const told = { job: this.kind, run: this.id, outcome, summary: report.summary.slice(0, 20) }
    const message = `maintenance: a job ended after ${roughDuration(tookMs)}`
    if (outcome === 'ok' || outcome === 'stopped') parts.log.info(told, message)
    else parts.log.warn(told, message)
  }
}

function nextHistory(before: History, { outcome, report }: RunEnd, endedAtMs: number): History {
  switch (outcome) {
    case 'ok':
      return { ...before, endedAtMs, okAtMs: endedAtMs, failures: 0 }
    case 'problems':
      return { ...before, endedAtMs, failures: 0 }
    case 'failed':
      return { ...before, failures: before.failures + 1 }
    case 'stopped':
      // What the end of a server has cut goes on with the next one.
      return report.details['stoppedBy'] === 'operator' ? { ...before, endedAtMs } : before
    default:
      return outcome satisfies never
  }
}

function isAbort(error: unknown): boolean {
  return (
    error instanceof Error &&
    (error.name === 'AbortError' || ('cause' in error && isAbort(error.cause)))
  )
}
