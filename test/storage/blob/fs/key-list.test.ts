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
import { keyProblem, noteKey, readKeyList } from '../../../../src/storage/blob/fs/key-list.ts'
import { openFsBlobStore } from '../../../../src/storage/blob/fs/store.ts'
import { StorageError } from '../../../../src/storage/error.ts'
import { patternBytes } from '../../../support/pattern-source.ts'
import { type FsScene, openSealedScene, someKeys } from './scene.ts'

const fresh = parseKeys(`${'77'.repeat(31)}78`)
const rotated = { active: fresh.active, others: [someKeys.active, ...someKeys.others] }
const [oldId, newId] = [someKeys.active.id, fresh.active.id]
const both = [oldId, newId].sort()
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

async function push({ store, stage }: FsScene): Promise<void> {
  const upload = newUploadId(randomUUID)
  const bytes = patternBytes(1000)
  await stage(upload, bytes)
  await store.publish(upload, digestOfBytes('sha256', bytes), bytes.length)
}

check('keys of all who opened the store', async ({ root }) => {
  assert.deepEqual(await readKeyList(root), both)
  assert.match((await keyProblem(root, fresh)) ?? '', new RegExp(oldId))
  assert.equal(await keyProblem(root, rotated), undefined)
})

check('many who add at once lose none', async ({ root }) => {
  const keys = Array.from({ length: 20 }, (_, index) => {
    return parseKeys(`${'5a'.repeat(31)}${(index + 16).toString(16)}`)
  })
  await Promise.all(keys.map((each) => noteKey(root, each)))
  const wanted = [...keys.map(({ active }) => active.id), ...both]
  assert.deepEqual(await readKeyList(root), wanted.sort())
})

check('a key that is to be retired is needed until then', async ({ root }, { sealing }) => {
  await sealing?.beginRetiring(runA)
  assert.deepEqual(await readKeyList(root), both)
  assert.deepEqual(await sealing?.endRetiring(runA), [newId])
  assert.deepEqual(await readKeyList(root), [newId])
})

check('a key that is published with meanwhile stays', async (scene, { sealing }) => {
  await sealing?.beginRetiring(runA)
  await push(scene)
  assert.deepEqual(await sealing?.endRetiring(runA), both)
})

check('a key that is published with afterwards is listed again', async (scene, { sealing }) => {
  await sealing?.beginRetiring(runA)
  assert.deepEqual(await sealing?.endRetiring(runA), [newId])
  await push(scene)
  assert.deepEqual(await readKeyList(scene.root), both)
})

check('also where another process publishes what was staged with it', async (scene, store) => {
  const upload = newUploadId(randomUUID)
  const bytes = patternBytes(1000)
  await scene.stage(upload, bytes)
  await store.sealing?.beginRetiring(runA)
  assert.deepEqual(await store.sealing?.endRetiring(runA), [newId])
  await store.publish(upload, digestOfBytes('sha256', bytes), bytes.length)
  assert.deepEqual(await readKeyList(scene.root), both)
})

check('a run retires nothing that a later one wants to', async (scene, { sealing }) => {
  await sealing?.beginRetiring(runA)
  // Where the first run has passed already.
  await push(scene)
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
