// Goal: the OCI distribution-spec's own conformance suite finds nothing wrong. Method: its next
// version with every switch on, against a fresh registry; a skipped check counts as a fault.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { goTool, needsGo } from '../support/go-tools.ts'
import { attempt } from '../support/run.ts'
import { openScene } from '../support/scene.ts'
import { type Results, readCounts, readResults, readTroubles } from './results.ts'

const suite = 'github.com/opencontainers/distribution-spec/conformance'

// The switches that `dev` leaves off; `readResults` shows all that were on, and the test compares.
const switches = { OCI_VERSION: 'dev', OCI_DATA_SPARSE: 'true' }

function assertEverySwitchOn({ switches: found }: Results): void {
  const off = Object.keys(found).filter((name) => found[name] !== 'true')
  assert.deepEqual(off, [])
  assert.ok(Object.keys(found).length >= 29, 'the suite reports fewer switches than it has')
}

function assertAllPass(found: Readonly<Record<string, string>>, countMin: number): void {
  const rest = Object.entries(found).filter(([, status]) => status !== 'Pass')
  assert.deepEqual(rest, [])
  assert.ok(Object.keys(found).length >= countMin)
}

test('the OCI conformance suite passes with nothing skipped', needsGo(), async (t) => {
  const program = await goTool(t, 'test/conformance/suite', suite)
  if (program === undefined) return
  const { dir, server } = await openScene(t)
  const { code, stdout, stderr } = await attempt(program, [], {
    cwd: dir,
    env: {
      PATH: process.env['PATH'],
      HOME: dir,
      OCI_REGISTRY: server.host,
      OCI_TLS: 'disabled',
      OCI_RESULTS_DIR: join(dir, 'results'),
      ...switches,
    },
    timeoutMs: 300_000,
  })
  const counts = readCounts(stdout)
  t.diagnostic(`conformance: ${JSON.stringify(counts)}`)
  const troubles = readTroubles(stdout)
  assert.equal(troubles.length, 0, troubles.slice(0, 80).join('\n'))
  assert.equal(code, 0, stderr)
  const results = readResults(await readFile(join(dir, 'results', 'results.yaml'), 'utf8'))
  assertEverySwitchOn(results)
  assertAllPass(results.apis, 28)
  assertAllPass(results.data, 24)
  const { Pass = 0, ...rest } = counts
  assert.deepEqual(rest, { Disabled: 0, Skip: 0, FAIL: 0, Error: 0 })
  assert.ok(Pass >= 900, `only ${Pass} checks ran`)
})
