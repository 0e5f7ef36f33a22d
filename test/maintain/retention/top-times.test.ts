// Goal: the latest of many times are those that sorting all of them finds, ties included. Method: random
// times, many of them equal, against a sort.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { TopTimes } from '../../../src/maintain/retention/top-times.ts'

test('a time is in where fewer than so many are later', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 120 }),
      fc.integer({ min: 1, max: 60 }),
      (times, countMax) => {
        const top = new TopTimes(countMax)
        for (const time of times) top.add(time)
        for (const count of new Set([1, Math.ceil(countMax / 2), countMax])) {
          for (const time of times) {
            const later = times.filter((other) => other > time).length
            assert.equal(top.has(time, count), later < count, `${time} of the ${count} latest`)
          }
        }
      },
    ),
    { numRuns: 300 },
  )
})

test('what nobody asks for takes no memory, and everything is in it', () => {
  const top = new TopTimes(0)
  for (let time = 0; time < 10; time += 1) top.add(time)
  assert.equal(top.has(3, 1), true)
})
