// Goal: a full file system refuses as such, leaves nothing half made, and serves again with room.
// Method: a real small tmpfs, filled by inodes and by bytes.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { open, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { digestOfBytes } from '../../../../src/oci/digest.ts'
import { newUploadId } from '../../../../src/oci/upload-id.ts'
import { StorageError } from '../../../../src/storage/error.ts'
import { needsTmpfs, withTmpfs } from '../../../support/small-tmpfs.ts'
import { openFsScene } from './scene.ts'

function isFull(error: unknown): boolean {
  return error instanceof StorageError && error.kind === 'full'
}

/** Take every byte that is left. */
async function fill(path: string): Promise<void> {
  const file = await open(path, 'w')
  const chunk = Buffer.alloc(4096)
  try {
    for (;;) await file.write(chunk)
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC')
  } finally {
    await file.close()
  }
}

test('readiness tells that the file system is full', needsTmpfs, async () => {
  await withTmpfs(8 << 20, async (path) => {
    const scene = await openFsScene(path)
    await fill(join(path, 'filler'))
    await assert.rejects(scene.store.probe(), isFull)
    await rm(join(path, 'filler'))
    await scene.store.probe()
    await scene.close()
  })
})

test(
  'a publish without room is refused as full and works when there is some',
  needsTmpfs,
  async () => {
    await withTmpfs(8 << 20, async (path) => {
      const scene = await openFsScene(path)
      const bytes = Buffer.from('a layer')
      const digest = digestOfBytes('sha256', bytes)
      const upload = newUploadId(randomUUID)
      await scene.stage(upload, bytes)
      // A publish needs names, not bytes: use up the inodes.
      const fillers: string[] = []
      try {
        for (;;) {
          const filler = join(path, `filler-${fillers.length}`)
          await writeFile(filler, '')
          fillers.push(filler)
        }
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC')
      }
      await assert.rejects(scene.store.publish(upload, digest, bytes.length), isFull)
      assert.equal(await scene.store.size(digest), undefined)
      assert.equal(await scene.store.stagedSize(upload), bytes.length)
      for (const filler of fillers) await rm(filler)
      await scene.store.publish(upload, digest, bytes.length)
      assert.equal(await scene.store.size(digest), bytes.length)
      await scene.store.discard(upload)
      await scene.close()
    })
  },
)
