// From rounds to figures: medians, spreads, costs, and ratios to each reference round by round.

import type { Expectation, Percentiles, Scenario, SubjectName } from '../contract.ts'
import type { MeasuredRound, ScenarioResult, SubjectResult } from '../runner.ts'
import { median } from '../statistics.ts'

export interface SubjectSummary {
  readonly name: SubjectName
  readonly problem: string | undefined
  readonly rounds: number
  readonly median: number
  readonly min: number
  readonly max: number
  /** Medians of the rounds' percentiles. */
  readonly latencyMs: Percentiles | undefined
  /** Server CPU-seconds per 1,000 requests; for a push, per 1,000 pushes. */
  readonly cpuPerThousand: number | undefined
  /** Server CPU-seconds per GB (1e9 bytes) moved. */
  readonly cpuPerGigabyte: number | undefined
  readonly peakRssBytes: number | undefined
  /** Median over rounds of Keelson's figure ÷ this one's figure; undefined for Keelson. */
  readonly ratio: number | undefined
  /** The same for the work done per CPU-second of the server. */
  readonly ratioPerCpu: number | undefined
}

export interface Verdict {
  readonly wanted: string
  /** Where a reference is what is compared with. */
  readonly goal?: Readonly<{ against: SubjectName; atLeast: number; perCpu: boolean }>
  readonly measured: number | undefined
  readonly met: boolean
}

export interface ScenarioSummary {
  readonly name: string
  readonly asks: string
  readonly unit: Scenario['unit']
  readonly store: ScenarioResult['store']
  readonly skipped: string | undefined
  /** The load generators that its rounds used. */
  readonly drivers: readonly string[]
  readonly subjects: readonly SubjectSummary[]
  readonly verdicts: readonly Verdict[]
}

type Measure = (round: MeasuredRound) => number | undefined

function medianOf(subject: SubjectResult, measure: Measure): number | undefined {
  const values = subject.rounds.flatMap((round) => {
    const value = round === undefined ? undefined : measure(round)
    return value === undefined ? [] : [value]
  })
  return values.length === 0 ? undefined : median(values)
}

function perCpu(unit: Scenario['unit']): Measure {
  return ({ cpuSeconds, bytes, requests }) =>
    cpuSeconds ? (unit === 'MB/s' ? bytes : requests) / cpuSeconds : undefined
}

/** Only rounds that both have are compared, so that a ratio never mixes two moments. */
function ratioOf(ours: SubjectResult, theirs: SubjectResult, measure: Measure): number | undefined {
  const ratios = ours.rounds.flatMap((round, index) => {
    const other = theirs.rounds[index]
    if (round === undefined || other === undefined) return []
    const [mine, its] = [measure(round), measure(other)]
    return mine === undefined || its === undefined || its === 0 ? [] : [mine / its]
  })
  return ratios.length === 0 ? undefined : median(ratios)
}

function latencyOf(subject: SubjectResult): Percentiles | undefined {
  const at = (key: keyof Percentiles): number | undefined =>
    medianOf(subject, ({ latencyMs }) => latencyMs?.[key])
  const [p50, p90, p99, p999] = [at('p50'), at('p90'), at('p99'), at('p999')]
  if (p50 === undefined || p90 === undefined || p99 === undefined || p999 === undefined) {
    return undefined
  }
  return { p50, p90, p99, p999 }
}

function summarizeSubject(
  subject: SubjectResult,
  ours: SubjectResult | undefined,
  unit: Scenario['unit'],
): SubjectSummary {
  const figures = subject.rounds.flatMap((round) => (round === undefined ? [] : [round.figure]))
  const compared = ours === undefined || ours === subject ? undefined : ours
  const ratio = (measure: Measure): number | undefined =>
    compared === undefined ? undefined : ratioOf(compared, subject, measure)
  return {
    name: subject.name,
    problem: subject.problem,
    rounds: figures.length,
    median: median(figures),
    min: Math.min(...figures),
    max: Math.max(...figures),
    latencyMs: latencyOf(subject),
    cpuPerThousand: medianOf(subject, ({ cpuSeconds, requests }) =>
      cpuSeconds === undefined ? undefined : (cpuSeconds / requests) * 1000,
    ),
    cpuPerGigabyte: medianOf(subject, ({ cpuSeconds, bytes }) =>
      cpuSeconds === undefined ? undefined : (cpuSeconds / bytes) * 1e9,
    ),
    peakRssBytes: subject.peakRssBytes,
    ratio: ratio(({ figure }) => figure),
    ratioPerCpu: ratio(perCpu(unit)),
  }
}

function ceilingOf(
  { atMost, orTimes }: Extract<Expectation, { readonly atMost: number }>,
  { subjects }: ScenarioResult,
): number {
  const ours = subjects.find(({ name }) => name === 'keelson')
  if (orTimes === undefined || ours === undefined) return atMost
  const basis = medianOf(ours, ({ beside }) => beside?.[orTimes.beside])
  return Math.max(atMost, orTimes.factor * (basis ?? 0))
}

function judge(
  expectation: Expectation,
  subjects: readonly SubjectSummary[],
  result: ScenarioResult,
): Verdict[] {
  if ('atMost' in expectation) {
    const ours = subjects.find(({ name }) => name === 'keelson')
    const measured = ours !== undefined && ours.rounds > 0 ? ours.median : undefined
    const most = ceilingOf(expectation, result)
    const wanted = `≤ ${Math.round(most * 100) / 100} ${result.unit}`
    return [{ wanted, measured, met: measured !== undefined && measured <= most }]
  }
  if ('figureAtLeast' in expectation) {
    const ours = subjects.find(({ name }) => name === 'keelson')
    const measured = ours !== undefined && ours.rounds > 0 ? ours.median : undefined
    const { figureAtLeast } = expectation
    const met = measured !== undefined && measured >= figureAtLeast
    return [{ wanted: `≥ ${figureAtLeast} ${result.unit}`, measured, met }]
  }
  if (expectation.store !== undefined && expectation.store !== result.store) return []
  const { against, atLeast, perCpu: isPerCpu = false } = expectation
  const reference = subjects.find(({ name }) => name === against)
  const measured = isPerCpu ? reference?.ratioPerCpu : reference?.ratio
  const wanted = `≥ ${atLeast} × ${against}${isPerCpu ? ' per CPU-s' : ''}`
  const goal = { against, atLeast, perCpu: isPerCpu }
  return [{ wanted, goal, measured, met: measured !== undefined && measured >= atLeast }]
}

export function summarize(
  result: ScenarioResult,
  expected: readonly Expectation[],
): ScenarioSummary {
  const ours = result.subjects.find(({ name }) => name === 'keelson')
  const subjects = result.subjects.map((it) => summarizeSubject(it, ours, result.unit))
  const { name, asks, unit, store, skipped } = result
  const verdicts = expected.flatMap((it) => judge(it, subjects, result))
  const rounds = result.subjects.flatMap((it) => it.rounds)
  const drivers = [...new Set(rounds.flatMap((round) => round?.driver ?? []))]
  return { name, asks, unit, store, skipped, drivers, subjects, verdicts }
}
