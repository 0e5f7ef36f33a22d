// Goal: whatever way a watched file changes, it is noticed. Method: real folders and links.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, realpath, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { FileWatch, stampOf, stepsOf } from '../../src/file-watch/watch-files.ts'
import { until } from '../support/until.ts'

describe('watching files', () => {
  let folder: string
  let watch: FileWatch
  let changes: number
  beforeEach(async () => {
    folder = await realpath(await mkdtemp(join(tmpdir(), 'keelson-watch-')))
    changes = 0
    watch = new FileWatch(() => {
      changes += 1
    })
    await mkdir(join(folder, 'a'))
    await mkdir(join(folder, 'b'))
    await writeFile(join(folder, 'a', 'file'), '1')
    await writeFile(join(folder, 'b', 'file'), '2')
    await symlink('a', join(folder, 'data'))
    await symlink('data/file', join(folder, 'file'))
  })
  afterEach(async () => {
    watch.close()
    await rm(folder, { recursive: true })
  })

  test('knows every link on the way', async () => {
    const steps = await stepsOf(join(folder, 'file'))
    const expected = ['file', 'data', join('a', 'file')].map((name) => join(folder, name))
    assert.deepEqual(steps, expected)
    const absolute = join(folder, 'absolute')
    await symlink(join(folder, 'b', '..', 'file'), absolute)
    assert.deepEqual(await stepsOf(absolute), [absolute, ...expected])
  })

  test('ends with links that go round, and with paths that do not exist', async () => {
    await symlink('round', join(folder, 'round'))
    assert.ok((await stepsOf(join(folder, 'round'))).length < 100)
    const absent = join(folder, 'absent', 'file')
    assert.deepEqual(await stepsOf(absent), [absent])
    await watch.watch([absent])
  })

  for (const [what, change] of [
    ['a write', (at: string) => writeFile(join(at, 'a', 'file'), '3')],
    ['a swap of a folder link', (at: string) => swap(at, 'b', 'data')],
    ['a swap of the last link', (at: string) => swap(at, 'b/file', 'file')],
    [
      'a rename over the file',
      (at: string) => rename(join(at, 'b', 'file'), join(at, 'a', 'file')),
    ],
    ['its removal', (at: string) => rm(join(at, 'a', 'file'))],
  ] as const) {
    test(`notices ${what}, also by its stamp`, async () => {
      const path = join(folder, 'file')
      await watch.watch([path])
      const before = await stampOf([path])
      await change(folder)
      await until('it is noticed', () => changes > 0)
      assert.notEqual(await stampOf([path]), before)
    })
  }

  test('follows the new way after it is told to', async () => {
    const path = join(folder, 'file')
    await watch.watch([path])
    await swap(folder, 'b', 'data')
    await until('the swap is noticed', () => changes > 0)
    await watch.watch([path])
    changes = 0
    await writeFile(join(folder, 'b', 'file'), '3')
    await until('the write is noticed', () => changes > 0)
  })

  test('says nothing of other files beside them', async () => {
    const path = join(folder, 'a', 'file')
    await watch.watch([path])
    // One event each, and in order: with the file's own, those of the other have passed.
    for (const round of [1, 2, 3]) {
      await writeFile(join(folder, 'a', 'other'), String(round))
      await utimes(path, round, round)
      await until('the file is noticed', () => changes >= round)
      assert.equal(changes, round)
    }
  })
})

async function swap(folder: string, target: string, link: string): Promise<void> {
  await symlink(target, join(folder, 'next'))
  await rename(join(folder, 'next'), join(folder, link))
}
