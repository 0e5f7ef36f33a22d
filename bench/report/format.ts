// Numbers as the reports print them.

import type { ScenarioSummary, SubjectSummary } from './summary.ts'

export const ABSENT = '–'

/** Three significant digits below 1,000, whole numbers with separators above. */
export function formatNumber(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return ABSENT
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US')
  if (value === 0) return '0'
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))
  return value.toFixed(Math.min(4, digits))
}

/** What a unit of work costs the server: per GB where bytes are the figure, else per 1,000. */
export function formatCost(unit: ScenarioSummary['unit'], subject: SubjectSummary): string {
  const perGigabyte = unit === 'MB/s' || unit === 'MiB'
  const cost = perGigabyte ? subject.cpuPerGigabyte : subject.cpuPerThousand
  if (cost === undefined) return ABSENT
  return `${formatNumber(cost)} s/${perGigabyte ? 'GB' : '1k'}`
}

export function formatMebibytes(bytes: number | undefined): string {
  return bytes === undefined ? ABSENT : formatNumber(bytes / 1024 ** 2)
}

export function formatRatio(value: number | undefined): string {
  return value === undefined ? ABSENT : `${formatNumber(value)} ×`
}

export function storeLabel({ store }: ScenarioSummary): string {
  return store === 'memory' ? 'tmpfs' : 'disk'
}
