// Two runs beside each other: which of Keelson's ratios to its references moved, and whether by more
// than the rounds of these runs scatter.

import type { Scenario, StoreKind, SubjectName } from '../contract.ts'
import type { MeasuredRound, ScenarioResult } from '../runner.ts'
import { median } from '../statistics.ts'
import { ABSENT, formatNumber } from './format.ts'
import type { RunRecord } from './record.ts'

export interface Change {
  readonly scenario: string
  readonly store: StoreKind
  /** Undefined where Keelson ran alone: then its own figure is compared. */
  readonly against: SubjectName | undefined
  readonly before: number
  readonly after: number
  /** After ÷ before − 1. */
  readonly change: number
  /** Changes up to this are scatter; undefined where one round cannot tell. */
  readonly noise: number | undefined
  readonly verdict: 'better' | 'worse' | 'same' | 'unknown'
}

// So many standard errors of the difference of two medians. With five rounds 2 is too few.
const CONFIDENCE = 3
// Of a median of normal values, to that of their mean; and from a median deviation to a standard one.
const MEDIAN_ERROR = 1.2533
const MAD_TO_SIGMA = 1.4826

type ValueOf = (round: MeasuredRound, index: number) => number | undefined

function series(result: ScenarioResult, against: SubjectName | undefined): readonly number[] {
  const ours = result.subjects.find(({ name }) => name === 'keelson')
  const theirs = result.subjects.find(({ name }) => name === against)
  const value: ValueOf = (round, index) => {
    if (against === undefined) return round.figure
    const other = theirs?.rounds[index]?.figure
    return other === undefined || other === 0 ? undefined : round.figure / other
  }
  return (ours?.rounds ?? []).flatMap((round, index) => {
    const found = round === undefined || round === null ? undefined : value(round, index)
    return found === undefined || !(found > 0) ? [] : [found]
  })
}

/** Squared standard error of the median of the logarithms. */
function errorOf(values: readonly number[]): number | undefined {
  if (values.length < 2) return undefined
  const logs = values.map(Math.log)
  const middle = median(logs)
  const sigma = MAD_TO_SIGMA * median(logs.map((it) => Math.abs(it - middle)))
  return (MEDIAN_ERROR * sigma) ** 2 / values.length
}

function verdictOf(
  change: number,
  noise: number | undefined,
  unit: Scenario['unit'],
): Change['verdict'] {
  if (noise === undefined) return 'unknown'
  if (Math.abs(Math.log1p(change)) <= Math.log1p(noise)) return 'same'
  // Of these less is better.
  const sinks = unit === 'ms' || unit === 'MiB'
  return change > 0 === sinks ? 'worse' : 'better'
}

function changeOf(
  before: ScenarioResult,
  after: ScenarioResult,
  against: SubjectName | undefined,
): Change[] {
  const [old, fresh] = [series(before, against), series(after, against)]
  if (old.length === 0 || fresh.length === 0) return []
  const [oldError, freshError] = [errorOf(old), errorOf(fresh)]
  const noise =
    oldError === undefined || freshError === undefined
      ? undefined
      : Math.expm1(CONFIDENCE * Math.sqrt(oldError + freshError))
  const change = median(fresh) / median(old) - 1
  const { name: scenario, store, unit } = before
  const verdict = verdictOf(change, noise, unit)
  const medians = { before: median(old), after: median(fresh) }
  return [{ scenario, store, against, ...medians, change, noise, verdict }]
}

/** What both runs measured, in the order of the first one. */
export function compareRuns(
  before: Pick<RunRecord, 'results'>,
  after: Pick<RunRecord, 'results'>,
): Change[] {
  return before.results.flatMap((old) => {
    const fresh = after.results.find(({ name, store }) => name === old.name && store === old.store)
    if (fresh === undefined) return []
    const references = old.subjects.map(({ name }) => name).filter((name) => name !== 'keelson')
    const changes = references.flatMap((name) => changeOf(old, fresh, name))
    return changes.length > 0 ? changes : changeOf(old, fresh, undefined)
  })
}

/** Those that fell by more than so many percent and not by chance. */
export function failuresOf(changes: readonly Change[], percent: number): readonly Change[] {
  return changes.filter(
    ({ verdict, change }) => verdict === 'worse' && Math.abs(change) * 100 > percent,
  )
}

function percentage(value: number | undefined, sign: '' | '+' | '±'): string {
  if (value === undefined) return ABSENT
  const text = (Math.abs(value) * 100).toFixed(1)
  if (sign === '±') return `±${text} %`
  return `${value < 0 ? '−' : sign}${text} %`
}

const HEADINGS = ['scenario', 'Keelson ÷', 'before', 'after', 'change', 'noise', 'verdict']

export function compareTable(changes: readonly Change[]): string {
  const rows = [
    HEADINGS,
    ...changes.map(({ scenario, store, against, before, after, change, noise, verdict }) => [
      store === 'memory' ? `${scenario} (tmpfs)` : scenario,
      against ?? '(alone)',
      formatNumber(before),
      formatNumber(after),
      percentage(change, '+'),
      percentage(noise, '±'),
      verdict,
    ]),
  ]
  const widths = HEADINGS.map((_, column) =>
    Math.max(...rows.map((cells) => cells[column]?.length ?? 0)),
  )
  const lines = rows.map((cells) =>
    cells
      .map((cell, column) => {
        const width = widths[column] ?? 0
        return column < 2 || column === 6 ? cell.padEnd(width) : cell.padStart(width)
      })
      .join('  ')
      .trimEnd(),
  )
  return `${lines.join('\n')}\n`
}
