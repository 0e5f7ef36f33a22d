// Goal: a comparison of two runs tells what moved from what scatters, and in which direction better
// is. Method: runs made of figures, without servers.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Scenario, SubjectName } from '../../bench/contract.ts'
import { type Change, compareRuns, compareTable, failuresOf } from '../../bench/report/compare.ts'
import type { MeasuredRound, ScenarioResult, SubjectResult } from '../../bench/runner.ts'

function roundOf(figure: number): MeasuredRound {
  const made = { figure, requests: 1, bytes: 1, seconds: 1, cpuSeconds: 1 }
  return { ...made, driver: 'none', latencyMs: undefined }
}

function subject(name: SubjectName, figures: readonly (number | undefined)[]): SubjectResult {
  const rounds = figures.map((it) => (it === undefined ? undefined : roundOf(it)))
  return { name, rounds, peakRssBytes: undefined, problem: undefined }
}

function result(
  subjects: readonly SubjectResult[],
  unit: Scenario['unit'] = 'req/s',
): ScenarioResult {
  return { name: 'get', asks: 'GET', unit, store: 'disk', subjects, skipped: undefined }
}

const nginx = subject('nginx-static', [100, 101, 99, 100, 102])
const steady = result([subject('keelson', [120, 121, 119, 120, 122]), nginx])
const slower = result([subject('keelson', [96, 97, 95, 96, 98]), nginx])
const noisy = result([subject('keelson', [50, 170, 96, 130, 20]), nginx])

function compared(before: ScenarioResult, after: ScenarioResult): Change {
  const [change] = compareRuns({ results: [before] }, { results: [after] })
  assert.ok(change !== undefined)
  return change
}

test('a ratio that fell by a fifth on steady rounds is worse, and better the other way round', () => {
  const fell = compared(steady, slower)
  assert.equal(fell.against, 'nginx-static')
  assert.equal(fell.verdict, 'worse')
  assert.ok(Math.abs(fell.change + 0.2) < 0.01, `${fell.change}`)
  assert.equal(compared(slower, steady).verdict, 'better')
})

test('the same rounds are the same, and a fall within the scatter is none', () => {
  assert.equal(compared(steady, steady).verdict, 'same')
  const scattered = compared(steady, noisy)
  assert.ok(scattered.change < -0.1)
  assert.equal(scattered.verdict, 'same')
})

test('ratios are taken round by round, so that a noisy moment that hits both is no change', () => {
  const both = result([
    subject('keelson', [60, 121, 30, 120, 244]),
    subject('nginx-static', [50, 101, 25, 100, 204]),
  ])
  const change = compared(steady, both)
  assert.equal(change.verdict, 'same')
  assert.ok((change.noise ?? 1) < 0.05, `${change.noise}`)
})

test('of milliseconds and of memory more is worse', () => {
  for (const unit of ['ms', 'MiB'] as const) {
    const before = result(steady.subjects, unit)
    const after = result(slower.subjects, unit)
    assert.equal(compared(before, after).verdict, 'better')
    assert.equal(compared(after, before).verdict, 'worse')
  }
})

test('one round cannot tell a change from scatter', () => {
  const once = result([subject('keelson', [120]), subject('nginx-static', [100])])
  const change = compared(once, slower)
  assert.equal(change.noise, undefined)
  assert.equal(change.verdict, 'unknown')
})

test('rounds that failed are left out, and so are references that one run lacks', () => {
  const holes = result([
    subject('keelson', [120, undefined, 119, 120, 122]),
    subject('nginx-static', [100, 101, undefined, 100, 102]),
    subject('zot', []),
  ])
  const changes = compareRuns({ results: [holes] }, { results: [steady] })
  assert.deepEqual(
    changes.map(({ against }) => against),
    ['nginx-static'],
  )
})

test('where Keelson ran alone its own figures are compared', () => {
  const before = result([subject('keelson', [100, 101, 100])])
  const after = result([subject('keelson', [50, 51, 50])])
  const change = compared(before, after)
  assert.equal(change.against, undefined)
  assert.equal(change.verdict, 'worse')
})

test('a scenario is compared on the same store alone', () => {
  const onTmpfs: ScenarioResult = { ...slower, store: 'memory' }
  assert.deepEqual(compareRuns({ results: [steady] }, { results: [onTmpfs] }), [])
})

test('only what fell by more than the bound, and not by chance, fails', () => {
  const fell = compared(steady, slower)
  assert.equal(failuresOf([fell], 10).length, 1)
  assert.equal(failuresOf([fell], 25).length, 0)
  assert.equal(failuresOf([compared(steady, noisy), compared(slower, steady)], 0).length, 0)
})

test('the table has a line for each comparison', () => {
  const text = compareTable([compared(steady, slower)])
  assert.match(text, /^scenario +Keelson ÷ +before +after +change +noise +verdict$/m)
  assert.match(text, /^get +nginx-static +1\.20 +0\.960 +−20\.0 % +±\d+\.\d % +worse$/m)
})
