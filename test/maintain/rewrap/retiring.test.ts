// Goal: a run of rewrap retires a key only where it has seen every file since it began, however often it was cut off.
// Method: the job on a directory, stopped in the middle, with pushes of a server that goes on with the old key.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import type { JobContext, JobReport } from '../../../src/maintain/job/contract.ts'
import { createRewrapJob } from '../../../src/maintain/rewrap/job.ts'
import type { Digest } from '../../../src/oci/digest.ts'
import { newUploadId } from '../../../src/oci/upload-id.ts'
import { parseKeys } from '../../../src/sealing/keys.ts'
import type { BlobStore } from '../../../src/storage/blob/contract.ts'
import { readKeyList } from '../../../src/storage/blob/fs/key-list.ts'
import { wrapIdsNow } from '../../../src/storage/blob/fs/sealed-files.ts'
import { openFsBlobStore } from '../../../src/storage/blob/fs/store.ts'
import { openFreshSealed } from '../../../workers/sealed-file.ts'
import { type FsScene, openSealedScene, put, someKeys } from '../../storage/blob/fs/scene.ts'

const fresh = parseKeys(`${'77'.repeat(31)}78`)
const oldId = someKeys.active.id
const newId = fresh.active.id
const both = [oldId, newId].sort()
const blobs = 40

let scene: FsScene
let store: BlobStore
let count = 0
before(async () => {
  scene = await openSealedScene()
})
after(async () => {
  await store.close()
  await scene.close()
})

/** With the old key. */
function push(): Promise<Digest> {
  return put(scene, Buffer.from(`blob ${count++}`))
}

interface Cut {
  readonly report: JobReport
  readonly checkpoint: unknown
}

/** Ends itself after `filesMax` files. */
async function run(
  name: string,
  filesMax: number,
  resumed?: unknown,
  onFile: (count: number) => Promise<void> = async () => {},
): Promise<Cut> {
  const stop = new AbortController()
  let files = 0
  let checkpoint = resumed
  const context: Partial<JobContext> = {
    run: name,
    blobs: store,
    signal: stop.signal,
    resumed,
    progress: () => {},
    pace: async () => {
      files += 1
      if (files > filesMax) stop.abort()
      await onFile(files)
    },
    checkpoint: async (value) => {
      checkpoint = structuredClone(value)
    },
  }
  const report = await createRewrapJob().run({}, context as JobContext)
  return { report, checkpoint }
}

test('a run that was cut off goes on, and keeps a key that was used where it had passed', async () => {
  for (let index = 0; index < blobs; index++) await push()
  const keys = { active: fresh.active, others: [someKeys.active] }
  store = await openFsBlobStore({ rootDir: scene.root, durability: 'fsync', keys })
  const cut = await run('first', blobs - 5)
  assert.equal(cut.report.ok, false)
  assert.notEqual(cut.checkpoint, undefined)
  assert.deepEqual(await readKeyList(scene.root), both)

  // Of many, some lie where the run had passed.
  const late = []
  for (let index = 0; index < blobs; index++) late.push(await push())
  const whole = await run('second', Number.POSITIVE_INFINITY, cut.checkpoint)
  assert.equal(whole.report.ok, false)
  assert.match(whole.report.summary.join('\n'), new RegExp(`still needed: ${oldId}`))
  assert.deepEqual(await readKeyList(scene.root), both)
  const passed = []
  for (const digest of late)
    if ((await store.sealing?.rewrap(digest)) === 'rewrapped') passed.push(digest)
  assert.ok(passed.length > 0, 'the run went back to where it had passed')
})

test('another whole run retires it, and the new key reads all', async () => {
  const { report } = await run('third', Number.POSITIVE_INFINITY)
  assert.ok(report.ok, report.summary.join('\n'))
  assert.match(report.summary.join('\n'), new RegExp(`only the key ${newId} is needed`))
  assert.deepEqual(await readKeyList(scene.root), [newId])
  const alone = await openFsBlobStore({ rootDir: scene.root, durability: 'fsync', keys: fresh })
  try {
    let found = 0
    for await (const { digest, size } of alone.list()) {
      const reader = await alone.open(digest)
      assert.equal(reader?.size, size)
      await reader?.close()
      found += 1
    }
    assert.equal(found, 2 * blobs)
  } finally {
    await alone.close()
  }
})

test('an upload that was begun behind its back is rewrapped before it ends', async () => {
  const upload = newUploadId(randomUUID)
  const target = store.staging(upload)
  assert.ok(target.kind === 'fs')
  const { path } = target
  const { report } = await run('behind', Number.POSITIVE_INFINITY, undefined, async (files) => {
    // By a process that had asked for the list before the run marked the key.
    if (files === 1) await (await openFreshSealed(path, someKeys)).close()
  })
  assert.ok(report.ok, report.summary.join('\n'))
  assert.deepEqual(wrapIdsNow(path), [newId])
  await store.discard(upload)
})

test('a run that was cut off retires nothing that a whole one could not', async () => {
  const keys = { active: someKeys.active, others: [fresh.active] }
  await (await openFsBlobStore({ rootDir: scene.root, durability: 'fsync', keys })).close()
  const cut = await run('fourth', blobs)
  const digest = await push()
  // A run of its own that is cut off at once has marked what was listed again.
  await run('fifth', 0)
  await run('fourth again', Number.POSITIVE_INFINITY, cut.checkpoint)
  assert.deepEqual(await readKeyList(scene.root), both, `${digest} may need the old key`)
})
