// What the doctor prints, for people and for programs.
import { type Finding, type Severity, severities } from './contract.ts'
import { counted } from './wording.ts'

/** The worst of them; `ok` where there is none. */
export function worstOf(findings: readonly Finding[]): Severity {
  const worst = Math.max(0, ...findings.map(({ severity }) => severities.indexOf(severity)))
  return severities[worst] ?? 'ok'
}

/** 2 for an error, 1 for a warning, else 0. */
export function exitCodeOf(findings: readonly Finding[]): 0 | 1 | 2 {
  const worst = worstOf(findings)
  return worst === 'error' ? 2 : worst === 'warning' ? 1 : 0
}

/** One object; docs/doctor.md says what is in it. */
export function jsonReport(findings: readonly Finding[]): string {
  const worst = worstOf(findings)
  const report = { version: 1, ok: worst !== 'error', worst, counts: countsOf(findings), findings }
  return `${JSON.stringify(report, undefined, 2)}\n`
}

export function textReport(findings: readonly Finding[]): string {
  const counts = countsOf(findings)
  const summary = [
    counted(counts.error, 'error'),
    counted(counts.warning, 'warning'),
    `${counts.advice} to improve`,
    `${counts.unknown} not known`,
    `${counts.ok} in order`,
  ]
  return `${findings.map(printed).join('')}\n${summary.join(', ')}\n`
}

function countsOf(findings: readonly Finding[]): Readonly<Record<Severity, number>> {
  const counts = { ok: 0, unknown: 0, advice: 0, warning: 0, error: 0 }
  for (const { severity } of findings) counts[severity] += 1
  return counts
}

const indent = ' '.repeat(9)

function printed({ severity, title, detail, why, remedy, command, link }: Finding): string {
  const lines = [`${severity.padEnd(7)}  ${title}: ${detail}`]
  if (severity !== 'ok' && severity !== 'unknown') {
    if (why !== '') lines.push(`${indent}${why}`)
    if (remedy !== '') lines.push(`${indent}→ ${remedy}`)
    if (command !== '') lines.push(`${indent}$ ${command}`)
    if (link !== '') lines.push(`${indent}see ${link}`)
  }
  return `${lines.join('\n')}\n`
}
