// Goal: a slowdown of a fifth makes the gate fail, and nothing else does. Method: whole gates on real
// servers, ours against the same build in the clothes of another registry, so that the true ratio is
// known: 1, and 0.8 where every thread of ours burns a quarter more than it uses.
import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Floors, type GatedFigure, renderFloors } from '../../bench/gate/floors.ts'
import { attempt, type Finished } from '../support/run.ts'
import { needs } from '../support/tools.ts'

const folder = mkdtempSync(join(tmpdir(), 'keelson-gate-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const built = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const main = resolve(process.env['KEELSON_BIN'] ?? built('src/main.js'))

function program(name: string, script: string): string {
  const path = join(folder, name)
  writeFileSync(path, `#!/bin/sh\n${script}\n`)
  chmodSync(path, 0o755)
  return path
}

const node = JSON.stringify(process.execPath)
const slowed = program(
  'slowed',
  `BENCH_BURN=0.25 exec ${node} --import ${built('bench/gate/slow-down.js')} ${main} "$@"`,
)
const peer = program(
  'peer',
  `[ "$1" != --version ] || { echo 1.0; exit; }
sed 's/default_allow = true/default = "allow"/; /^sync_to_disk/d' "$2" >"$2.own"
exec ${node} ${main} -c "$2.own" server`,
)

const level = { floor: 0.85, accepted: 1 }

function floorsFile(reference: GatedFigure['reference']): string {
  const path = join(folder, `${reference}.json`)
  const figure: GatedFigure = {
    ...{ scenario: 'manifest-get-by-tag', store: 'disk', reference, witness: 'both' },
    ...{ wall: level, cpu: level, taken: 'never: it is the same program' },
  }
  const floors: Floors = { format: 1, tolerance: 0.1, figures: [figure] }
  writeFileSync(path, renderFloors(floors))
  return path
}

/** The gate, in a folder where it may leave its results. */
function gate(ours: string, flags: readonly string[]): Promise<Finished> {
  const env = { ...process.env, KEELSON_BIN: ours, KEELSON_BENCH_ANGOS: peer }
  const options = { cwd: folder, env, timeoutMs: 300_000 }
  return attempt(process.execPath, [built('bench/run.js'), '--gate', ...flags], options)
}

const needsLoad = needs('wrk', 'taskset')

test('a build that is as fast as it was passes', needsLoad, async (t) => {
  const { code, stdout, stderr } = await gate(main, ['--floors', floorsFile('angos')])
  t.diagnostic(stdout)
  assert.equal(code, 0, stdout + stderr)
  assert.doesNotMatch(stdout, /not judged|FELL/)
})

test('a build that is a fifth slower fails', needsLoad, async (t) => {
  let verdict = await gate(slowed, ['--floors', floorsFile('angos')])
  // A machine that is too noisy to decide says so, and is asked again.
  for (let again = 0; again < 2 && verdict.stdout.includes('UNDECIDED'); again++) {
    t.diagnostic(verdict.stdout)
    verdict = await gate(slowed, ['--floors', floorsFile('angos')])
  }
  const { code, stdout, stderr } = verdict
  t.diagnostic(stdout)
  assert.equal(code, 1, stdout + stderr)
  assert.match(stdout, /manifest-get-by-tag ÷ angos .* FELL/)
})

test('a reference that is not installed is said, and fails where all are required', async () => {
  const { code, stdout } = await gate(main, ['--floors', floorsFile('zot'), '--require-all'])
  assert.match(stdout, /not judged: zot: not installed/)
  assert.equal(code, 2)
})

test('a server that does not start is no verdict but a failure', async () => {
  const broken = program('broken', 'exit 3')
  const { code, stdout } = await gate(broken, ['--floors', floorsFile('angos')])
  assert.match(stdout, /not judged: keelson: /)
  assert.equal(code, 2)
})

test('flags and floors that make no sense are refused', async () => {
  for (const flags of [
    ['--reason', 'x'],
    ['--accept', '--reason', ' '],
    ['--floors', 'none'],
  ]) {
    const { code, stdout } = await gate(main, flags)
    assert.deepEqual([code, stdout], [2, ''])
  }
})
