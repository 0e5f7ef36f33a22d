// Goal: a process that is killed has lost nothing that it acknowledged, shows nothing by halves, and
// leaves every upload to be gone on with. Method: random pushes, tag moves and deletes by several
// clients; SIGKILL after a random number of their requests, pieces and answers; then those who serve the
// store are compared with a model of what the clients saw. KEELSON_TEST_SEED repeats the choices,
// KEELSON_TEST_CRASHES sets the number of kills.
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Lane } from './lane.ts'

const seed = Number(process.env['KEELSON_TEST_SEED'] ?? randomInt(2 ** 31))
const crashes = Number(process.env['KEELSON_TEST_CRASHES'] ?? 100)
const timeout = 600_000

interface Plan {
  readonly kills: number
  readonly processes: number
  readonly sharing: 'exclusive' | 'shared'
  /** Stores side by side: a start of a process is mostly waiting. */
  readonly lanes: number
}

async function runLane(plan: Plan, number: number, hits: Map<string, number>): Promise<void> {
  const { kills, processes, sharing, lanes } = plan
  const rootDir = await mkdtemp(join(tmpdir(), 'keelson-crash-'))
  const lane = new Lane({ seed: seed + number, rootDir, processes, sharing, hits })
  let kill = number
  try {
    await lane.start()
    for (; kill < kills; kill += lanes) await lane.crash()
    await lane.end()
  } catch (error) {
    const where = `KEELSON_TEST_SEED=${seed}, kill ${kill}, store ${number}`
    throw new Error(`${where}: ${error}\n${lane.log}`, { cause: error })
  } finally {
    await lane.abandon()
  }
}

async function run(t: TestContext, plan: Plan): Promise<void> {
  t.diagnostic(`KEELSON_TEST_SEED=${seed}`)
  const hits = new Map<string, number>()
  const lanes = Array.from({ length: plan.lanes }, (_, number) => runLane(plan, number, hits))
  for (const end of await Promise.allSettled(lanes)) {
    if (end.status === 'rejected') throw end.reason
  }
  const named = [...hits].map(([name, count]) => `${name} ${count}`)
  t.diagnostic(`${plan.kills} kills; under way then: ${named.join(', ')}`)
  const total = [...hits.values()].reduce((sum, count) => sum + count, 0)
  assert.ok(total > plan.kills, 'kills hit requests under way')
}

test('a killed server has lost nothing that it acknowledged', { timeout }, async (t) => {
  await run(t, { kills: crashes, processes: 1, sharing: 'exclusive', lanes: 3 })
})

test('of two servers of one store, one is killed and the other goes on', { timeout }, async (t) => {
  const kills = Math.ceil(crashes / 5)
  await run(t, { kills, processes: 2, sharing: 'shared', lanes: 2 })
})
