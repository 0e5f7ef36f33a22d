// The table on standard output: one line per subject of each scenario.

import { formatCost, formatMebibytes, formatNumber, formatRatio, storeLabel } from './format.ts'
import type { ScenarioSummary, SubjectSummary, Verdict } from './summary.ts'

const HEADINGS = [
  ...['subject', 'median', 'min', 'max', 'p50 ms', 'p99 ms', 'CPU', 'RSS MiB'],
  ...['Keelson ÷', '… per CPU-s'],
]

function row(unit: ScenarioSummary['unit'], subject: SubjectSummary): string[] {
  return [
    subject.name,
    `${formatNumber(subject.median)} ${unit}`,
    formatNumber(subject.min),
    formatNumber(subject.max),
    formatNumber(subject.latencyMs?.p50),
    formatNumber(subject.latencyMs?.p99),
    formatCost(unit, subject),
    formatMebibytes(subject.peakRssBytes),
    formatRatio(subject.ratio),
    formatRatio(subject.ratioPerCpu),
  ]
}

function align(rows: readonly (readonly string[])[]): string[] {
  const widths = HEADINGS.map((_, column) =>
    Math.max(...rows.map((cells) => cells[column]?.length ?? 0)),
  )
  return rows.map((cells) =>
    cells
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  '),
  )
}

export function formatVerdict({ wanted, measured, met }: Verdict): string {
  if (measured === undefined) return `not measured: wanted ${wanted}`
  return `${met ? 'met' : 'NOT MET'}: wanted ${wanted}, measured ${formatNumber(measured)}`
}

export function scenarioTable(summary: ScenarioSummary): string {
  const load = summary.drivers.join(', ')
  const title = `${summary.asks} [${storeLabel(summary)}; load: ${load}]`
  if (summary.skipped !== undefined) return `${title}\n  skipped: ${summary.skipped}\n`
  const measured = summary.subjects.filter(({ rounds }) => rounds > 0)
  const lines = align([HEADINGS, ...measured.map((subject) => row(summary.unit, subject))])
  const problems = summary.subjects
    .filter(({ problem }) => problem !== undefined)
    .map(({ name, problem }) => `${name}: ${problem}`)
  const verdicts = summary.verdicts.map(formatVerdict)
  return [title, ...[...lines, ...problems, ...verdicts].map((it) => `  ${it}`), ''].join('\n')
}
