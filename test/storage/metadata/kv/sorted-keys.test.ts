// Goal: a sorted set that answers every range as a sorted array would. Method: random keys come and go, over
// many chunks, and random ranges are compared.

import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { SortedKeys } from '../../../../src/storage/metadata/kv/sorted-keys.ts'
import { Dice, randomFrom } from '../../../simulate/metadata-world.ts'

const seed = Number(process.env['KEELSON_TEST_SEED'] ?? randomInt(2 ** 31))

function compare(keys: SortedKeys, model: ReadonlySet<string>, dice: Dice): void {
  const sorted = [...model].sort()
  for (let i = 0; i < 40; i++) {
    const [start, end] = [dice.below(20_000), dice.below(20_000)].map(String).sort()
    const limit = dice.chance(0.5) ? dice.below(3000) : Number.POSITIVE_INFINITY
    const inside = sorted.filter((key) => key >= start! && key < end!)
    const range = { start: start!, end: end!, limit }
    assert.deepEqual(keys.within(range), inside.slice(0, limit))
    const backward = inside.reverse().slice(0, limit)
    assert.deepEqual(keys.within({ ...range, reverse: true }), backward)
  }
}

test('ranges are those of a sorted array, while keys come and go', (t) => {
  t.diagnostic(`KEELSON_TEST_SEED=${seed}`)
  const dice = new Dice(randomFrom(seed))
  const model = new Set(Array.from({ length: 3000 }, () => String(dice.below(20_000))))
  const keys = new SortedKeys(model)
  compare(keys, model, dice)
  for (const share of [0.9, 0.1, 0.9, 0]) {
    for (let i = 0; i < 8000; i++) {
      const key = String(dice.below(20_000))
      if (model.has(key) && !dice.chance(share)) {
        keys.remove(key)
        model.delete(key)
      } else if (!model.has(key) && dice.chance(share)) {
        keys.add(key)
        model.add(key)
      }
    }
    compare(keys, model, dice)
  }
  for (const key of model) keys.remove(key)
  assert.deepEqual(keys.within({ start: '', end: '~' }), [])
  keys.add('one')
  assert.deepEqual(keys.within({ start: '', end: '~' }), ['one'])
})
