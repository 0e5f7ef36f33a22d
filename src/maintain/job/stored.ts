// What the runner keeps in the record of a job beside what the job says: how the runs before went, and of
// which input a checkpoint is.

import { hash } from 'node:crypto'
import type { JobRecord } from '../../storage/metadata/job-store.ts'
import { type ClockStamp, readStamp } from './clock-guard.ts'
import type { JobProgress, JobReport } from './contract.ts'

/** `problems`: it went through, and reports what has to be looked at. `failed`: it did not. */
export type Outcome = 'ok' | 'problems' | 'failed' | 'stopped'

/** Of the runs of a kind whose input is that of the schedule. Units: ms since 1970. */
export interface History {
  /** When one last went through, or was stopped by an operator. */
  readonly endedAtMs?: number
  readonly okAtMs?: number
  /** Those that failed since. */
  readonly failures: number
  /** Whatever its input, but for dry runs, which say nothing of how the store is. */
  readonly last?: LastRun
  /** As `JobReport`. */
  readonly figures?: Readonly<Record<string, number>>
}

/** Units: ms since 1970. */
export interface LastRun {
  readonly outcome: Outcome
  readonly startedAtMs: number
  readonly endedAtMs: number
  readonly summary: readonly string[]
}

export interface StoredProgress extends Partial<JobProgress> {
  readonly history: History
}

export interface StoredReport extends JobReport {
  readonly outcome: Outcome
  readonly history: History
  readonly clock: ClockStamp
}

const noHistory: History = { failures: 0 }
// The store takes 64 KiB.
const jsonLengthMax = 60 * 1024
const summaryLinesMax = 50
const summaryLineMax = 500
const lastLinesMax = 10

/** Of the run that the record is about, or of those before it. */
export function historyOf(record: JobRecord | undefined): History {
  const { report, progress } = record ?? {}
  for (const from of [report, progress]) {
    if (!isObject(from)) continue
    const { history } = from
    if (!isObject(history)) continue
    const { endedAtMs, okAtMs, failures, figures, last } = history
    return {
      ...(typeof endedAtMs === 'number' ? { endedAtMs } : {}),
      ...(typeof okAtMs === 'number' ? { okAtMs } : {}),
      failures: typeof failures === 'number' ? failures : 0,
      // Written by this file alone.
      ...(isObject(last) ? { last: last as unknown as LastRun } : {}),
      ...(isObject(figures) ? { figures: figures as Readonly<Record<string, number>> } : {}),
    }
  }
  return noHistory
}

/** Undefined where the run has not ended, or nobody wrote a report. */
export function reportOf(record: JobRecord): StoredReport | undefined {
  const { report } = record
  if (record.endedAtMs === undefined || !isObject(report)) return undefined
  // Written by this file alone.
  return report as unknown as StoredReport
}

/** What is remembered of a run when others have followed. */
export function lastRun(run: LastRun): LastRun {
  const summary = run.summary.slice(0, lastLinesMax).map((line) => line.slice(0, summaryLineMax))
  return { ...run, summary }
}

/** The last run that was none dry; undefined before the first one has ended. */
export function lastRunOf(record: JobRecord | undefined): LastRun | undefined {
  const { last } = historyOf(record)
  if (last !== undefined || record?.endedAtMs === undefined || isDryRun(record.input)) return last
  // Of a build that did not remember it.
  const report = reportOf(record)
  if (report === undefined) return undefined
  const { outcome, summary } = report
  return lastRun({
    outcome,
    summary,
    startedAtMs: record.startedAtMs,
    endedAtMs: record.endedAtMs,
  })
}

export function isDryRun(input: unknown): boolean {
  return isObject(input) && input['dryRun'] === true
}

/** Of the moment when the run ended; undefined where nobody knows. */
export function clockOf(record: JobRecord | undefined): ClockStamp | undefined {
  return isObject(record?.report) ? readStamp(record.report['clock']) : undefined
}

/** As it can be stored: what is too long for that is left out, and the report says so. */
export function boundedReport(report: StoredReport): StoredReport {
  if (lengthOf(report) <= jsonLengthMax) return report
  const summary = report.summary
    .slice(0, summaryLinesMax)
    .map((line) => (line.length > summaryLineMax ? `${line.slice(0, summaryLineMax)}…` : line))
  const told = [...summary, 'the details are too long to be kept']
  return { ...report, summary: told, details: { tooLong: true } }
}

export function boundedProgress(progress: StoredProgress): StoredProgress {
  const { phase } = progress
  return phase === undefined ? progress : { ...progress, phase: phase.slice(0, summaryLineMax) }
}

/** A checkpoint counts for the same input alone. Errors: Error where it is too long to be kept. */
export function sealCheckpoint(input: unknown, value: unknown): object {
  const sealed = { of: inputHash(input), value }
  const length = lengthOf(sealed)
  if (length > jsonLengthMax) throw new Error(`a checkpoint of ${length} characters is too long`)
  return sealed
}

/** Undefined where there is none for this input. */
export function openCheckpoint(input: unknown, stored: unknown): unknown {
  return isObject(stored) && stored['of'] === inputHash(input) ? stored['value'] : undefined
}

/** Whether a run of the one is as good as one of the other. */
export function isSameInput(one: unknown, other: unknown): boolean {
  return inputHash(one) === inputHash(other)
}

function inputHash(input: unknown): string {
  return hash('sha256', JSON.stringify(sorted(input)) ?? 'undefined')
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (!isObject(value)) return value
  const names = Object.keys(value).sort()
  return Object.fromEntries(names.map((name) => [name, sorted(value[name])]))
}

function lengthOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value) ?? '')
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}
