// Goal: a record that cannot be read, or does not go with the others, is told and passed over, and costs
// nobody anything; a store that does not answer ends the run, and nothing is taken for absent.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JobReport } from '../../../src/maintain/job/contract.ts'
import { StorageError } from '../../../src/storage/error.ts'
import { encodeBlob } from '../../../src/storage/metadata/kv/encoding.ts'
import { encodeDropped } from '../../../src/storage/metadata/kv/garbage-encoding.ts'
import * as keys from '../../../src/storage/metadata/kv/keys.ts'
import { type MaintainScene, withScene } from '../../support/maintain.ts'
import {
  blobStatus,
  collect,
  hourMs,
  isOnDisk,
  manifestStatus,
  named,
  pushImage,
  settings,
  someBytes,
} from './scene.ts'

const app = named('app')
const windowMs = settings.restoreWindowMs

function check(title: string, body: (scene: MaintainScene) => Promise<void>): void {
  test(`gc, damage: ${title}`, () => withScene({}, body))
}

function plant(scene: MaintainScene, rows: Readonly<Record<string, string>>): Promise<void> {
  return scene.disk.records.write('visible', (transaction) => {
    for (const [key, value] of Object.entries(rows)) transaction.put(key, value)
  })
}

function countOf({ details }: JobReport, name: string): number {
  return (details[name] as { readonly count: number }).count
}

for (const dryRun of [false, true]) {
  check(`leases and blobs that cannot be read (dry run: ${dryRun})`, async (scene) => {
    const damaged = await scene.pushBlob('app', someBytes())
    const sound = await scene.pushBlob('app', someBytes())
    scene.advance(hourMs + 1)
    await plant(scene, {
      [keys.blobKey(damaged)]: 'nonsense',
      'g!000000000000001!nonsense!': '1',
    })
    const { report } = await collect(scene, {}, { dryRun })
    assert.equal(report.ok, false)
    assert.equal(report.details['faults'], 2)
    assert.match(report.summary.join('\n'), /g!000000000000001!nonsense/)
    assert.match(report.summary.join('\n'), new RegExp(damaged))
    assert.equal(countOf(report, 'condemned'), 1)
    assert.equal(await blobStatus(scene, 'app', sound), dryRun ? 200 : 404)
    assert.equal(await isOnDisk(scene, damaged), true)
  })
}

check('what was dropped and cannot be read', async (scene) => {
  const damaged = await scene.pushBlob('app', someBytes())
  const sound = await scene.pushBlob('app', someBytes())
  scene.advance(hourMs + 1)
  const atMs = scene.nowMs
  await collect(scene)
  scene.advance(windowMs + 1)
  await plant(scene, {
    [keys.blobKey(damaged)]: 'nonsense',
    [keys.droppedKey(atMs, sound, named('zzz'))]: 'nonsense',
  })
  const { report } = await collect(scene)
  assert.equal(report.ok, false)
  assert.equal(countOf(report, 'destroyed'), 1)
  assert.equal(await isOnDisk(scene, sound), false)
  assert.equal(await isOnDisk(scene, damaged), true)
})

check(
  'a blob that somebody holds is never taken for one that was being destroyed',
  async (scene) => {
    const image = await pushImage(scene, 'app', { tag: 'v1' })
    const [held] = image.blobs
    assert.ok(held)
    await plant(scene, { [keys.destructionKey(held)]: '20' })
    const { report } = await collect(scene)
    assert.equal(report.ok, false)
    assert.match(report.summary.join('\n'), /app holds it/)
    assert.equal(await isOnDisk(scene, held), true)
    assert.equal(await blobStatus(scene, 'app', held), 200)
  },
)

for (const state of ['condemned', 'destroying'] as const) {
  check(`a ${state} blob that somebody holds keeps its bytes`, async (scene) => {
    const image = await pushImage(scene, 'app', { tag: 'v1' })
    const [held] = image.blobs
    assert.ok(held)
    const atMs = scene.nowMs
    const record = { size: 20, state }
    await plant(scene, {
      [keys.blobKey(held)]: encodeBlob(
        state === 'condemned' ? { ...record, state, condemnedAtMs: atMs } : { ...record, state },
      ),
      ...(state === 'condemned'
        ? { [keys.droppedKey(atMs, held)]: encodeDropped({ size: 20, run: 'some' }) }
        : { [keys.destructionKey(held)]: '20' }),
    })
    scene.advance(windowMs + 1)
    const dry = await collect(scene, {}, { dryRun: true })
    assert.equal(countOf(dry.report, 'destroyed'), 0)
    await collect(scene)
    assert.equal(await isOnDisk(scene, held), true)
  })
}

for (const [what, record] of [
  ['live', encodeBlob({ size: 20, state: 'live', leaseUntilMs: Number.MAX_SAFE_INTEGER })],
  ['unreadable', 'nonsense'],
] as const) {
  check(`a blob that is ${what} is not taken for one that was being destroyed`, async (scene) => {
    const blob = await scene.pushBlob('app', someBytes())
    await scene.disk.records.write('visible', (transaction) => {
      transaction.remove(keys.holderKey(blob, app))
      transaction.put(keys.blobKey(blob), record)
      transaction.put(keys.destructionKey(blob), '20')
    })
    const { report } = await collect(scene)
    assert.equal(report.ok, false)
    assert.equal(await isOnDisk(scene, blob), true)
  })
}

check('manifests, marks and pull times that cannot be read', async (scene) => {
  const damaged = [await pushImage(scene, 'app'), await pushImage(scene, 'app')]
  const sound = await pushImage(scene, 'app')
  const untagged = { untagged: 'delete' } as const
  await collect(scene, untagged)
  const [noContents, noPullTime] = damaged
  assert.ok(noContents && noPullTime)
  await plant(scene, {
    [keys.contentsKey(app, noContents.digest)]: 'nonsense',
    [keys.pulledKey(app, noPullTime.digest)]: 'nonsense',
  })
  scene.advance(settings.untaggedAfterMs + 1)
  const { report } = await collect(scene, untagged)
  assert.equal(report.ok, false)
  assert.equal(countOf(report, 'removed'), 1)
  assert.equal(await manifestStatus(scene, 'app', sound.digest), 404)
  for (const { digest } of damaged) assert.equal(await manifestStatus(scene, 'app', digest), 200)
})

for (const call of ['listEndedLeases', 'condemn', 'listDropped', 'beginDestroy'] as const) {
  check(
    `a store that does not answer ${call} ends the run, and the next is right`,
    async (scene) => {
      const old = await scene.pushBlob('app', someBytes())
      scene.advance(hourMs + 1)
      await collect(scene)
      scene.advance(windowMs - hourMs)
      const young = await scene.pushBlob('app', someBytes())
      scene.advance(hourMs + 1)
      const { metadata } = scene.jobParts()
      const silent = new Proxy(metadata, {
        get: (target, name) => {
          const member: unknown = Reflect.get(target, name, target)
          if (name === call)
            return () => Promise.reject(new StorageError('unavailable', 'no answer'))
          return typeof member === 'function' ? member.bind(target) : member
        },
      })
      const run = collect(scene, {}, {}, { context: { metadata: silent } })
      await assert.rejects(run, { message: 'no answer' })
      assert.equal(await blobStatus(scene, 'app', young), 200)
      const isFreedBefore = call === 'listEndedLeases' || call === 'condemn'
      assert.equal(await isOnDisk(scene, old), !isFreedBefore)
      const { report } = await collect(scene)
      assert.equal(report.ok, true)
      assert.equal(await isOnDisk(scene, old), false)
      assert.equal(await blobStatus(scene, 'app', young), 404)
      assert.equal(await isOnDisk(scene, young), true)
    },
  )
}
