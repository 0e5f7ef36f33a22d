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
import { keepNotedNow, keyProblem, readKeyList } from '../../../../src/storage/blob/fs/key-list.ts'
import { openFsBlobStore } from '../../../../src/storage/blob/fs/store.ts'
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
    keepNotedNow(root, [id])
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

check('a key that is published with afterwards is listed again', async (scene, { sealing }) => {
  await sealing?.beginRetiring(runA)
  assert.deepEqual(await sealing?.endRetiring(runA), [newId])
  await put(scene, bytes)
  assert.deepEqual(await readKeyList(scene.root), both)
})

check('also where another process publishes what was staged with it', async (scene, store) => {
  const upload = newUploadId(randomUUID)
  await scene.stage(upload, bytes)
  await store.sealing?.beginRetiring(runA)
  assert.deepEqual(await store.sealing?.endRetiring(runA), [newId])
  await store.publish(upload, digestOfBytes('sha256', bytes), bytes.length)
  assert.deepEqual(await readKeyList(scene.root), both)
})

check('an upload that begins with a retired key lists it again', async (scene, { sealing }) => {
  await sealing?.beginRetiring(runA)
  assert.deepEqual(await sealing?.endRetiring(runA), [newId])
  scene.store.staging(newUploadId(randomUUID))
  assert.deepEqual(await readKeyList(scene.root), both)
})

check('so does a push of what its first pusher left without', async (scene, store) => {
  await put(scene, bytes)
  // As where it died between the link and the list.
  await store.sealing?.beginRetiring(runA)
  assert.deepEqual(await store.sealing?.endRetiring(runA), [newId])
  await put({ store, stage: sealedStage(store, rotated) }, bytes)
  assert.deepEqual(await readKeyList(scene.root), both)
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
