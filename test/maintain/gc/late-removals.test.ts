// Goal: where a removal may happen long after it was sent, a blob that was pushed again is never hit by it.
// Method: a blob store whose removals fail, or are counted; the clock is the test's.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Digest } from '../../../src/oci/digest.ts'
import type { BlobStore } from '../../../src/storage/blob/contract.ts'
import { StorageError } from '../../../src/storage/error.ts'
import { type MaintainScene, withScene } from '../../support/maintain.ts'
import { blobStatus, collect, dayMs, hourMs, isOnDisk, someBytes } from './scene.ts'

const minuteMs = 60_000
const lateMs = 20 * minuteMs

type Remove = BlobStore['remove']

/** The same store, but for its removals. */
function withRemovals(blobs: BlobStore, remove: Remove): BlobStore {
  return new Proxy(blobs, {
    get: (store, name: keyof BlobStore) => {
      if (name === 'removalsLateMs') return lateMs
      if (name === 'remove') return remove
      const value: unknown = store[name]
      return typeof value === 'function' ? value.bind(store) : value
    },
  })
}

async function condemned(scene: MaintainScene): Promise<Digest> {
  const digest = await scene.pushBlob('app', someBytes())
  scene.advance(2 * hourMs)
  await collect(scene)
  scene.advance(8 * dayMs)
  return digest
}

const failing: Remove = async () => {
  throw new StorageError('unavailable', 'no answer')
}

test('what failed is not sent again before it can happen no more', async () => {
  await withScene({}, async (scene) => {
    const digest = await condemned(scene)
    const run = (remove: Remove): ReturnType<typeof collect> =>
      collect(scene, {}, {}, { context: { blobs: withRemovals(scene.blobs, remove) } })
    await run(failing)
    const beganAtMs = scene.nowMs
    assert.deepEqual(await scene.metadata.listDestroying(9), [{ digest, size: 100, beganAtMs }])
    let removals = 0
    const counted: Remove = async (...of) => {
      removals += 1
      return scene.blobs.remove(...of)
    }
    scene.advance(lateMs - 1)
    const early = await run(counted)
    assert.equal(removals, 0)
    assert.match(early.report.summary.join('\n'), /1 blob whose removal was cut short/)
    scene.advance(1)
    // It fails again: from here on the time runs anew.
    await run(failing)
    scene.advance(lateMs - 1)
    await run(counted)
    assert.equal(removals, 0)
    scene.advance(1)
    await run(counted)
    assert.equal(removals, 1)
    assert.deepEqual(await scene.metadata.listDestroying(9), [])
    assert.equal(await isOnDisk(scene, digest), false)
  })
})

test('a turn that takes too long, or whose run another one has taken over, sends nothing more', async () => {
  await withScene({}, async (scene) => {
    const digest = await condemned(scene)
    const slow: Remove = async (_, options) => {
      scene.advance(4 * minuteMs)
      options?.requireHeld?.()
      return true
    }
    const blobs = withRemovals(scene.blobs, slow)
    const { report } = await collect(scene, {}, {}, { context: { blobs } })
    assert.equal(report.ok, false)
    assert.equal(await isOnDisk(scene, digest), true)
    scene.advance(lateMs)
    const fenced = Object.assign(new Error('taken over'), { name: 'AbortError' })
    const requireHeld = (): never => {
      throw fenced
    }
    const asking: Remove = async (_, options) => {
      options?.requireHeld?.()
      return true
    }
    const context = { blobs: withRemovals(scene.blobs, asking), requireHeld }
    await assert.rejects(collect(scene, {}, {}, { context }), fenced)
    assert.equal(await isOnDisk(scene, digest), true)
    assert.equal((await scene.metadata.listDestroying(9)).length, 1)
    assert.equal(await blobStatus(scene, 'app', digest), 404)
  })
})
