// Goal: what the doctor prints stays as scripts and people know it. Method: one finding of each severity,
// printed whole.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Finding } from '../../src/doctor/contract.ts'
import { exitCodeOf, jsonReport, textReport } from '../../src/doctor/report.ts'

const well: Finding = {
  ...{ check: 'kernel', severity: 'ok', title: 'kernel', detail: 'Linux 6.1.0' },
  ...{ why: '', remedy: '', command: '', link: 'docs/doctor.md#kernel-and-network' },
}
const unknown: Finding = {
  ...well,
  check: 'clock-sync',
  severity: 'unknown',
  title: 'clock',
  why: 'w',
}
const advice: Finding = {
  ...{ check: 'swappiness', severity: 'advice', title: 'vm.swappiness', detail: 'it is 60' },
  ...{ why: 'pages of an idle server go to the swap', remedy: 'lower it' },
  ...{ command: 'sysctl -w vm.swappiness=10', link: 'docs/doctor.md#memory-and-processors' },
}
const warning: Finding = { ...advice, severity: 'warning', command: '' }
const error: Finding = { ...advice, severity: 'error' }

test('the text says all that there is to say, and nothing of what is well', () => {
  assert.equal(
    textReport([well, unknown, advice, warning]),
    `ok       kernel: Linux 6.1.0
unknown  clock: Linux 6.1.0
advice   vm.swappiness: it is 60
         pages of an idle server go to the swap
         → lower it
         $ sysctl -w vm.swappiness=10
         see docs/doctor.md#memory-and-processors
warning  vm.swappiness: it is 60
         pages of an idle server go to the swap
         → lower it
         see docs/doctor.md#memory-and-processors

0 errors, 1 warning, 1 to improve, 1 not known, 1 in order
`,
  )
})

test('the JSON has the fields that docs/doctor.md names', () => {
  assert.deepEqual(JSON.parse(jsonReport([well, error, error])), {
    version: 1,
    ok: false,
    worst: 'error',
    counts: { ok: 1, unknown: 0, advice: 0, warning: 0, error: 2 },
    findings: [well, error, error],
  })
  assert.equal(JSON.parse(jsonReport([warning])).ok, true)
})

test('the exit code is that of the worst finding', () => {
  const cases: ReadonlyArray<readonly [findings: readonly Finding[], code: number]> = [
    [[], 0],
    [[well, unknown, advice], 0],
    [[well, warning, advice], 1],
    [[warning, error, well], 2],
  ]
  for (const [findings, code] of cases) assert.equal(exitCodeOf(findings), code)
})
