// Goal: one writer of a backup directory at a time; who has died is passed over, and nobody else.
// Method: locks of made-up processes, judged by /proc or, where that cannot tell, by their silence.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdir, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { Layout } from '../../../src/maintain/backup/layout.ts'
import { type DirectoryLock, lockDirectory } from '../../../src/maintain/backup/lock.ts'
import { processIdentity } from '../../../src/storage/process-identity.ts'
import { withFolder } from './scene.ts'

async function withLayout(body: (layout: Layout) => Promise<void>): Promise<void> {
  await withFolder(async (root) => {
    const layout = new Layout(root)
    await mkdir(layout.temporary)
    await mkdir(layout.locks)
    await body(layout)
  })
}

const take = (layout: Layout): Promise<DirectoryLock> =>
  lockDirectory(layout, { randomUuid: randomUUID })

async function plant(layout: Layout, owner: string, silentMs: number): Promise<void> {
  const path = join(layout.locks, randomUUID())
  await writeFile(path, owner)
  const then = new Date(Date.now() - silentMs)
  await utimes(path, then, then)
}

const [, , bootId = '', pidNamespace = ''] = processIdentity().split('/')

test('a second writer is refused, until the first one has let go', () =>
  withLayout(async (layout) => {
    const lock = await take(layout)
    await assert.rejects(take(layout), new RegExp(`process ${process.pid} writes to`))
    await lock.release()
    await lock.release()
    await (await take(layout)).release()
    assert.deepEqual(await readdir(layout.locks), [])
  }))

test('a process of this host that is gone is passed over at once', () =>
  withLayout(async (layout) => {
    await plant(layout, `${process.pid}/1/${bootId}/${pidNamespace}`, 0)
    await (await take(layout)).release()
    assert.deepEqual(await readdir(layout.locks), [])
  }))

test('one of another host counts as alive until it has been silent for long', () =>
  withLayout(async (layout) => {
    await plant(layout, '1/1/another-boot/pid:[1]', 60_000)
    await assert.rejects(take(layout), /process 1 writes to/)
    await rm(layout.locks, { recursive: true })
    await mkdir(layout.locks)
    await plant(layout, '1/1/another-boot/pid:[1]', 10 * 60_000)
    await (await take(layout)).release()
  }))

test('a lock that nobody can read is judged by its age', () =>
  withLayout(async (layout) => {
    await plant(layout, '', 0)
    await assert.rejects(take(layout), /process unknown writes to/)
    await rm(layout.locks, { recursive: true })
    await mkdir(layout.locks)
    await plant(layout, '', 10 * 60_000)
    await (await take(layout)).release()
  }))

test('of many that want it at once at most one has it, and nobody is left to be waited for', () =>
  withLayout(async (layout) => {
    for (let round = 0; round < 20; round++) {
      await plant(layout, `${process.pid}/1/${bootId}/${pidNamespace}`, 0)
      const takes = await Promise.allSettled(Array.from({ length: 4 }, () => take(layout)))
      const taken = takes.filter((each) => each.status === 'fulfilled')
      assert.ok(taken.length <= 1, `${taken.length} at once`)
      for (const { value } of taken) await value.release()
      await (await take(layout)).release()
    }
  }))
