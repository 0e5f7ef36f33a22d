// Goal: a backup holds all that its moment held, a second one costs what has changed, and what is wrong is told.
// Method: a registry in this process on LMDB and files; the directory is looked at as files.

import assert from 'node:assert/strict'
import { mkdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { Layout } from '../../../src/maintain/backup/layout.ts'
import { lackedBy, listSnapshotIds, readSnapshot } from '../../../src/maintain/backup/snapshot.ts'
import { digestOfBytes } from '../../../src/oci/digest.ts'
import { dataKey } from '../../../src/storage/blob/keys.ts'
import { repository } from '../../contract/metadata/scene.ts'
import { breaches } from '../../simulate/metadata-invariants.ts'
import { withScene } from '../../support/maintain.ts'
import { withRestored } from './restored.ts'
import { backupJob, filesIn, pushImage, withBackup, withFolder } from './scene.ts'

interface Details {
  readonly snapshot: string
  readonly copied: { readonly count: number; readonly bytes: number }
  readonly segments: { readonly count: number; readonly written: number }
  readonly missing: {
    readonly count: number
    readonly blobs: readonly { readonly digest: string; readonly reason: string }[]
  }
}

test('a backup holds every blob and says what it is', () =>
  withBackup(async (scene, to) => {
    const { blobs } = await pushImage(scene, 'team/app', 'v1')
    await pushImage(scene, 'team/app', 'v2')
    const { report } = await scene.run(backupJob(), { to })
    assert.equal(report.ok, true, report.summary.join('\n'))
    const layout = new Layout(to)
    for (const digest of blobs) {
      assert.equal(digestOfBytes('sha256', await readFile(layout.blob(digest))), digest)
    }
    const [id] = await listSnapshotIds(layout)
    const snapshot = await readSnapshot(layout, id!)
    assert.deepEqual(
      [snapshot.repositories, snapshot.tags, snapshot.manifests, snapshot.blobs.count],
      [1, 2, 2, 4],
    )
    assert.equal(snapshot.takenAtMs, scene.nowMs)
    assert.equal((report.details as unknown as Details).snapshot, id)
    const files = await filesIn(to)
    assert.ok(!files.some((file) => /^(tmp|locks)/.test(file)), files.join('\n'))
  }))

test('a second backup copies nothing, and a third only what has changed', () =>
  withBackup(async (scene, to) => {
    for (let i = 0; i < 20; i++) await pushImage(scene, 'team/app', `v${i}`)
    await scene.run(backupJob(), { to })
    const before = await filesIn(to)
    scene.advance(1000)
    const second = (await scene.run(backupJob(), { to })).report.details as unknown as Details
    assert.deepEqual(second.copied, { count: 0, bytes: 0 })
    assert.equal(second.segments.written, 0)
    assert.equal((await filesIn(to)).length, before.length + 1, 'the snapshot alone is new')
    await pushImage(scene, 'team/app', 'new')
    scene.advance(1000)
    const third = (await scene.run(backupJob(), { to })).report.details as unknown as Details
    assert.equal(third.copied.count, 2)
    assert.ok(third.segments.written >= 1 && third.segments.written <= 3)
  }))

test('what is in a backup is for its owner alone', () =>
  withBackup(async (scene, to) => {
    await pushImage(scene, 'team/app', 'v1')
    await scene.run(backupJob(), { to })
    for (const file of await filesIn(to)) {
      assert.equal((await stat(join(to, file))).mode & 0o777, 0o600, file)
    }
    for (const folder of ['snapshots', 'segments', 'blobs', 'blobs/sha256']) {
      assert.equal((await stat(join(to, folder))).mode & 0o777, 0o700, folder)
    }
  }))

test('a dry run writes nothing, and tells what would be done', () =>
  withBackup(async (scene, to) => {
    await pushImage(scene, 'team/app', 'v1')
    const { report } = await scene.run(backupJob(), { to, dryRun: true })
    assert.deepEqual(await filesIn(to), [])
    assert.equal((report.details as unknown as Details).copied.count, 2)
    await scene.run(backupJob(), { to })
    const files = await filesIn(to)
    const again = await scene.run(backupJob(), { to, dryRun: true })
    assert.equal((again.report.details as unknown as Details).copied.count, 0)
    assert.deepEqual(await filesIn(to), files)
  }))

test('blobs that are gone, cut off or changed are told of, and none of them is in the backup', () =>
  withBackup(async (scene, to) => {
    const [gone, short, changed] = await Promise.all(
      ['gone', 'short', 'changed'].map((text) => scene.pushBlob('team/app', Buffer.from(text))),
    )
    const good = await scene.pushBlob('team/app', Buffer.from('good'))
    const path = (digest: typeof good): string => join(scene.disk.rootDir!, dataKey(digest))
    await rm(path(gone!))
    await truncate(path(short!), 2)
    await writeFile(path(changed!), 'CHANGED')
    const { report } = await scene.run(backupJob(), { to })
    assert.equal(report.ok, false)
    const { missing } = report.details as unknown as Details
    assert.deepEqual(
      new Set(missing.blobs.map(({ digest }) => digest)),
      new Set([gone, short, changed]),
    )
    const blobs = (await filesIn(to)).filter((file) => file.startsWith('blobs'))
    assert.equal(blobs.length, 1)
    // Once the bytes are back, the next one has them.
    await writeFile(path(changed!), 'changed')
    const next = (await scene.run(backupJob(), { to })).report.details as unknown as Details
    assert.equal(next.missing.count, 2)
    assert.equal(next.copied.count, 1)
  }))

test('a blob that is found lost and put out of the way meanwhile is lacking, and no garbage', () =>
  withBackup(async (scene, to) => {
    const { blobs } = await pushImage(scene, 'team/app', 'v1')
    const [, layer] = blobs
    await rm(join(scene.disk.rootDir!, dataKey(layer!)))
    const onPace = (): unknown => scene.metadata.openAudit().quarantineBlob(layer!, () => false)
    const { report } = await scene.run(backupJob(), { to }, { onPace })
    assert.equal(report.ok, false, report.summary.join('\n'))
    const { missing } = report.details as unknown as Details
    assert.deepEqual(
      missing.blobs.map(({ digest }) => digest),
      [layer],
    )
  }))

test('garbage that goes while it is being backed up is no fault, and is restored as absent', () =>
  withBackup(async (scene, to) => {
    const { metadata, nowMs, graceMs } = scene
    const app = repository('team/app')
    const kept = await pushImage(scene, 'team/app', 'v1')
    const garbage = await scene.pushBlob('team/app', Buffer.from('garbage'))
    scene.advance(graceMs + 1)
    const by = { nowMs: scene.nowMs, run: 'run' }
    await metadata.condemn([{ untilMs: nowMs + graceMs, digest: garbage, repository: app }], by)
    // A collector that had looked for backups just before this one began.
    const destroy = async (): Promise<void> => {
      const dropped = await metadata.listDropped({ limit: 10 })
      const doomed = await metadata.beginDestroy(dropped)
      for (const { digest } of doomed) await scene.blobs.remove(digest)
      await metadata.endDestroy(doomed.map(({ digest }) => digest))
    }
    let destroyed: Promise<void> | undefined
    const onPace = (): Promise<void> => {
      destroyed ??= destroy()
      return destroyed
    }
    const { report } = await scene.run(backupJob(), { to }, { onPace })
    assert.equal(report.ok, true, report.summary.join('\n'))
    assert.equal(
      (await readSnapshot(new Layout(to), (report.details as unknown as Details).snapshot)).missing
        .length,
      1,
    )
    await withRestored(to, {}, async (store, { lacking }) => {
      assert.deepEqual(lacking, [])
      assert.ok(store.metadata.readBlob(app, kept.blobs[0]!))
      assert.equal(store.metadata.readBlob(app, garbage), undefined)
      const dropped = store.metadata.listDropped({ limit: 10 })
      const back = await store.metadata.restoreDropped(dropped, { nowMs: 1, leaseUntilMs: 2 })
      assert.equal(store.metadata.readBlob(app, garbage), undefined, String(back))
      assert.deepEqual(breaches(store.records.reader), [])
    })
  }))

test('hard links take no room, and a changed blob among them is refused', () =>
  withBackup(async (scene, to) => {
    const good = await scene.pushBlob('team/app', Buffer.from('good'))
    const bad = await scene.pushBlob('team/app', Buffer.from('bad'))
    await writeFile(join(scene.disk.rootDir!, dataKey(bad)), 'BAD')
    const { report } = await scene.run(backupJob(), { to, link: true })
    assert.equal(report.ok, false)
    assert.equal((await stat(new Layout(to).blob(good))).nlink, 2)
    assert.equal((await stat(join(scene.disk.rootDir!, dataKey(bad)))).nlink, 1)
    const overwriting = backupJob({ overwrites: true })
    await assert.rejects(scene.run(overwriting, { to, link: true }), /gc\.overwrite/)
  }))

test('a directory that is in the store, absent, foreign or of another store is refused', () =>
  withBackup(async (scene, to) => {
    await pushImage(scene, 'team/app', 'v1')
    const rootDir = scene.disk.rootDir!
    const inside = join(rootDir, 'backup')
    await mkdir(inside)
    await symlink(rootDir, join(to, 'way'))
    const job = backupJob({ storePaths: [rootDir] })
    await assert.rejects(scene.run(job, { to: inside }), /lies in the store itself/)
    await assert.rejects(scene.run(job, { to: join(to, 'way', 'backup') }), /lies in the store/)
    await assert.rejects(scene.run(job, { to: join(rootDir, '..') }), /the store lies in/)
    await assert.rejects(scene.run(job, { to: join(to, 'absent') }), /is not there: mount its disk/)
    await assert.rejects(scene.run(job, { to }), /is no backup directory, and it is not empty/)
    await rm(join(to, 'way'))
    await scene.run(job, { to })
    await withScene({}, async (other) => {
      await assert.rejects(other.run(job, { to }), /holds backups of another store/)
      await assert.rejects(other.run(job, { to, dryRun: true }), /another store/)
    })
    const identity = JSON.parse(await readFile(new Layout(to).identity, 'utf8'))
    await writeFile(new Layout(to).identity, JSON.stringify({ ...identity, format: 2 }))
    await assert.rejects(scene.run(job, { to }), /has format 2, and this version reads 1/)
  }))

test('the input is checked', () => {
  const error = (input: unknown): string => {
    const parsed = backupJob().parse(input)
    return 'error' in parsed ? parsed.error : 'none'
  }
  assert.match(error({}), /absolute path/)
  assert.match(error({ to: 'relative' }), /absolute path/)
  assert.match(error({ to: '/x', link: 'yes' }), /link/)
  assert.match(error({ to: '/x', dryRun: 1 }), /dryRun/)
  assert.equal(error({ to: '/x' }), 'none')
})

test('a run that is stopped makes no snapshot, and the next one goes on with what it has copied', () =>
  withBackup(async (scene, to) => {
    for (let i = 0; i < 5; i++) await pushImage(scene, 'team/app', `v${i}`)
    const stop = new AbortController()
    let paces = 0
    const onPace = (): void => {
      paces += 1
      if (paces === 12) stop.abort()
    }
    await assert.rejects(scene.run(backupJob(), { to }, { signal: stop.signal, onPace }))
    assert.deepEqual(await listSnapshotIds(new Layout(to)), [])
    const copied = (await filesIn(to)).filter((file) => file.startsWith('blobs')).length
    assert.ok(copied > 0 && copied < 10, `${copied} of 10`)
    const { report } = await scene.run(backupJob(), { to })
    assert.equal(report.ok, true)
    assert.equal((report.details as unknown as Details).copied.count, 10 - copied)
  }))

test('a store in memory can be backed up, too, but not by links', () =>
  withFolder((to) =>
    withScene({}, async (scene) => {
      const { blobs } = await pushImage(scene, 'team/app', 'v1')
      await assert.rejects(scene.run(backupJob(), { to, link: true }), /not in files/)
      const { report } = await scene.run(backupJob(), { to })
      assert.equal(report.ok, true)
      for (const digest of blobs) await stat(new Layout(to).blob(digest))
    }),
  ))

test('a blob that was out of the way before the backup is lacking, where a manifest needs it', () =>
  withBackup(async (scene, to) => {
    const { blobs } = await pushImage(scene, 'team/app', 'v1')
    const [config] = blobs
    const spare = await scene.pushBlob('team/app', Buffer.from('of no manifest'))
    const audit = scene.metadata.openAudit()
    for (const digest of [config!, spare]) await audit.quarantineBlob(digest, () => false)
    for (const dryRun of [true, false]) {
      const { report } = await scene.run(backupJob(), { to, dryRun })
      assert.equal(report.ok, false)
      assert.match(report.summary.join('\n'), new RegExp(`not in the backup: ${config}: its bytes`))
      assert.doesNotMatch(report.summary.join('\n'), new RegExp(spare))
    }
    const layout = new Layout(to)
    const [id] = await listSnapshotIds(layout)
    assert.deepEqual(
      lackedBy(await readSnapshot(layout, id!)).map(({ digest }) => digest),
      [config],
    )
  }))

test('a snapshot of a clock that was wrong is not the latest for ever', () =>
  withBackup(async (scene, to) => {
    const nowMs = scene.nowMs
    await pushImage(scene, 'team/app', 'v1')
    const layout = new Layout(to)
    scene.advance(365 * 86_400_000)
    await scene.run(backupJob(), { to })
    scene.advance(nowMs - scene.nowMs)
    await pushImage(scene, 'team/app', 'v2')
    const taken: number[] = []
    for (const tag of ['v3', 'v4']) {
      await scene.run(backupJob(), { to })
      const [latest] = (await listSnapshotIds(layout)).slice(-1)
      taken.push((await readSnapshot(layout, latest!)).tags)
      await pushImage(scene, 'team/app', tag)
    }
    assert.deepEqual(taken, [2, 3])
  }))
