// Goal: what nothing names is condemned after its lease and destroyed after the restore window, nothing else
// is, and a run that is cut short at any moment leaves what the next one finishes.

import assert from 'node:assert/strict'
import { link, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { JobReport } from '../../../src/maintain/job/contract.ts'
import { type Digest, digestHex } from '../../../src/oci/digest.ts'
import { type MaintainOptions, type MaintainScene, withScene } from '../../support/maintain.ts'
import { StoreDump } from '../../support/store-dump.ts'
import { until } from '../../support/until.ts'
import {
  blobStatus,
  collect,
  dayMs,
  hourMs,
  isOnDisk,
  manifestStatus,
  named,
  pushImage,
  settings,
  someBytes,
} from './scene.ts'

const windowMs = settings.restoreWindowMs

function check(
  title: string,
  body: (scene: MaintainScene) => Promise<void>,
  options: MaintainOptions = {},
): void {
  test(`gc: ${title}`, () => withScene(options, body))
}

function countOf({ details }: JobReport, name: string): number {
  return (details[name] as { readonly count: number }).count
}

/** What a run says that it did, without the times. */
function deedsOf({ details }: JobReport): unknown {
  const { condemned, unlinked, removed, forgotten, destroyed } = details
  return { condemned, unlinked, removed, forgotten, destroyed }
}

for (const stores of ['memory', 'lmdb'] as const) {
  check(
    `${stores}: an unused blob reads as absent after its lease, and is gone after the window`,
    async (scene) => {
      const image = await pushImage(scene, 'app', { tag: 'v1' })
      const unused = await scene.pushBlob('app', someBytes(1000))
      const early = await collect(scene)
      assert.deepEqual(deedsOf(early.report), deedsOf((await collect(scene)).report))
      assert.equal(countOf(early.report, 'condemned'), 0)
      assert.equal(await blobStatus(scene, 'app', unused), 200)

      scene.advance(hourMs + 1)
      const { report, deeds } = await collect(scene)
      assert.deepEqual(report.details['condemned'], { count: 1, bytes: 1000 })
      assert.deepEqual(
        deeds.map(({ deed, digest, repository, bytes }) => ({ deed, digest, repository, bytes })),
        [{ deed: 'condemn-blob', digest: unused, repository: 'app', bytes: 1000 }],
      )
      assert.equal(await blobStatus(scene, 'app', unused), 404)
      assert.equal(await isOnDisk(scene, unused), true)

      scene.advance(windowMs - 1)
      assert.equal(countOf((await collect(scene)).report, 'destroyed'), 0)
      scene.advance(2)
      const last = await collect(scene)
      assert.deepEqual(last.report.details['destroyed'], { count: 1, bytes: 1000 })
      assert.deepEqual(
        last.deeds.map(({ deed, digest }) => ({ deed, digest })),
        [{ deed: 'destroy-blob', digest: unused }],
      )
      assert.equal(await isOnDisk(scene, unused), false)
      assert.deepEqual(await scene.metadata.listDestroying(10), [])

      assert.equal(await manifestStatus(scene, 'app', 'v1'), 200)
      for (const blob of image.blobs) assert.equal(await blobStatus(scene, 'app', blob), 200)
    },
    { stores },
  )
}

check('a blob that two repositories hold is condemned with the last of them', async (scene) => {
  const bytes = someBytes()
  const digest = await scene.pushBlob('one', bytes)
  scene.advance(hourMs / 2)
  await scene.pushBlob('two', bytes)
  scene.advance(hourMs / 2 + 1)
  const first = await collect(scene)
  assert.deepEqual([countOf(first.report, 'unlinked'), countOf(first.report, 'condemned')], [1, 0])
  assert.equal(await blobStatus(scene, 'one', digest), 404)
  assert.equal(await blobStatus(scene, 'two', digest), 200)
  scene.advance(hourMs / 2 + 1)
  assert.equal(countOf((await collect(scene)).report, 'condemned'), 1)
  assert.equal(await blobStatus(scene, 'two', digest), 404)
})

check('a blob that a manifest names has no lease, whenever it was pushed', async (scene) => {
  const image = await pushImage(scene, 'app', { tag: 'v1' })
  scene.advance(400 * dayMs)
  assert.equal(countOf((await collect(scene)).report, 'condemned'), 0)
  assert.equal((await scene.send('DELETE', `/v2/app/manifests/${image.digest}`)).status, 202)
  assert.equal(countOf((await collect(scene)).report, 'condemned'), 0)
  scene.advance(hourMs + 1)
  assert.equal(countOf((await collect(scene)).report, 'condemned'), 2)
  scene.advance(windowMs + 1)
  const { report } = await collect(scene)
  assert.deepEqual([countOf(report, 'destroyed'), countOf(report, 'forgotten')], [2, 1])
  for (const blob of image.blobs) assert.equal(await isOnDisk(scene, blob), false)
})

check(
  'a dry run finds what a run does, and leaves every byte as it is',
  async (scene) => {
    const shared = someBytes()
    await scene.pushBlob('one', shared)
    await scene.pushBlob('two', shared)
    const kept = await pushImage(scene, 'one', { tag: 'v1', layers: [someBytes(), shared] })
    for (let i = 0; i < 5; i++) await scene.pushBlob('one', someBytes(10 + i))
    const gone = await pushImage(scene, 'two')
    await scene.send('DELETE', `/v2/two/manifests/${gone.digest}`)
    scene.advance(hourMs + 1)
    const dump = new StoreDump(scene.disk.rootDir ?? '')
    try {
      for (const step of ['condemn', 'destroy']) {
        const before = await dump.lines()
        const dry = await collect(scene, {}, { dryRun: true })
        assert.deepEqual(await dump.lines(), before)
        assert.deepEqual(dry.deeds, [])
        const real = await collect(scene)
        assert.deepEqual(deedsOf(dry.report), deedsOf(real.report), step)
        assert.ok(real.deeds.length > 5)
        scene.advance(windowMs + 1)
      }
      const clean = await dump.lines()
      await collect(scene)
      assert.deepEqual(await dump.lines(), clean)
    } finally {
      await dump.close()
    }
    assert.equal(await manifestStatus(scene, 'one', kept.digest), 200)
  },
  { stores: 'lmdb' },
)

check('nothing is condemned or destroyed in the tree of another registry', async (scene) => {
  const digest = await scene.pushBlob('app', someBytes())
  scene.advance(hourMs + 1)
  await collect(scene)
  const other = await scene.pushBlob('app', someBytes())
  scene.advance(windowMs + hourMs)
  await scene.metadata.setAdoption({ sinceMs: scene.nowMs, of: 'docker-registry' })
  const { report, deeds } = await collect(scene)
  assert.deepEqual(deeds, [])
  assert.match(report.summary.join('\n'), /those of docker-registry/)
  assert.equal(await isOnDisk(scene, digest), true)
  assert.equal(await blobStatus(scene, 'app', other), 200)
  await scene.metadata.setAdoption(undefined)
  assert.equal(countOf((await collect(scene)).report, 'destroyed'), 1)
})

check('nothing is destroyed while a backup runs, and all is after it', async (scene) => {
  const digest = await scene.pushBlob('app', someBytes())
  scene.advance(hourMs + 1)
  await collect(scene)
  scene.advance(windowMs + 1)
  const claim = { kind: 'backup', run: 'b', owner: 'process 1', input: {}, nowMs: scene.nowMs }
  const backup = await scene.metadata.claimJob({ ...claim, kind: 'backup' }, () => false)
  assert.ok(backup)
  const { report } = await collect(scene)
  assert.equal(countOf(report, 'destroyed'), 0)
  assert.match(report.summary.join('\n'), /a backup is running/)
  assert.equal(await isOnDisk(scene, digest), true)
  await scene.metadata.saveJob('backup', backup as { owner: string; fence: number }, {
    ...{ nowMs: scene.nowMs, end: { report: {}, isStopped: false } },
  })
  assert.equal(countOf((await collect(scene)).report, 'destroyed'), 1)
  assert.equal(await isOnDisk(scene, digest), false)
})

check('a backup whose process is gone is no obstacle', async (scene) => {
  await scene.pushBlob('app', someBytes())
  scene.advance(hourMs + 1)
  await collect(scene)
  scene.advance(windowMs + 1)
  // Of another boot of the host.
  const owner = '1/1/00000000-0000-0000-0000-000000000000/4026531836'
  const claim = { run: 'b', owner, input: {}, nowMs: scene.nowMs }
  await scene.metadata.claimJob({ kind: 'backup', ...claim }, () => false)
  assert.equal(countOf((await collect(scene)).report, 'destroyed'), 1)
})

check('a run that is asked to stop says how far it came, and the next goes on', async (scene) => {
  const unused: Digest[] = []
  for (let i = 0; i < 250; i++) unused.push(await scene.pushBlob('app', someBytes(8)))
  scene.advance(hourMs + 1)
  const stop = new AbortController()
  let turns = 0
  const { report } = await collect(
    scene,
    {},
    {},
    {
      signal: stop.signal,
      onPace: () => {
        turns += 1
        if (turns === 2) stop.abort()
      },
    },
  )
  assert.equal(report.details['isCut'], true)
  assert.equal(countOf(report, 'condemned'), 20)
  assert.equal(countOf((await collect(scene)).report, 'condemned'), 230)
  for (const digest of unused) assert.equal(await blobStatus(scene, 'app', digest), 404)
})

check('a file that cannot be removed is told, and stops nothing', async (scene) => {
  const first = await scene.pushBlob('app', someBytes())
  const second = await scene.pushBlob('app', someBytes())
  scene.advance(hourMs + 1)
  await collect(scene)
  scene.advance(windowMs + 1)
  const { remove } = scene.disk.blobs
  scene.disk.blobs.remove = async (digest, options) => {
    if (digest === first) {
      const { StorageError } = await import('../../../src/storage/error.ts')
      throw new StorageError('unavailable', 'the disk says no')
    }
    return remove.call(scene.disk.blobs, digest, options)
  }
  await scene.restart()
  const { report } = await collect(scene)
  assert.equal(report.ok, false)
  assert.match(report.summary.join('\n'), /the disk says no/)
  assert.equal(await isOnDisk(scene, second), false)
  scene.disk.blobs.remove = remove
  await scene.restart()
  const next = await collect(scene)
  assert.equal(next.report.ok, true)
  assert.equal(countOf(next.report, 'finished'), 1)
  assert.equal(await isOnDisk(scene, first), false)
})

check(
  'what is destroyed is overwritten, but for files with other names',
  async (scene) => {
    const [mine, backedUp] = [someBytes(5000), someBytes(6000)]
    const first = await scene.pushBlob('app', mine)
    const second = await scene.pushBlob('app', backedUp)
    const hex = digestHex(second)
    const { rootDir = '' } = scene.disk
    const copy = join(rootDir, 'copy')
    await link(join(rootDir, 'blobs', 'sha256', hex.slice(0, 2), hex, 'data'), copy)
    scene.advance(hourMs + 1)
    await collect(scene, { overwrite: true })
    scene.advance(windowMs + 1)
    const { report } = await collect(scene, { overwrite: true })
    assert.equal(countOf(report, 'destroyed'), 2)
    assert.deepEqual(report.details['overwritten'], { count: 1, bytes: 5000 })
    assert.deepEqual(report.details['hardLinked'], { count: 1, bytes: 6000 })
    assert.deepEqual(await readFile(copy), backedUp)
    for (const digest of [first, second]) assert.equal(await isOnDisk(scene, digest), false)
  },
  { stores: 'lmdb' },
)

test('gc: a kill at any step loses nothing, and the next run ends where it would have', async () => {
  for (const isAfter of [false, true]) {
    let isThrough = false
    for (let steps = 0; !isThrough; steps++) {
      await withScene({}, async (scene) => {
        isThrough = await dieAndGoOn(scene, steps, isAfter)
      })
    }
  }
})

/** Answers whether the run was over before the kill. */
async function dieAndGoOn(scene: MaintainScene, steps: number, isAfter: boolean): Promise<boolean> {
  const kept = await pushImage(scene, 'app', { tag: 'v1' })
  const old = await scene.pushBlob('app', someBytes())
  scene.advance(hourMs + 1)
  await collect(scene)
  scene.advance(windowMs + 1)
  const young = await scene.pushBlob('app', someBytes())
  scene.advance(hourMs + 1)
  const { life } = scene
  life.dieIn(steps, isAfter)
  let isOver = false
  collect(scene, { overwrite: true }).then(() => {
    isOver = true
  }, assert.fail)
  await until('the run or the process is over', () => isOver || life.isOver)
  await scene.restart()
  await collect(scene, { overwrite: true })
  const what = `killed ${isAfter ? 'after' : 'before'} step ${steps}`
  assert.equal(await isOnDisk(scene, old), false, what)
  assert.equal(await isOnDisk(scene, young), true, what)
  assert.equal(await blobStatus(scene, 'app', young), 404, what)
  assert.deepEqual(await scene.metadata.listDestroying(1), [], what)
  for (const blob of kept.blobs) assert.equal(await blobStatus(scene, 'app', blob), 200, what)
  const left = await scene.metadata.listDropped({ limit: 10 })
  assert.deepEqual(new Set(left.map(({ digest }) => digest)), new Set([young]), what)
  assert.deepEqual(await scene.metadata.repositoriesHolding(young, 1), [], what)
  assert.ok(await scene.metadata.readBlob(named('app'), kept.blobs[0]!), what)
  return isOver
}
