// Goal: how many callers limits keep is told of those in force, whatever becomes of others made beside
// them. Method: figures replaced, and taken back.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LimitCounts } from '../../src/telemetry/limit-counts.ts'

test('figures of new limits take the place of the old, until they are not taken after all', () => {
  const counts = new LimitCounts()
  counts.watchKeys(() => [['rate.old', 3]])
  counts.replaceKeys()
  counts.watchKeys(() => [['rate.new', 0]])
  assert.deepEqual(counts.keys(), [['rate.new', 0]])
  counts.restoreKeys()
  assert.deepEqual(counts.keys(), [['rate.old', 3]])
})
