// Goal: whatever the number of threads, an upload has room for parts that the bucket can put together.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limitsOf } from '../../../../src/storage/blob/s3/open.ts'

const mib = 1024 * 1024
const partSizeBytes = 8 * mib

test('each thread has room for four parts, and all have 128 MiB at least', () => {
  for (const [threads, each] of [
    [1, 128],
    [4, 32],
    [16, 32],
    [63, 32],
  ] as const) {
    const limits = limitsOf({ partSizeBytes, partBudgetBytes: undefined }, threads)
    assert.deepEqual(limits, { partBytes: 8 * mib, threadBudgetBytes: each * mib })
  }
})

test('a budget is shared, and refused where a thread would not have room for three parts', () => {
  const partBudgetBytes = 240 * mib
  const { threadBudgetBytes } = limitsOf({ partSizeBytes, partBudgetBytes }, 10)
  assert.equal(threadBudgetBytes, 24 * mib)
  assert.throws(
    () => limitsOf({ partSizeBytes, partBudgetBytes }, 11),
    /part_budget: expected at least 264MiB, 3 × part_size for each of 11 ingest threads; found 240MiB/,
  )
})
