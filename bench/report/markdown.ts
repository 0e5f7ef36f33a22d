// The table for the README: one line per scenario, Keelson beside each reference.

import type { SubjectName } from '../contract.ts'
import {
  ABSENT,
  formatCost,
  formatMebibytes,
  formatNumber,
  formatRatio,
  storeLabel,
} from './format.ts'
import type { RunRecord } from './record.ts'
import type { ScenarioSummary, SubjectSummary, Verdict } from './summary.ts'

const REFERENCES = [
  ['nginx-static', 'nginx static'],
  ['bare-uws', 'bare uWS'],
  ['docker-registry', 'docker-registry'],
  ['distribution', 'Distribution 3'],
  ['zot', 'zot'],
  ['angos', 'angos'],
  ['openssl-sha256', 'openssl sha256'],
] as const

type Column = (typeof REFERENCES)[number]

/** Those of which this run has figures. */
function columnsOf({ summaries }: RunRecord): readonly Column[] {
  return REFERENCES.filter(([name]) => summaries.some((it) => find(it, name) !== undefined))
}

function find(summary: ScenarioSummary, name: SubjectName): SubjectSummary | undefined {
  return summary.subjects.find((it) => it.name === name && it.rounds > 0)
}

// A ratio per CPU-second stands in no other column.
function verdictCell({ wanted, measured, met }: Verdict): string {
  if (measured === undefined) return `${wanted}: not measured`
  const got = wanted.endsWith('per CPU-s') ? ` (${formatRatio(measured)})` : ''
  return `${wanted}: ${met ? 'met' : '**missed**'}${got}`
}

function cell(summary: ScenarioSummary, name: SubjectName): string {
  const subject = find(summary, name)
  if (subject === undefined) return ABSENT
  return `${formatNumber(subject.median)} (${formatRatio(subject.ratio)})`
}

function line(summary: ScenarioSummary, columns: readonly Column[]): string {
  const ours = find(summary, 'keelson')
  const cells = [
    `${summary.asks}${summary.store === 'memory' ? `, ${storeLabel(summary)}` : ''}`,
    ours === undefined ? ABSENT : `**${formatNumber(ours.median)}** ${summary.unit}`,
    formatNumber(ours?.latencyMs?.p99),
    ours === undefined ? ABSENT : formatCost(summary.unit, ours),
    formatMebibytes(ours?.peakRssBytes),
    ...columns.map(([name]) => cell(summary, name)),
    summary.verdicts.map(verdictCell).join('; '),
  ]
  return `| ${cells.join(' | ')} |`
}

function flagsNote({ results }: RunRecord): string {
  const ours = results.flatMap(({ subjects }) => subjects.filter(({ name }) => name === 'keelson'))
  const flags = ours.flatMap((it) => it.flags ?? []).at(0)
  const words = [...(flags?.execArgv ?? []), flags?.nodeOptions ?? ''].filter((it) => it !== '')
  return words.length === 0 ? '' : `Node flags ${words.join(' ')}; `
}

/** Markdown of a whole run. In brackets: Keelson ÷ the reference, median of the rounds' ratios. */
export function markdownTable(run: RunRecord): string {
  const { machine, options, revision, placement, date } = run
  const columns = columnsOf(run)
  const programs = Object.entries(machine.programs).map(([name, version]) => `${name} ${version}`)
  const heading = [
    ...['Scenario', 'Keelson', 'p99 ms', 'server CPU', 'peak RSS MiB'],
    ...columns.map(([, label]) => label),
    'wanted',
  ]
  return [
    `| ${heading.join(' | ')} |`,
    `|${heading.map(() => '---').join('|')}|`,
    ...run.summaries.filter(({ skipped }) => skipped === undefined).map((it) => line(it, columns)),
    '',
    `Commit ${revision.commit}, ${date.slice(0, 10)}; ${machine.cpu}, ${machine.cores} cores, Linux ` +
      `${machine.kernel}, Node ${machine.node}; ${programs.join(', ')}.`,
    `${flagsNote(run)}${placement.note}; disk is ${machine.diskFilesystem}; load average ` +
      `before the run ${formatNumber(machine.loadAverage)}; ${options.rounds} interleaved rounds of ` +
      `${options.seconds} s, medians; in brackets the median of the rounds' ratios Keelson ÷ it.`,
    '',
  ].join('\n')
}
