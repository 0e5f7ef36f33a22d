// Goal: a full file system ends a body as full, holds on to nothing, and harms nobody else.
// Method: a real small tmpfs.

import assert from 'node:assert/strict'
import { rm, stat } from 'node:fs/promises'
import { test } from 'node:test'
import { StorageError } from '../../src/storage/error.ts'
import { needsTmpfs, withTmpfs } from '../support/small-tmpfs.ts'
import { FedBody, patternBody } from './fed-body.ts'
import { withPool } from './scene.ts'

const mib = 1 << 20

function isFull(error: unknown): boolean {
  return error instanceof StorageError && error.kind === 'full'
}

test('a body that does not fit ends as full, and the same session goes on later', needsTmpfs, () =>
  withTmpfs(8 * mib, (path) =>
    withPool(
      { memoryBudgetBytes: 8 * mib },
      async (scene) => {
        await scene.pool.receive(scene.plan('kept'), patternBody(2 * mib, 400_000))
        const plan = scene.plan('kept', { offset: 2 * mib })
        const large = patternBody(64 * mib, 512 << 10, { from: 2 * mib })
        await assert.rejects(scene.pool.receive(plan, large), isFull)
        assert.ok(large.backlog > 0, 'the rest of the body was read for nothing')
        assert.equal(large.isPaused, true)
        assert.deepEqual(large.misuses, [])
        const small = patternBody(1000, 300, { from: 2 * mib })
        const outcome = await scene.pool.receive(plan, small)
        assert.equal(outcome.kind === 'complete' && outcome.offset, 2 * mib + 1000)
        assert.equal((await stat(scene.path('kept'))).size, 2 * mib + 1000)
      },
      path,
    ),
  ),
)

test(
  'every body that meets a full file system ends, and there is room again after',
  needsTmpfs,
  () =>
    withTmpfs(8 * mib, (path) =>
      withPool(
        { memoryBudgetBytes: 8 * mib, workers: 2 },
        async (scene) => {
          const outcomes = await Promise.allSettled(
            Array.from({ length: 12 }, (_, i) => {
              const body =
                i % 2 === 0 ? patternBody(3 * mib, 300_000) : patternBody(400_000, 400_000)
              return scene.pool.receive(scene.plan(`body-${i}`), body)
            }),
          )
          const failures = outcomes.filter((outcome) => outcome.status === 'rejected')
          assert.ok(failures.length > 0)
          for (const { reason } of failures) assert.ok(isFull(reason), String(reason))
          for (let i = 0; i < 12; i++) await rm(scene.path(`body-${i}`), { force: true })
          const after = await scene.pool.receive(scene.plan('after'), patternBody(6 * mib, 500_000))
          assert.equal(after.kind, 'complete')
        },
        path,
      ),
    ),
)

test('a client that leaves a body which already failed changes nothing', needsTmpfs, () =>
  withTmpfs(2 * mib, (path) =>
    withPool(
      {},
      async (scene) => {
        const body = new FedBody()
        const outcome = scene.pool.receive(scene.plan('body'), body)
        const rejected = assert.rejects(outcome, isFull)
        for (let i = 0; i < 64; i++) body.feed(new Uint8Array(256 << 10))
        await rejected
        body.abort()
        assert.deepEqual(body.misuses, [])
      },
      path,
    ),
  ),
)
