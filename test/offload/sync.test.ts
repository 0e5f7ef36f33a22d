// Goal: what `sync` answers for is on the device, with no fdatasync that another already did.
// Method: the registry alone with syncs that the test ends; then the pool on real files.

import assert from 'node:assert/strict'
import { appendFile, lstat, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { SyncRegistry } from '../../src/offload/sync-registry.ts'
import { StorageError } from '../../src/storage/error.ts'
import type { FileMark } from '../../workers/tasks.ts'
import { patternBody } from './fed-body.ts'
import { withPool } from './scene.ts'

function isUnavailable(error: unknown): boolean {
  return error instanceof StorageError && error.kind === 'unavailable'
}

function isCorrupt(error: unknown): boolean {
  return error instanceof StorageError && error.kind === 'corrupt'
}

async function withFile(body: (path: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'keelson-sync-'))
  try {
    await writeFile(join(directory, 'file'), 'bytes')
    await body(join(directory, 'file'))
  } finally {
    await rm(directory, { recursive: true })
  }
}

async function markOf(path: string): Promise<FileMark> {
  const { ino, size, mtimeMs } = await lstat(path)
  return { inode: ino, size, mtimeMs }
}

test('a sync that runs is joined', () =>
  withFile(async (path) => {
    const registry = new SyncRegistry()
    const settle = registry.begin(path, await markOf(path))
    let isDone = false
    const syncing = registry.sync(path).then(() => {
      isDone = true
    })
    await nextTurn()
    assert.equal(isDone, false)
    settle(undefined)
    await syncing
  }))

test('a failed sync fails every later one, until the file is written from its start', () =>
  withFile(async (path) => {
    const registry = new SyncRegistry()
    for (const fail of [
      async () => registry.begin(path, await markOf(path))('EIO'),
      async () => registry.fail(path, 'EIO'),
    ]) {
      await fail()
      await assert.rejects(registry.sync(path), isUnavailable)
      await assert.rejects(registry.sync(path), isUnavailable)
      // The bytes before the offset may be those that the device lost.
      assert.throws(() => registry.rewrite(path, 1), isCorrupt)
      registry.rewrite(path, 0)
      await registry.sync(path)
    }
  }))

test('a sync of an earlier request that fails late fails the session', () =>
  withFile(async (path) => {
    const registry = new SyncRegistry()
    const settleFirst = registry.begin(path, await markOf(path))
    registry.rewrite(path, 5)
    registry.begin(path, await markOf(path))(undefined)
    const syncing = registry.sync(path)
    settleFirst('EIO')
    await assert.rejects(syncing, isUnavailable)
  }))

test('only a file that was changed meanwhile, by another process, is synced again', () =>
  withFile(async (path) => {
    let syncs = 0
    const registry = new SyncRegistry(async () => {
      syncs += 1
    })
    await registry.sync(path)
    assert.equal(syncs, 1, 'nothing is known of it')
    for (const change of [
      () => appendFile(path, 'more'),
      () => utimes(path, 1, 1),
      () => rm(path).then(() => writeFile(path, 'bytes')),
    ]) {
      registry.begin(path, await markOf(path))(undefined)
      syncs = 0
      await registry.sync(path)
      assert.equal(syncs, 0, 'it is as it was')
      await change()
      await registry.sync(path)
      assert.equal(syncs, 1, 'it has changed')
    }
  }))

test('a file that is absent cannot be synced', async () => {
  await assert.rejects(new SyncRegistry().sync('/absent/file'), isUnavailable)
})

test('a body without sync is synced in the background, and sync joins that', async () => {
  await withPool({}, async (scene) => {
    for (let i = 0; i < 20; i++) {
      const plan = scene.plan(`body-${i}`, { sync: false })
      const outcome = await scene.pool.receive(plan, patternBody(200_000, 70_000))
      assert.equal(outcome.kind, 'complete')
      await Promise.all([scene.pool.sync(plan.target), scene.pool.sync(plan.target)])
    }
    const absent = scene.plan('absent').target
    await assert.rejects(scene.pool.sync(absent), isUnavailable)
  })
})

test('early write-back changes nothing but when bytes reach the device', async () => {
  await withPool({ writebackBytes: 256 << 10 }, async (scene) => {
    for (const sync of [true, false]) {
      const plan = scene.plan('body', { sync })
      const outcome = await scene.pool.receive(plan, patternBody(5 << 20, 512 << 10))
      assert.equal(outcome.kind === 'complete' && outcome.offset, 5 << 20)
      await scene.pool.sync(plan.target)
    }
  })
})

test('without durability nothing is synced', async () => {
  await withPool({ durability: 'none' }, async (scene) => {
    const plan = scene.plan('body', { sync: true })
    await scene.pool.receive(plan, patternBody(200_000, 70_000))
    await scene.pool.sync(plan.target)
    // Not even looked at.
    await scene.pool.sync(scene.plan('absent').target)
  })
})
