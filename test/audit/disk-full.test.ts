// Goal: a full disk loses nothing that was taken: requests are refused while it is full, and when there
// is room again every record is there once. Method: a log on a small file system that is filled up.
import assert from 'node:assert/strict'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { verifyFiles } from '../../src/audit/verify.ts'
import { OciError } from '../../src/oci/error.ts'
import { needsTmpfs, withTmpfs } from '../support/small-tmpfs.ts'
import { until } from '../support/until.ts'
import { openQueue, type QueueScene, recordsIn } from './scene.ts'

const filler = 'x'.repeat(900)
const isRefused = (error: unknown): boolean => error instanceof OciError && error.status === 503

interface FullDisk extends QueueScene {
  readonly path: string
  /** How many records were taken before one was refused. */
  readonly taken: number
  makeRoom(): Promise<void>
}

async function withFullDisk(body: (disk: FullDisk) => Promise<void>): Promise<void> {
  await withTmpfs(512 * 1024, async (folder) => {
    const path = join(folder, 'audit.jsonl')
    const ballast = join(folder, 'ballast')
    await writeFile(ballast, Buffer.alloc(200_001))
    const scene = await openQueue(path, { queueMax: 200 })
    try {
      const taken = await fill(scene.queue)
      await body({ ...scene, path, taken, makeRoom: () => rm(ballast) })
    } finally {
      // The file system cannot go while the log is open.
      await scene.queue.close(1_000)
    }
  })
}

// Until the disk is full, and then until the queue is.
async function fill(queue: QueueScene['queue']): Promise<number> {
  let taken = 0
  const add = (): void => {
    const n = taken
    queue.add('login', () => ({ n, filler }))
    taken += 1
  }
  while (queue.figures().writeErrors === 0) {
    add()
    await until('some room', () => {
      const { queued, writeErrors } = queue.figures()
      return queued < 100 || writeErrors > 0
    })
  }
  assert.throws(() => {
    for (;;) add()
  }, isRefused)
  return taken
}

test('a full disk refuses, and loses nothing', needsTmpfs, async () => {
  await withFullDisk(async ({ queue, path, taken, faults, makeRoom }) => {
    // The end of what found room is half of a line.
    assert.ok(!(await readFile(path, 'utf8')).endsWith('\n'))
    await makeRoom()
    await until('an empty queue', () => queue.figures().queued === 0)
    assert.deepEqual(
      recordsIn(path).map(({ n }) => n),
      Array.from({ length: taken }, (_, n) => n),
    )
    assert.equal((await verifyFiles([path])).problem, undefined)
    assert.equal(faults[0], 'the audit log cannot be written: trying again')
    assert.ok(queue.figures().writeErrors > 0)
  })
})

test(
  'a log that is rotated away from a full disk goes on in the new file',
  needsTmpfs,
  async () => {
    await withFullDisk(async ({ queue, path, taken, makeRoom }) => {
      await rename(path, `${path}.1`)
      await makeRoom()
      await queue.reopen()
      await until('an empty queue', () => queue.figures().queued === 0)
      const { problem, torn, records } = await verifyFiles([`${path}.1`, path])
      assert.equal(problem, undefined)
      assert.deepEqual([torn, records], [1, taken + 1])
    })
  },
)
