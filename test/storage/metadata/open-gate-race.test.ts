// Goal: between processes, too, one opens at a time and nobody writes meanwhile. Method: processes that do
// little else than go through the gate, each on the watch for traces of the others.

import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { within } from '../../support/until.ts'
import { withFolder } from './folder.ts'
import type { GateReport } from './gate-process.ts'

const timeMs = Number(process.env['KEELSON_TEST_STORM_MS'] ?? 1_500)
const leastOpenings = 6
const url = import.meta.url.replace(/open-gate-race\.test\.(js|ts)$/, 'gate-process.$1')

for (const writesPerOpening of [0, 20]) {
  test(`three processes, ${writesPerOpening} writes to an opening`, async (t) => {
    await withFolder(async (folder) => {
      for (const name of ['store', 'writing']) mkdirSync(join(folder, name))
      const reports = Array.from({ length: 3 }, async () => {
        const numbers = [timeMs, writesPerOpening, leastOpenings].map(String)
        const child = fork(fileURLToPath(url), [folder, ...numbers])
        t.after(() => child.kill('SIGKILL'))
        const [report] = await within('a report', once(child, 'message'), timeMs + 30_000)
        return report as GateReport
      })
      const done = await Promise.all(reports)
      const sum = (of: (report: GateReport) => number): number =>
        done.map(of).reduce((total, count) => total + count, 0)
      t.diagnostic(`${sum(({ opened }) => opened)} opened, ${sum(({ writes }) => writes)} writes`)
      assert.deepEqual(
        done.flatMap(({ breaches }) => breaches),
        [],
      )
      for (const { opened } of done) assert.ok(opened >= leastOpenings, `${opened}`)
    })
  })
}
