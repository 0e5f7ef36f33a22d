// Goal: directory syncs are shared by exactly those whose names they cover.
// Method: a sync that ends when the test says so.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { DirectorySync } from '../../../../src/storage/blob/fs/directory-sync.ts'

interface Run {
  readonly path: string
  end(error?: Error): void
}

function scene(): { readonly runs: Run[]; readonly syncs: DirectorySync } {
  const runs: Run[] = []
  const syncs = new DirectorySync(
    (path) =>
      new Promise((resolve, reject) => {
        runs.push({ path, end: (error) => (error ? reject(error) : resolve()) })
      }),
  )
  return { runs, syncs }
}

test('whoever asks while a sync runs shares the next one, and no earlier one', async () => {
  const { runs, syncs } = scene()
  const first = syncs.sync('a')
  let lateEnds = 0
  const late = [syncs.sync('a'), syncs.sync('a')].map((sync) => sync.then(() => (lateEnds += 1)))
  assert.equal(runs.length, 1)
  runs[0]!.end()
  await first
  await nextTurn()
  assert.equal(lateEnds, 0)
  assert.equal(runs.length, 2)
  runs[1]!.end()
  await Promise.all(late)
  assert.equal(runs.length, 2)
})

test('after a sync is over the next request begins one at once', async () => {
  const { runs, syncs } = scene()
  const first = syncs.sync('a')
  runs[0]!.end()
  await first
  const second = syncs.sync('a')
  assert.equal(runs.length, 2)
  runs[1]!.end()
  await second
  await syncs.idle()
})

test('directories do not wait for one another', async () => {
  const { runs, syncs } = scene()
  const a = syncs.sync('a')
  const b = syncs.sync('b')
  assert.deepEqual(
    runs.map(({ path }) => path),
    ['a', 'b'],
  )
  runs[1]!.end()
  await b
  runs[0]!.end()
  await a
})

test('a failed sync fails those it served, and the next is tried all the same', async () => {
  const { runs, syncs } = scene()
  const first = syncs.sync('a')
  const second = syncs.sync('a')
  runs[0]!.end(new Error('EIO'))
  await assert.rejects(first, /EIO/)
  await nextTurn()
  runs[1]!.end()
  await second
})

test('idle waits for the last of them', async () => {
  const { runs, syncs } = scene()
  void syncs.sync('a')
  const second = syncs.sync('a')
  let isIdle = false
  const idle = syncs.idle().then(() => {
    isIdle = true
  })
  runs[0]!.end()
  await nextTurn()
  assert.equal(isIdle, false)
  runs[1]!.end()
  await second
  await idle
})
