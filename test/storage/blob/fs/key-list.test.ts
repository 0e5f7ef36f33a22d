// Goal: the list of keys names every key that some blob needs, whoever adds to it and retires from it at the same time.
// Method: stores of one directory with different active keys, and the steps of a run between those of a push.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { digestOfBytes } from '../../../../src/oci/digest.ts'
import { newUploadId } from '../../../../src/oci/upload-id.ts'
import { parseKeys } from '../../../../src/sealing/keys.ts'
import {
  keepListedNow,
  keyProblem,
  listNow,
  readKeyList,
} from '../../../../src/storage/blob/fs/key-list.ts'
import { wrapIdsNow } from '../../../../src/storage/blob/fs/sealed-files.ts'
import { openFsBlobStore } from '../../../../src/storage/blob/fs/store.ts'
import { dataKey } from '../../../../src/storage/blob/keys.ts'
import { StorageError } from '../../../../src/storage/error.ts'
import { patternBytes } from '../../../support/pattern-source.ts'
import { type FsScene, openSealedScene, put, sealedStage, someKeys } from './scene.ts'

const fresh = parseKeys(`${'77'.repeat(31)}78`)
const rotated = { active: fresh.active, others: [someKeys.active, ...someKeys.others] }
const [oldId, newId] = [someKeys.active.id, fresh.active.id]
const both = [oldId, newId].sort()
const bytes = patternBytes(1000)
const [runA, runB] = ['0000000a', '0000000b'] as const

/** `scene.store` goes on with the old key, `store` with the new one. */
function check(
  title: string,
  body: (scene: FsScene, store: FsScene['store']) => Promise<void>,
): void {
  test(`key list: ${title}`, async () => {
    const scene = await openSealedScene()
    try {
      const { root: rootDir } = scene
      const store = await openFsBlobStore({ rootDir, durability: 'fsync', keys: rotated })
      try {
        await body(scene, store)
      } finally {
        await store.close()
      }
    } finally {
      await scene.close()
    }
  })
}

check('keys of all who opened the store', async ({ root }) => {
  assert.deepEqual(await readKeyList(root), both)
  assert.match((await keyProblem(root, fresh)) ?? '', new RegExp(oldId))
  assert.equal(await keyProblem(root, rotated), undefined)
})

check('who adds while another one marks loses none', async ({ root }, { sealing }) => {
  const ids = Array.from({ length: 20 }, (_, index) => {
    return parseKeys(`${'5a'.repeat(31)}${(index + 16).toString(16)}`).active.id
  })
  const marking = sealing?.beginRetiring(runA)
  for (const id of ids) {
    listNow(root, id)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await marking
  assert.deepEqual(await readKeyList(root), [...ids, ...both].sort())
})

check('a key that is to be retired is needed until then', async ({ root }, { sealing }) => {
  await sealing?.beginRetiring(runA)
  assert.deepEqual(await readKeyList(root), both)
  assert.deepEqual(await sealing?.endRetiring(runA), [newId])
  assert.deepEqual(await readKeyList(root), [newId])
})

check('a key that is published with meanwhile stays', async (scene, { sealing }) => {
  await sealing?.beginRetiring(runA)
  await put(scene, bytes)
  assert.deepEqual(await sealing?.endRetiring(runA), both)
})

check('a key whose mark another run has taken over stays', async ({ root }, { sealing }) => {
  await sealing?.beginRetiring(runA)
  await sealing?.beginRetiring(runB)
  assert.ok(keepListedNow(root, oldId))
  assert.deepEqual(await sealing?.endRetiring(runA), both)
  assert.deepEqual(await sealing?.endRetiring(runB), both)
})

const isRetired = (error: unknown): boolean =>
  error instanceof StorageError &&
  error.kind === 'unavailable' &&
  error.message.includes(`has retired the key ${oldId}`)

check('who encrypts with a retired key takes nothing, and is not ready', async (scene, store) => {
  const upload = newUploadId(randomUUID)
  await scene.stage(upload, bytes)
  await scene.store.probe()
  await store.sealing?.beginRetiring(runA)
  await scene.store.probe()
  assert.deepEqual(await store.sealing?.endRetiring(runA), [newId])
  assert.throws(() => scene.store.staging(newUploadId(randomUUID)), isRetired)
  await assert.rejects(scene.store.probe(), isRetired)
  const digest = digestOfBytes('sha256', bytes)
  await assert.rejects(scene.store.publish(upload, digest, bytes.length), isRetired)
  assert.equal(await scene.store.size(digest), undefined)
  // What is staged can still be found and given up.
  assert.equal(await scene.store.stagedSize(upload), bytes.length)
  assert.equal(scene.store.stagedTarget(upload).kind, 'fs')
  await scene.store.discard(upload)
  await store.probe()
  assert.deepEqual(await readKeyList(scene.root), [newId])
})

check('a retired key retires no other one', async (scene, store) => {
  await store.sealing?.beginRetiring(runA)
  assert.deepEqual(await store.sealing?.endRetiring(runA), [newId])
  await assert.rejects(scene.store.sealing?.beginRetiring(runB) ?? Promise.resolve(), isRetired)
  assert.deepEqual(await readKeyList(scene.root), [newId])
})

check(
  'of two runs that would retire the key of the other one neither does',
  async (scene, store) => {
    await store.sealing?.beginRetiring(runA)
    await scene.store.sealing?.beginRetiring(runB)
    assert.deepEqual(await store.sealing?.endRetiring(runA), both)
    assert.deepEqual(await scene.store.sealing?.endRetiring(runB), both)
  },
)

check(
  'a key that is retired while a body comes is told of behind the body',
  async (scene, store) => {
    scene.store.staging(newUploadId(randomUUID))
    await store.sealing?.beginRetiring(runA)
    assert.deepEqual(await store.sealing?.endRetiring(runA), [newId])
    assert.throws(() => scene.store.sealing?.keepActive(), isRetired)
    store.sealing?.keepActive()
  },
)

check('started again with it, it is needed again', async (scene, { sealing }) => {
  await sealing?.beginRetiring(runA)
  await sealing?.endRetiring(runA)
  const keys = { active: someKeys.active, others: [fresh.active] }
  const again = await openFsBlobStore({ rootDir: scene.root, durability: 'fsync', keys })
  await put({ store: again, stage: sealedStage(again, keys) }, bytes)
  await again.close()
  assert.deepEqual(await readKeyList(scene.root), both)
})

check(
  'what was staged with a retired key is published with the active one',
  async (scene, store) => {
    const upload = newUploadId(randomUUID)
    await scene.stage(upload, bytes)
    await store.sealing?.beginRetiring(runA)
    assert.deepEqual(await store.sealing?.endRetiring(runA), [newId])
    const digest = digestOfBytes('sha256', bytes)
    await store.publish(upload, digest, bytes.length)
    assert.deepEqual(await readKeyList(scene.root), [newId])
    assert.deepEqual(wrapIdsNow(join(scene.root, dataKey(digest))), [newId])
  },
)

check('so is what its first pusher left with it', async (scene, store) => {
  const digest = await put(scene, bytes)
  // As where it died between the link and the list.
  await store.sealing?.beginRetiring(runA)
  assert.deepEqual(await store.sealing?.endRetiring(runA), [newId])
  await put({ store, stage: sealedStage(store, rotated) }, bytes)
  assert.deepEqual(await readKeyList(scene.root), [newId])
  assert.deepEqual(wrapIdsNow(join(scene.root, dataKey(digest))), [newId])
})

check('who tells that one is there has its key listed', async (scene, store) => {
  const digest = await put(scene, bytes)
  await store.sealing?.beginRetiring(runA)
  await scene.store.publish(newUploadId(randomUUID), digest, bytes.length)
  assert.deepEqual(await store.sealing?.endRetiring(runA), both)
})

check('nobody is told that a blob is here whose key is gone', async (scene, store) => {
  await put(scene, bytes)
  await store.sealing?.beginRetiring(runA)
  await store.sealing?.endRetiring(runA)
  const { root: rootDir } = scene
  const alone = await openFsBlobStore({ rootDir, durability: 'fsync', keys: fresh })
  try {
    await assert.rejects(
      put({ store: alone, stage: sealedStage(alone, fresh) }, bytes),
      (error) => error instanceof StorageError && error.kind === 'unavailable',
    )
    assert.deepEqual(await readKeyList(rootDir), [newId])
  } finally {
    await alone.close()
  }
})

check('a run retires nothing that a later one wants to', async (scene, { sealing }) => {
  await sealing?.beginRetiring(runA)
  // Where the first run has passed already.
  await put(scene, bytes)
  await sealing?.beginRetiring(runB)
  assert.deepEqual(await sealing?.endRetiring(runA), both)
  assert.deepEqual(await sealing?.endRetiring(runB), [newId])
})

check('what is no id is left alone', async ({ root }) => {
  await writeFile(join(root, '_keelson/encryption-keys/.nfs0001'), '')
  await mkdir(join(root, '_keelson/encryption-keys/lost+found'))
  assert.deepEqual(await readKeyList(root), both)
})

check('what is no directory keeps a store from being opened', async ({ root: rootDir }) => {
  const path = join(rootDir, '_keelson/encryption-keys')
  await rm(path, { recursive: true })
  await writeFile(path, `${oldId}\n`)
  await assert.rejects(
    openFsBlobStore({ rootDir, durability: 'fsync', keys: rotated }),
    (error) => error instanceof StorageError && error.kind === 'corrupt',
  )
})
