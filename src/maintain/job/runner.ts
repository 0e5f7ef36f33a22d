// Starts jobs, one run of each kind at a time whatever the number of processes, and knows of those that run.

import type { JobKind, JobRecord } from '../../storage/metadata/job-store.ts'
import type { MaintenanceCounts } from '../../telemetry/maintenance-counts.ts'
import { roughDuration } from '../../telemetry/rough-units.ts'
import type { AnyJob, PreparedJob } from './any-job.ts'
import type { JobClock } from './clock.ts'
import type { ClockGuard } from './clock-guard.ts'
import type { JobDeed, JobParts } from './contract.ts'
import { Run, type RunEnd } from './run.ts'
import { clockOf, historyOf, isSameInput } from './stored.ts'

export interface RunnerOptions {
  readonly parts: JobParts
  readonly jobs: readonly AnyJob[]
  /** This process, in the records of jobs. */
  readonly clock: JobClock
  readonly guard: ClockGuard
  /** How much stands in the way of requests, from 0 to 1. */
  readonly load: () => number
  /** Whether the audit log takes what is done. */
  readonly hasRoom: () => boolean
  readonly onDeed: (kind: JobKind, run: string, deed: JobDeed) => void
  readonly onRun: (event: RunEvent) => void
  readonly counts: MaintenanceCounts
  /** Who starts a run prints its report, so that the log need not say the same. */
  readonly isReported?: boolean
}

/** A run has begun, or ended. */
export interface RunEvent {
  readonly kind: JobKind
  readonly run: string
  /** Undefined at its begin. */
  readonly end?: RunEnd
}

export type Started =
  | { readonly kind: 'started'; readonly run: string; readonly done: Promise<RunEnd> }
  /** Somebody runs it. */
  | { readonly kind: 'held'; readonly error: string }
  /** There is no such job, or the input is wrong. */
  | { readonly kind: 'invalid'; readonly error: string }
  /** It must not run now. */
  | { readonly kind: 'refused'; readonly error: string }

/** What they take away depends on how old it is. */
const timedKinds: ReadonlySet<JobKind> = new Set<JobKind>(['gc', 'prune'])
const changingKinds: ReadonlySet<JobKind> = new Set<JobKind>([
  ...(['gc', 'import', 'prune', 'rewrap', 'scrub'] as const),
])
// An owner whose life cannot be seen writes the record every two seconds.
const silentMsMax = 120_000
// Past that the stores are closed under the job: its record tells that it was cut.
const closeMsMax = 5_000
// More than one end during a read is luck; so many is none.
const readsMax = 4

export class JobRunner {
  readonly #options: RunnerOptions
  readonly #jobs: ReadonlyMap<JobKind, AnyJob>
  readonly #runs = new Map<JobKind, Run>()
  readonly #starting = new Set<JobKind>()
  #ends = 0
  #isClosed = false

  constructor(options: RunnerOptions) {
    this.#options = options
    this.#jobs = new Map(options.jobs.map((job) => [job.kind, job]))
    for (const { kind } of options.jobs) options.counts.know(kind)
  }

  get kinds(): readonly JobKind[] {
    return [...this.#jobs.keys()]
  }

  /** That of this process; undefined where it runs none. */
  running(kind: JobKind): Run | undefined {
    return this.#runs.get(kind)
  }

  isBusy(): boolean {
    return this.#runs.size > 0
  }

  /** `trustsClock`: an operator says that the clock is right. Errors: StorageError. */
  async start(kind: JobKind, input: unknown, trustsClock = false): Promise<Started> {
    const prepared = this.#jobs.get(kind)?.prepare(input)
    if (prepared === undefined) return { kind: 'invalid', error: `there is no job ${kind}` }
    if ('error' in prepared) return { kind: 'invalid', error: prepared.error }
    if (this.#isClosed) return { kind: 'refused', error: 'the server is stopping' }
    if (this.#starting.has(kind)) return { kind: 'held', error: `${kind} is starting` }
    this.#starting.add(kind)
    try {
      return await this.#claim(kind, prepared, trustsClock)
    } finally {
      this.#starting.delete(kind)
    }
  }

  /** Whether this process runs it. */
  stop(kind: JobKind): boolean {
    const run = this.#runs.get(kind)
    run?.stop('operator')
    return run !== undefined
  }

  /** No run begins any more, and those that run are asked to end. */
  stopAll(): void {
    this.#isClosed = true
    for (const run of this.#runs.values()) run.stop('server')
  }

  /** Waits for what runs, for at most five seconds. */
  async close(): Promise<void> {
    this.stopAll()
    const runs = [...this.#runs.values()].map(({ done }) => done)
    if (runs.length === 0) return
    let cancel = (): void => {}
    const late = new Promise<void>((resolve) => {
      cancel = this.#options.clock.after(closeMsMax, resolve)
    })
    await Promise.race([Promise.all(runs), late]).finally(() => cancel())
  }

  /**
   * What the store has of the latest run of `kind`. Read again where a run of this process has ended meanwhile: what was read
   * before that end would look abandoned. Errors: StorageError.
   */
  async readRecord(kind: JobKind): Promise<JobRecord | undefined> {
    const { metadata, shared } = this.#options.parts
    for (let reads = 1; ; reads++) {
      const ends = this.#ends
      if (shared) metadata.refresh()
      const record = await metadata.readJob(kind)
      if (ends === this.#ends || reads === readsMax) return record
    }
  }

  /** Whether its owner is gone, so that anybody may take it over. `record`: of `readRecord`, of this turn of the event loop. */
  isAbandoned(record: JobRecord): boolean {
    // One that is being claimed is in the store before it is here.
    return !this.#starting.has(record.kind) && this.#isLost(record)
  }

  #isLost(record: JobRecord): boolean {
    const { parts } = this.#options
    const { liveness } = parts
    if (record.owner === undefined || record.endedAtMs !== undefined) return false
    if (record.owner === liveness.owner()) return this.#runs.get(record.kind)?.id !== record.run
    if (!liveness.isAlive(record.owner)) return true
    return !liveness.canTell(record.owner) && parts.now() - record.updatedAtMs > silentMsMax
  }

  async #claim(kind: JobKind, prepared: PreparedJob, trustsClock: boolean): Promise<Started> {
    const { guard, parts } = this.#options
    const { liveness, metadata, now, randomUuid, shared } = parts
    if (this.#runs.has(kind)) return this.#held(kind)
    // They move files before they record it.
    if (changingKinds.has(kind) && metadata.isFrozen?.() === true) {
      return { kind: 'refused', error: 'the store is read-only while, and after, it is migrated' }
    }
    if (shared) metadata.refresh()
    const before = await metadata.readJob(kind)
    const isTimed = timedKinds.has(kind) && !prepared.isUntimed
    if (trustsClock) guard.trust()
    const problem = isTimed && !trustsClock ? this.#clockProblem(before) : undefined
    if (problem !== undefined) return { kind: 'refused', error: problem }
    const owner = liveness.owner()
    const fenced = liveness.problem(owner)
    if (fenced !== undefined) return { kind: 'refused', error: fenced }
    const { input } = prepared
    const claimed = await metadata.claimJob(
      { kind, run: randomUuid(), owner, input, nowMs: now() },
      (record) => this.#isLost(record),
    )
    if (claimed === undefined) return this.#held(kind)
    if (this.#isClosed) {
      // The next claim passes over a process that has ended.
      return { kind: 'refused', error: 'the server is stopping' }
    }
    return this.#begin(prepared, { before, claimed, owner, isTimed })
  }

  #begin(
    prepared: PreparedJob,
    start: {
      readonly before: JobRecord | undefined
      readonly claimed: JobRecord
      readonly owner: string
      readonly isTimed: boolean
    },
  ): Started {
    const { claimed, before, owner, isTimed } = start
    const { kind, run: id } = claimed
    const run = new Run({
      ...this.#options,
      ...{ prepared, claimed, owner, isTimed, history: historyOf(before) },
      isFull: this.#isFull(kind, prepared.input),
    })
    this.#runs.set(kind, run)
    this.#options.onRun({ kind, run: id })
    const done = run.done.then((end) => {
      this.#runs.delete(kind)
      this.#ends += 1
      this.#options.onRun({ kind, run: id, end })
      return end
    })
    return { kind: 'started', run: id, done }
  }

  // As the schedule would run it; a dry run, or one of a part, takes the place of none.
  #isFull(kind: JobKind, input: unknown): boolean {
    const scheduled = this.#jobs.get(kind)?.prepare({})
    return scheduled !== undefined && 'input' in scheduled && isSameInput(scheduled.input, input)
  }

  #clockProblem(before: JobRecord | undefined): string | undefined {
    const endedAtMs = before === undefined ? 0 : (before.endedAtMs ?? before.updatedAtMs)
    return this.#options.guard.problemSince({ endedAtMs, stamp: clockOf(before) })
  }

  async #held(kind: JobKind): Promise<Started> {
    const { parts } = this.#options
    if (parts.shared) parts.metadata.refresh()
    const record = await parts.metadata.readJob(kind)
    // It has ended a moment ago.
    if (record?.owner === undefined)
      return { kind: 'held', error: `${kind} is just ending: try again` }
    const since = new Date(record.startedAtMs).toISOString()
    const heard = roughDuration(parts.now() - record.updatedAtMs)
    return {
      kind: 'held',
      error: `${kind} is running since ${since} in ${shownOwner(record.owner)}, which was heard ${heard} ago`,
    }
  }
}

/** For people. */
export function shownOwner(owner: string): string {
  const [pid = '', , , , , host = ''] = owner.split('/')
  const where = /^[A-Za-z0-9.-]+$/.test(host) ? ` on ${host}` : ''
  return /^\d+$/.test(pid) ? `process ${pid}${where}` : `process ${owner}`
}
