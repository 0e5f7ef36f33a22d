// Goal: whatever happens to a file of a backup, verify names it, restore refuses it, and prune removes nothing on
// the word of it. Method: a backup of two snapshots; each kind of damage on a copy of it, beside decoys.

import assert from 'node:assert/strict'
import { cp, mkdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { test } from 'node:test'
import { Layout } from '../../../src/maintain/backup/layout.ts'
import { pruneBackup } from '../../../src/maintain/backup/prune.ts'
import { listSnapshotIds, readSnapshot } from '../../../src/maintain/backup/snapshot.ts'
import { type VerifyResult, verifyBackup } from '../../../src/maintain/backup/verify.ts'
import type { IngestPool } from '../../../src/offload/contract.ts'
import { restoreTo } from './restored.ts'
import { backupJob, filesIn, pushImage, withBackup, withFolder } from './scene.ts'

interface Damage {
  readonly title: string
  /** Which files may be hurt; the first one is. */
  readonly of: RegExp
  readonly hurt: (path: string) => Promise<unknown>
  readonly problem: RegExp
  /** Found by sizes alone, too. */
  readonly isQuick: boolean
}

const flip = async (path: string): Promise<void> => {
  const bytes = await readFile(path)
  const at = bytes.length >> 1
  bytes[at] = (bytes[at] ?? 0) ^ 1
  await writeFile(path, bytes)
}

const damages: readonly Damage[] = [
  {
    title: 'a changed bit of a blob',
    of: /^blobs/,
    hurt: flip,
    problem: /do not have its digest/,
    isQuick: false,
  },
  {
    title: 'a blob that is cut off',
    of: /^blobs/,
    hurt: (path) => truncate(path, 3),
    problem: /3 bytes instead of/,
    isQuick: true,
  },
  {
    title: 'a blob that has grown',
    of: /^blobs/,
    hurt: (path) => writeFile(path, 'more', { flag: 'a' }),
    problem: /bytes instead of/,
    isQuick: true,
  },
  { title: 'a blob that is gone', of: /^blobs/, hurt: rm, problem: /is not there/, isQuick: true },
  {
    title: 'a blob that is a link elsewhere',
    of: /^blobs/,
    hurt: async (path) => {
      await cp(path, `${path}.kept`)
      await rm(path)
      await symlink(`${path}.kept`, path)
    },
    problem: /is not a file/,
    isQuick: true,
  },
  {
    title: 'a changed bit of a segment',
    of: /^segments/,
    hurt: flip,
    problem: /cannot be decompressed|has another digest/,
    isQuick: true,
  },
  {
    title: 'a segment that is cut off',
    of: /^segments/,
    hurt: (path) => truncate(path, 20),
    problem: /cannot be decompressed/,
    isQuick: true,
  },
  {
    title: 'a segment that is gone',
    of: /^segments/,
    hurt: rm,
    problem: /not there/,
    isQuick: true,
  },
  {
    title: 'a segment that is another one',
    of: /^segments/,
    hurt: (path) => writeFile(path, Buffer.from('1f8b0800000000000003030000000000', 'hex')),
    problem: /cannot be decompressed|has another digest/,
    isQuick: true,
  },
  {
    title: 'a changed bit of a snapshot',
    of: /^snapshots/,
    hurt: flip,
    problem: /is damaged|cannot be read/,
    isQuick: true,
  },
  {
    title: 'a snapshot that is empty',
    of: /^snapshots/,
    hurt: (path) => truncate(path, 0),
    problem: /is damaged/,
    isQuick: true,
  },
  {
    title: 'the file that says whose it is, emptied',
    of: /^keelson-backup/,
    hurt: (path) => truncate(path, 0),
    problem: /cannot be read/,
    isQuick: true,
  },
]

function verify(root: string, ingest: IngestPool, isQuick: boolean): Promise<VerifyResult> {
  return verifyBackup(new Layout(root), {
    ...{ at: undefined, isQuick, ingest, signal: new AbortController().signal },
    onProgress: () => {},
  })
}

test('every damage is found, where it is, and never restored', () =>
  withBackup(async (scene, to) => {
    await pushImage(scene, 'team/app', 'v1')
    await scene.run(backupJob(), { to })
    scene.advance(60_000)
    await pushImage(scene, 'team/app', 'v2')
    await scene.run(backupJob(), { to })
    const { ingest } = scene.disk
    const whole = await verify(to, ingest, false)
    assert.deepEqual(
      [whole.faults, whole.incomplete, whole.orphans],
      [[], [], { count: 0, bytes: 0 }],
    )
    assert.deepEqual([whole.snapshots, whole.blobs.count], [2, 4])
    const older = await filesOfOlder(to)
    for (const { title, of, hurt, problem, isQuick } of damages) {
      await withFolder(async (copy) => {
        await cp(to, copy, { recursive: true })
        const file = (await filesIn(copy)).findLast((path) => of.test(path) && !older.has(path))
        assert.ok(file)
        await hurt(join(copy, file))
        const before = await filesIn(copy)
        const { faults } = await verify(copy, ingest, false)
        assert.deepEqual(
          faults.map(({ path }) => path),
          [file],
          title,
        )
        assert.match(faults[0]?.problem ?? '', problem, title)
        const quick = await verify(copy, ingest, true)
        assert.equal(quick.faults.length, isQuick ? 1 : 0, title)
        await withFolder((rootDir) => assert.rejects(restoreTo(rootDir, copy), problem, title))
        assert.deepEqual(await filesIn(copy), before, 'nothing was written there')
      })
    }
  }))

/** Segments that the latest snapshot does without. */
async function filesOfOlder(root: string): Promise<ReadonlySet<string>> {
  const layout = new Layout(root)
  const [first, last] = await Promise.all(
    (await listSnapshotIds(layout)).map((id) => readSnapshot(layout, id)),
  )
  const latest = new Set(last?.segments.map(({ digest }) => digest))
  const only = (first?.segments ?? []).filter(({ digest }) => !latest.has(digest))
  return new Set(only.map(({ digest }) => relative(root, layout.segment(digest))))
}

test('what is of no snapshot is counted, and left alone until a prune; foreign files stay', () =>
  withBackup(async (scene, to) => {
    await pushImage(scene, 'team/app', 'v1')
    await scene.run(backupJob(), { to })
    const layout = new Layout(to)
    const orphan = layout.blob(await scene.pushBlob('x', Buffer.from('other')))
    await mkdir(join(orphan, '..'), { recursive: true })
    await writeFile(orphan, 'other')
    const foreign = join(to, 'blobs', 'sha256', 'README')
    await writeFile(foreign, 'mine')
    const inPrefix = join(orphan, '..', 'notes.txt')
    await writeFile(inPrefix, 'mine')
    const { faults, orphans } = await verify(to, scene.disk.ingest, false)
    assert.deepEqual([faults, orphans], [[], { count: 2, bytes: 9 }])
    const { files } = await prune(to, 1)
    assert.deepEqual(files, { count: 1, bytes: 5 })
    assert.equal(await readFile(foreign, 'utf8'), 'mine')
    assert.equal(await readFile(inPrefix, 'utf8'), 'mine')
    assert.equal((await verify(to, scene.disk.ingest, false)).faults.length, 0)
  }))

function prune(root: string, keep: number, isDryRun = false): ReturnType<typeof pruneBackup> {
  return pruneBackup(new Layout(root), {
    ...{ keep, isDryRun, signal: new AbortController().signal },
    randomUuid: () => crypto.randomUUID(),
  })
}

test('a prune keeps the latest complete snapshots and all they name, and frees the rest', () =>
  withBackup(async (scene, to) => {
    const { manifest } = await pushImage(scene, 'team/app', 'old')
    await scene.run(backupJob(), { to })
    await scene.send('DELETE', `/v2/team/app/manifests/${manifest}`)
    for (let i = 0; i < 3; i++) {
      scene.advance(60_000)
      await pushImage(scene, 'team/app', `v${i}`)
      await scene.run(backupJob(), { to })
    }
    const ids = await listSnapshotIds(new Layout(to))
    assert.equal(ids.length, 4)
    const files = await filesIn(to)
    const dry = await prune(to, 2, true)
    assert.deepEqual([dry.dropped, dry.kept], [ids.slice(0, 2), ids.slice(2)])
    assert.deepEqual(await filesIn(to), files)
    const { dropped, files: freed } = await prune(to, 2)
    assert.deepEqual(dropped, ids.slice(0, 2))
    assert.deepEqual(freed, dry.files)
    const { faults, orphans, snapshots } = await verify(to, scene.disk.ingest, false)
    assert.deepEqual([faults, orphans, snapshots], [[], { count: 0, bytes: 0 }, 2])
    assert.deepEqual((await prune(to, 5)).dropped, [])
    await withFolder(async (rootDir) => void (await restoreTo(rootDir, to)))
  }))

test('an incomplete snapshot takes no place of a complete one', () =>
  withBackup(async (scene, to) => {
    await pushImage(scene, 'team/app', 'v1')
    await scene.run(backupJob(), { to })
    const { blobs } = await pushImage(scene, 'team/app', 'v2')
    await scene.blobs.remove(blobs[0]!)
    for (let i = 0; i < 2; i++) {
      scene.advance(60_000)
      assert.equal((await scene.run(backupJob(), { to })).report.ok, false)
    }
    const [good] = await listSnapshotIds(new Layout(to))
    assert.deepEqual((await prune(to, 1)).dropped, [])
    const { faults, incomplete } = await verify(to, scene.disk.ingest, false)
    assert.deepEqual(faults, [], 'what a snapshot says that it lacks is no fault')
    assert.equal(incomplete.length, 2)
    await withFolder(async (rootDir) => void (await restoreTo(rootDir, to, { at: good! })))
  }))

test('a prune removes nothing where a snapshot or what it names cannot be read', () =>
  withBackup(async (scene, to) => {
    for (const tag of ['v1', 'v2', 'v3']) {
      await pushImage(scene, 'team/app', tag)
      scene.advance(60_000)
      await scene.run(backupJob(), { to })
    }
    for (const of of [/^snapshots/, /^segments/]) {
      await withFolder(async (copy) => {
        await cp(to, copy, { recursive: true })
        for (const file of (await filesIn(copy)).filter((path) => of.test(path))) {
          await truncate(join(copy, file), 5)
        }
        const before = await filesIn(copy)
        await assert.rejects(prune(copy, 1), /is damaged|nothing was removed/)
        assert.deepEqual(await filesIn(copy), before)
      })
    }
  }))
