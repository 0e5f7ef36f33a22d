// What the admin interface is asked about jobs: to start one, to stop one, and how they are.

import type { JobKind, JobRecord } from '../../storage/metadata/job-store.ts'
import type { JobReading } from '../../telemetry/maintenance-metrics.ts'
import { type JobRunner, shownOwner } from './runner.ts'
import { type History, historyOf, isDryRun, lastRunOf, reportOf } from './stored.ts'

export interface JobAnswer {
  readonly status: number
  readonly body: object
}

/**
 * `interrupted`: whoever ran it is gone; the next run of the same input goes on from there. `never`: nobody
 * ever ran it.
 */
export type JobState = 'running' | 'ended' | 'interrupted' | 'never'

/** As `GET /jobs` tells it. Times are ISO 8601. */
export interface JobStatus {
  readonly kind: JobKind
  readonly state: JobState
  readonly run?: string
  /** For people. */
  readonly owner?: string
  readonly startedAt?: string
  readonly updatedAt?: string
  readonly endedAt?: string
  readonly input?: unknown
  readonly progress?: unknown
  readonly outcome?: string
  readonly ok?: boolean
  readonly summary?: readonly string[]
  /** The one that is shown was a dry run. */
  readonly isDryRun?: true
  /** Then also the last one that was none. */
  readonly last?: {
    readonly outcome: string
    readonly endedAt: string
    readonly summary: readonly string[]
  }
  /** Only where the kind was asked for. */
  readonly details?: unknown
  /** When the server runs it by itself; absent where it does not. */
  readonly nextDue?: string
  /** How the last scheduled one went. */
  readonly lastOkAt?: string
  readonly failures?: number
}

export interface JobsAdminOptions {
  readonly runner: JobRunner
  /** Milliseconds since 1970; undefined where nobody runs it by himself. */
  readonly nextDueMs: (kind: JobKind, record: JobRecord | undefined) => number | undefined
  /** 0: nobody runs it by himself. */
  readonly everyMs: (kind: JobKind) => number
  readonly askToStop: (record: JobRecord) => Promise<boolean>
}

export class JobsAdmin {
  readonly #options: JobsAdminOptions

  constructor(options: JobsAdminOptions) {
    this.#options = options
  }

  /** `{ kind, input?, trustClock? }` → 202 `{ run }`. */
  async start(asked: unknown): Promise<JobAnswer> {
    const { runner } = this.#options
    const { kind, input = {}, trustClock = false, ...others } = objectOf(asked)
    const known = this.#kindOf(kind)
    if (known === undefined) return refusal(400, this.#unknownKind(kind))
    const [surplus] = Object.keys(others)
    if (surplus !== undefined) return refusal(400, `unknown field ${surplus}`)
    if (typeof trustClock !== 'boolean') return refusal(400, 'trustClock: expected true or false')
    const started = await runner.start(known, input, trustClock)
    switch (started.kind) {
      case 'started':
        return { status: 202, body: { run: started.run } }
      case 'held':
        return refusal(409, started.error)
      case 'invalid':
        return refusal(400, started.error)
      case 'refused':
        return refusal(503, started.error)
      default:
        return started satisfies never
    }
  }

  /** `{ kind }` → 202 once it was asked to. */
  async stop(asked: unknown): Promise<JobAnswer> {
    const { runner, askToStop } = this.#options
    const { kind } = objectOf(asked)
    const known = this.#kindOf(kind)
    if (known === undefined) return refusal(400, this.#unknownKind(kind))
    const { id } = runner.running(known) ?? {}
    if (id !== undefined && runner.stop(known)) return { status: 202, body: { run: id } }
    const record = await runner.readRecord(known)
    const isRunning = record?.owner !== undefined && record.endedAtMs === undefined
    if (!isRunning || runner.isAbandoned(record)) return refusal(409, `${known} is not running`)
    return (await askToStop(record))
      ? { status: 202, body: { run: record.run } }
      : refusal(409, `${known} is just ending`)
  }

  /** `?kind=`: that one, with all of its report; else all of them. */
  async status(query: URLSearchParams): Promise<JobAnswer> {
    const asked = query.get('kind')
    const known = this.#kindOf(asked)
    if (asked !== null && known === undefined) return refusal(400, this.#unknownKind(asked))
    const kinds = known === undefined ? this.#options.runner.kinds : [known]
    const jobs = await Promise.all(kinds.map((kind) => this.#statusOf(kind, known !== undefined)))
    return { status: 200, body: { jobs } }
  }

  /** For metrics. */
  readings(): Promise<readonly JobReading[]> {
    return Promise.all(this.#options.runner.kinds.map((kind) => this.#readingOf(kind)))
  }

  async #readingOf(kind: JobKind): Promise<JobReading> {
    const { everyMs, runner } = this.#options
    const record = await runner.readRecord(kind)
    const { figures = {}, okAtMs } = historyOf(record)
    const last = lastRunOf(record)
    const isWhole = last?.outcome === 'ok' || last?.outcome === 'problems'
    return {
      kind,
      isRunning: record !== undefined && this.#stateOf(record) === 'running',
      lastOkAtMs: okAtMs,
      tookMs: last === undefined ? undefined : last.endedAtMs - last.startedAtMs,
      isOk: isWhole ? last.outcome === 'ok' : undefined,
      everyMs: everyMs(kind),
      figures,
    }
  }

  async #statusOf(kind: JobKind, isWhole: boolean): Promise<JobStatus> {
    const { runner, nextDueMs } = this.#options
    const record = await runner.readRecord(kind)
    const dueMs = nextDueMs(kind, record)
    const due = dueMs === undefined ? {} : { nextDue: shownTime(dueMs) }
    if (record === undefined) return { kind, state: 'never', ...due }
    const own = runner.running(kind)
    // Newer than what the record says.
    const progress = (own?.id === record.run ? own.progress : undefined) ?? record.progress
    const { history: _history, ...shown } = objectOf(progress)
    return {
      ...{ kind, state: this.#stateOf(record), run: record.run },
      ...(record.owner === undefined ? {} : { owner: shownOwner(record.owner) }),
      startedAt: shownTime(record.startedAtMs),
      updatedAt: shownTime(record.updatedAtMs),
      ...(record.endedAtMs === undefined ? {} : { endedAt: shownTime(record.endedAtMs) }),
      ...(isWhole ? { input: record.input } : {}),
      progress: shown,
      ...reported(record, isWhole),
      ...due,
    }
  }

  #stateOf(record: JobRecord): JobState {
    if (record.endedAtMs !== undefined) return 'ended'
    if (record.owner === undefined || this.#options.runner.isAbandoned(record)) return 'interrupted'
    return 'running'
  }

  #kindOf(kind: unknown): JobKind | undefined {
    return this.#options.runner.kinds.find((known) => known === kind)
  }

  #unknownKind(kind: unknown): string {
    const known = this.#options.runner.kinds.join(', ')
    return `kind: expected one of ${known}; found ${String(kind).slice(0, 40)}`
  }
}

function reported(record: JobRecord, isWhole: boolean): Partial<JobStatus> {
  const report = reportOf(record)
  if (report === undefined) return {}
  const { ok, outcome, summary, details, history } = report
  return {
    ...{ ok, outcome, summary },
    ...(isDryRun(record.input) ? { isDryRun: true, ...shownLast(history) } : {}),
    ...(isWhole ? { details } : {}),
    ...(history.okAtMs === undefined ? {} : { lastOkAt: shownTime(history.okAtMs) }),
    ...(history.failures === 0 ? {} : { failures: history.failures }),
  }
}

function shownLast({ last }: History): Pick<JobStatus, 'last'> {
  if (last === undefined) return {}
  const { outcome, endedAtMs, summary } = last
  return { last: { outcome, endedAt: shownTime(endedAtMs), summary } }
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

function refusal(status: number, error: string): JobAnswer {
  return { status, body: { error } }
}

function shownTime(ms: number): string {
  return new Date(ms).toISOString()
}
