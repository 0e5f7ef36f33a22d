// Goal: slabs in use and idle slabs together stay within the bound, and come back for reuse.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SlabBudget } from '../../src/offload/slab-budget.ts'

const kib = 1 << 10

test('the smallest size that holds the bytes is chosen, and the largest for more', () => {
  const budget = new SlabBudget(4096 * kib, 1024 * kib)
  assert.equal(budget.slabBytesFor(0), 16 * kib)
  assert.equal(budget.slabBytesFor(16 * kib), 16 * kib)
  assert.equal(budget.slabBytesFor(16 * kib + 1), 32 * kib)
  assert.equal(budget.slabBytesFor(600 * kib), 1024 * kib)
  assert.equal(budget.slabBytesFor(5000 * kib), 1024 * kib)
})

test('a slab that came back is given again', () => {
  const budget = new SlabBudget(4096 * kib, 1024 * kib)
  const slab = budget.acquire(64 * kib)
  assert.equal(budget.bytesInUse, 64 * kib)
  budget.release(slab)
  assert.equal(budget.bytesInUse, 0)
  assert.equal(budget.acquire(64 * kib), slab)
  assert.notEqual(budget.acquire(64 * kib), slab)
})

test('idle slabs of other sizes make room', () => {
  const budget = new SlabBudget(1024 * kib, 1024 * kib)
  const small = Array.from({ length: 16 }, () => budget.acquire(64 * kib))
  for (const slab of small) budget.release(slab)
  const large = budget.acquire(1024 * kib)
  assert.equal(budget.bytesFree, 0)
  budget.release(large)
  // The small ones are gone: a new one is not any of theirs.
  assert.equal(small.includes(budget.acquire(64 * kib)), false)
})

test('what had to be given beyond the bound is not kept', () => {
  const budget = new SlabBudget(64 * kib, 64 * kib)
  const slabs = [budget.acquire(64 * kib), budget.acquire(64 * kib)]
  assert.equal(budget.bytesFree, -64 * kib)
  for (const slab of slabs) budget.release(slab)
  assert.equal(budget.bytesFree, 64 * kib)
  assert.equal(budget.acquire(64 * kib), slabs[1])
  assert.equal(slabs.includes(budget.acquire(64 * kib)), false)
})

test('more bytes back than were given is a fault of the program', () => {
  const budget = new SlabBudget(64 * kib, 64 * kib)
  assert.throws(() => budget.forget(1))
})
