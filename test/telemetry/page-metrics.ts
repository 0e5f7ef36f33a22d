// Answers for the metrics of a real server as pages, rules and dashboards name them.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '../support/server.ts'

/** A row of docs/metrics.md. */
export interface MetricRow {
  readonly name: string
  readonly type: string
  readonly labels: readonly string[]
  readonly processes: string
  readonly meaning: string
}

/** As the admin socket tells it to a supervisor. */
export interface ToldMetric {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly aggregator: string
  readonly values: ReadonlyArray<{ readonly labels: Readonly<Record<string, unknown>> }>
}

export function readText(path: string): string {
  return readFileSync(join(projectRoot, path), 'utf8')
}

/** By the heading of the section that they stand in. */
export function documentedRows(): ReadonlyMap<string, readonly MetricRow[]> {
  const sections = readText('docs/metrics.md').split(/^### /m).slice(1)
  return new Map(
    sections.map((section) => {
      const [title = ''] = section.split('\n')
      return [title, section.split('\n').flatMap(readRow)]
    }),
  )
}

function readRow(line: string): readonly MetricRow[] {
  const cells = line.split('|').map((cell) => cell.trim())
  const [, name = '', type = '', labels = '', processes = '', meaning = ''] = cells
  if (!/^`[a-z_0-9]+`$/.test(name)) return []
  const names = labels === '' ? [] : labels.split(', ').map((label) => label.replaceAll('`', ''))
  return [{ name: name.replaceAll('`', ''), type, labels: names, processes, meaning }]
}

const seriesEnds: Readonly<Record<string, readonly string[]>> = {
  histogram: ['_bucket', '_sum', '_count'],
}

/** Every series that a scrape can bring. */
export function seriesNames(rows: Iterable<readonly MetricRow[]>): ReadonlySet<string> {
  const all = [...rows].flat()
  return new Set(
    all.flatMap(({ name, type }) => (seriesEnds[type] ?? ['']).map((end) => `${name}${end}`)),
  )
}

const words = new Set(
  'by on and or unless without ignoring group_left group_right bool offset le inf'.split(' '),
)

/** The series that an expression reads. */
export function seriesOf(expression: string): readonly string[] {
  const bare = expression
    .replaceAll(/"(?:[^"\\]|\\.)*"/g, '""')
    .replaceAll(/\{[^}]*\}/g, ' ')
    .replaceAll(/\[[^\]]*\]/g, ' ')
    .replaceAll(/\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)/g, ' ')
  const names = bare.match(/[a-zA-Z_:][\w:]*(?!\s*\(|\w)/g) ?? []
  const found = names.filter((name) => !words.has(name))
  assert.ok(found.length > 0, `no series in ${expression}`)
  return found
}
