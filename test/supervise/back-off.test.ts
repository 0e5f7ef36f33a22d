// Goal: a process that ends is back at once, and one that goes on ending does not keep the host busy.
// Method: a clock in hand.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BackOff } from '../../src/supervise/back-off.ts'

test('the first end waits for nothing, the next ones longer and longer, up to a bound', () => {
  const backOff = new BackOff(() => 0)
  const delays = Array.from({ length: 9 }, () => backOff.next())
  assert.deepEqual(delays, [0, 250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000])
})

test('a minute without an end is forgotten', () => {
  let nowMs = 0
  const backOff = new BackOff(() => nowMs)
  backOff.next()
  backOff.next()
  nowMs = 59_999
  assert.equal(backOff.next(), 500)
  nowMs = 60_000
  assert.equal(backOff.next(), 250)
  nowMs = 120_001
  assert.equal(backOff.next(), 0)
})
