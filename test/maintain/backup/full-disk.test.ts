// Goal: a disk that fills up during a backup, or a restore, is told of, and leaves what was there before good.
// Method: small file systems of their own.

import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { Layout } from '../../../src/maintain/backup/layout.ts'
import { listSnapshotIds } from '../../../src/maintain/backup/snapshot.ts'
import { verifyBackup } from '../../../src/maintain/backup/verify.ts'
import { StorageError } from '../../../src/storage/error.ts'
import { seededBytes } from '../../support/images.ts'
import { needsTmpfs, withTmpfs } from '../../support/small-tmpfs.ts'
import { opened, restoreTo } from './restored.ts'
import { backupJob, filesIn, pushImage, withBackup } from './scene.ts'

test('a backup for which there is no room leaves the earlier ones good', needsTmpfs, () =>
  withTmpfs(6 << 20, (disk) =>
    withBackup(async (scene) => {
      const to = join(disk, 'backup')
      await mkdir(to)
      await pushImage(scene, 'team/app', 'v1')
      assert.equal((await scene.run(backupJob(), { to })).report.ok, true)
      for (let i = 0; i < 8; i++) {
        await scene.pushBlob('team/app', seededBytes(`large ${i}`, 1 << 20))
      }
      scene.advance(1_000)
      await assert.rejects(scene.run(backupJob(), { to }), /no room is left in/)
      const layout = new Layout(to)
      assert.equal((await listSnapshotIds(layout)).length, 1)
      const files = await filesIn(to)
      assert.deepEqual(
        files.filter((file) => /^(tmp|locks)/.test(file)),
        [],
      )
      const { faults } = await verifyBackup(layout, {
        ...{ at: undefined, isQuick: false, ingest: scene.disk.ingest, onProgress: () => {} },
        signal: new AbortController().signal,
      })
      assert.deepEqual(faults, [])
    }),
  ),
)

test('a restore for which there is no room goes on once there is', needsTmpfs, () =>
  withBackup((scene, to) =>
    withTmpfs(12 << 20, async (disk) => {
      await pushImage(scene, 'team/app', 'v1')
      for (let i = 0; i < 4; i++) {
        await scene.pushBlob('team/app', seededBytes(`large ${i}`, 1 << 20))
      }
      await scene.run(backupJob(), { to })
      const rootDir = join(disk, 'store')
      const ballast = join(disk, 'ballast')
      await writeFile(ballast, Buffer.alloc(9 << 20))
      const isFull = (error: unknown): boolean =>
        error instanceof StorageError && error.kind === 'full'
      await assert.rejects(restoreTo(rootDir, to), isFull)
      await writeFile(ballast, '')
      await restoreTo(rootDir, to)
      await opened(rootDir, async ({ metadata }) => {
        assert.equal(metadata.readUsage('').tags, 1)
      })
    }),
  ),
)
