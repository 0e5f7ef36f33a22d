// Goal: processes that open a shared store, close it or are killed take nothing from one that writes to
// it meanwhile. Method: a storm of them; whatever was acknowledged is read at once by who wrote it, and
// again in the end. KEELSON_TEST_SEED repeats the choices, KEELSON_TEST_STORM_MS sets the length of each.
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { withFolder } from '../storage/metadata/folder.ts'
import { Dice, randomFrom } from '../support/dice.ts'
import { storm } from './open-storm.ts'

const seed = Number(process.env['KEELSON_TEST_SEED'] ?? randomInt(2 ** 31))
const timeMaxMs = Number(process.env['KEELSON_TEST_STORM_MS'] ?? 5_000)

for (const durability of ['fsync', 'none'] as const) {
  test(`${durability}: a storm of starts and kills loses nothing`, async (t) => {
    t.diagnostic(`KEELSON_TEST_SEED=${seed}`)
    const dice = new Dice(randomFrom(seed))
    await withFolder(async (path) => {
      const options = { path, durability, dice, roundsMax: Number.POSITIVE_INFINITY, timeMaxMs }
      const { rounds, opens, writes, faults } = await storm(options)
      t.diagnostic(`${rounds} processes, ${opens} times opened, ${writes} writes`)
      assert.deepEqual(faults, [])
      assert.ok(rounds >= 2 && opens >= rounds, `${rounds} processes, ${opens} opened`)
    })
  })
}
