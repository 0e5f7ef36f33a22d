// Goal: what a run leaves behind shows every expectation, the references that ran and no others, and
// how Node was started. Method: records made of figures, without servers.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GROUPS, HEADLINES, SCENARIOS } from '../../bench/catalogue.ts'
import { coverageOf, planOf } from '../../bench/plan.ts'
import { barsOf, chart } from '../../bench/report/chart.ts'
import { markdownTable } from '../../bench/report/markdown.ts'
import type { RunRecord } from '../../bench/report/record.ts'
import { summarize } from '../../bench/report/summary.ts'
import { scenarioTable } from '../../bench/report/text.ts'
import type { ScenarioResult, SubjectResult } from '../../bench/runner.ts'
import { execArgvOf } from '../../bench/runtime-flags.ts'

function subject(name: SubjectResult['name'], figure: number): SubjectResult {
  const latencyMs = { p50: 1, p90: 2, p99: 3, p999: 4 }
  const round = {
    figure,
    requests: 10,
    bytes: 1,
    seconds: 1,
    cpuSeconds: 1,
    latencyMs,
    driver: 'w',
  }
  const flags = { execArgv: ['--max-semi-space-size=32'], nodeOptions: '' }
  const known = name === 'keelson' ? { flags } : {}
  return { name, rounds: [round], peakRssBytes: 2 ** 20, problem: undefined, ...known }
}

const absent: SubjectResult = {
  ...{ name: 'zot', rounds: [], peakRssBytes: undefined, problem: 'not installed' },
}
const result: ScenarioResult = {
  ...{ name: 'get', asks: 'GET <small> & "quick"', unit: 'req/s', store: 'disk' },
  ...{ subjects: [subject('keelson', 120), subject('nginx-static', 100), absent] },
  skipped: undefined,
}
const summary = summarize(result, [
  { against: 'nginx-static', atLeast: 1.15 },
  { against: 'nginx-static', atLeast: 0.1 },
  { against: 'zot', atLeast: 2 },
  { figureAtLeast: 500 },
])
const record: RunRecord = {
  ...{ format: 1, date: '2026-01-02T03:04:05Z', revision: { commit: 'abc', dirty: false } },
  machine: {
    ...{ cpu: 'CPU', cores: 2, memoryBytes: 1, kernel: '6', loadAverage: 0, node: 'v20' },
    ...{ diskFilesystem: 'ext4', memoryFilesystem: 'tmpfs', programs: {} },
  },
  placement: { serverCores: '0', loadCores: '1', note: 'pinned' },
  options: {
    ...{ only: [], groups: [], all: false, subjects: [], stores: [], rounds: 1, seconds: 1 },
    ...{ connections: 1, quick: false, tls: false },
  },
  ...{ summaries: [summary], results: [result] },
}

test('a bar is as long as the measured ratio is to the wanted one', () => {
  const bars = barsOf(record)
  assert.equal(bars.length, 2)
  assert.ok(Math.abs((bars[0]?.share ?? 0) - 1.2 / 1.15) < 1e-9)
  assert.deepEqual(
    bars.map(({ met }) => met),
    [true, true],
  )
})

test('the chart is well-formed, tells bars that end outside, and has a look for dark pages', () => {
  const svg = chart(record)
  assert.match(svg, /GET &lt;small> &amp; &quot;quick&quot;/)
  assert.match(svg, /1\.20 × nginx-static \(1\.15\)</)
  assert.match(svg, /1\.20 × nginx-static \(0\.1\) »</)
  assert.match(svg, /prefers-color-scheme:dark/)
  const widths = [...svg.matchAll(/<rect [^>]*width="(\d+)"/g)].map(([, width]) => Number(width))
  assert.deepEqual(widths, [Math.round((1.2 / 1.15) * 136), 340])
  const [opened, closed] = [svg.match(/<text/g), svg.match(/<\/text>/g)]
  assert.equal(opened?.length, closed?.length)
})

test('the table has a column for each reference that ran, and says how Node was started', () => {
  const table = markdownTable(record)
  assert.match(table, /\| nginx static \| wanted \|/)
  assert.doesNotMatch(table, /bare uWS|docker-registry|\| zot/)
  assert.match(table, /Node flags --max-semi-space-size=32; pinned/)
})

test('what was not measured is not called missed', () => {
  const table = markdownTable(record)
  assert.match(table, /≥ 2 × zot: not measured; ≥ 500 req\/s: \*\*missed\*\*/)
  assert.match(scenarioTable(summary), /not measured: wanted ≥ 2 × zot\n +NOT MET: wanted ≥ 500/)
})

test('the flags of Node are what stands before the program', () => {
  assert.deepEqual(execArgvOf(['/usr/bin/node', '--a=1', '--b', 'main.js', '-c', 'x', '']), [
    ...['--a=1', '--b'],
  ])
  assert.deepEqual(execArgvOf(['node', 'main.js']), [])
})

test('every scenario has a name of its own and is in one group', () => {
  const names = SCENARIOS.map(({ name }) => name)
  assert.equal(new Set(names).size, names.length)
  assert.equal(Object.values(GROUPS).flat().length, names.length)
  for (const { name } of HEADLINES) assert.ok(names.includes(name), name)
})

const nothing = {
  only: [],
  groups: [],
  all: false,
  tls: false,
  stores: [],
  subjects: [],
  quick: false,
}

test('a run measures the headlines unless flags choose', () => {
  const names = (options: Partial<Parameters<typeof planOf>[0]>): string[] => [
    ...new Set(planOf({ ...nothing, ...options }).map(({ scenario }) => scenario.name)),
  ]
  assert.deepEqual(
    names({}),
    HEADLINES.map(({ name }) => name),
  )
  assert.equal(names({ all: true }).length, SCENARIOS.length)
  assert.deepEqual(names({ only: ['ping'] }), ['ping'])
  assert.deepEqual(
    names({ groups: ['guards'] }),
    GROUPS.guards.map(({ name }) => name),
  )
  assert.ok(names({ tls: true }).includes('tls-connect-full-1.3'))
  assert.ok(!names({ tls: true }).includes('ping'))
  assert.ok(planOf({ ...nothing, stores: ['memory'] }).every(({ store }) => store === 'memory'))
})

test('headlines are measured on tmpfs only where something is wanted there', () => {
  const onTmpfs = planOf(nothing).filter(({ store }) => store === 'memory')
  assert.deepEqual(
    onTmpfs.map(({ scenario }) => scenario.name),
    ['push-256mib-x1'],
  )
  const all = planOf({ ...nothing, all: true }).filter(({ store }) => store === 'memory')
  assert.ok(all.length > onTmpfs.length)
})

test('only a run of all headlines is published', () => {
  assert.equal(coverageOf(nothing), 'whole')
  assert.equal(coverageOf({ ...nothing, all: true }), 'whole')
  assert.equal(coverageOf({ ...nothing, tls: true }), 'tls')
  assert.equal(coverageOf({ ...nothing, groups: ['reads'] }), 'partial')
  assert.equal(coverageOf({ ...nothing, only: ['ping'], all: true }), 'partial')
})
