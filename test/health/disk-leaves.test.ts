// Goal: jobs leave the reserve alone as pushes do, and count as none. Method: file systems that are numbers.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openPlainReserve } from './reserve-scene.ts'

test('a job may take what leaves the reserve alone, and is no refused push', async (t) => {
  const { reserve, disk } = await openPlainReserve(t, { reserveMib: 100, freeMib: 150 })
  assert.equal(reserve.leaves(50 << 20), true)
  assert.equal(reserve.leaves((50 << 20) + 1), false)
  disk.freeMib = 99
  // The first is the one that is under way.
  await reserve.measure()
  await reserve.measure()
  assert.equal(reserve.leaves(0), false)
  assert.equal(reserve.figures.refused, 0)
})
