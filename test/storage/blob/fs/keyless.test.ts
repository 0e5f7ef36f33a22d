// Goal: a process that was started without keys takes nothing that another one has encrypted since for what it looks like:
// it answers 'unavailable', and changes nothing. Method: a store without keys, opened before one with keys on the same
// directory.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Digest, digestOfBytes } from '../../../../src/oci/digest.ts'
import { newUploadId } from '../../../../src/oci/upload-id.ts'
import { createIngestPool } from '../../../../src/offload/ingest-pool.ts'
import { segmentBytes } from '../../../../src/sealing/layout.ts'
import type { BlobStore } from '../../../../src/storage/blob/contract.ts'
import { openFsBlobStore } from '../../../../src/storage/blob/fs/store.ts'
import { dataKey } from '../../../../src/storage/blob/keys.ts'
import { StorageError } from '../../../../src/storage/error.ts'
import { FedBody } from '../../../offload/fed-body.ts'
import { patternBytes } from '../../../support/pattern-source.ts'
import { type FsScene, openFsScene, someKeys } from './scene.ts'

interface Scene extends FsScene {
  /** Of the same directory, with keys. */
  readonly sealed: BlobStore
  readonly pool: ReturnType<typeof createIngestPool>
}

const large = patternBytes(3 * segmentBytes + 1000)

function check(title: string, body: (scene: Scene) => Promise<void>): void {
  test(`fs without keys: ${title}`, async () => {
    const scene = await openFsScene()
    const sealed = await openFsBlobStore({
      ...{ rootDir: scene.root, durability: 'fsync', keys: someKeys },
    })
    const pool = createIngestPool({
      ...{ workers: 1, slabBytes: 1 << 20, slabsPerUpload: 4, memoryBudgetBytes: 64 << 20 },
      durability: 'fsync',
    })
    try {
      await body({ ...scene, sealed, pool })
    } finally {
      await pool.close()
      await sealed.close()
      await scene.close()
    }
  })
}

const isAway = (error: unknown): boolean => {
  return error instanceof StorageError && error.kind === 'unavailable' && /keys/.test(error.message)
}

/** By the pool, as a server does. */
async function stage(
  { pool }: Scene,
  store: BlobStore,
  bytes: Uint8Array,
  upload = newUploadId(randomUUID),
  offset = 0,
): Promise<typeof upload> {
  const outcome = await pool.receive(
    {
      ...{ target: store.staging(upload), offset, algorithm: 'sha256', sync: true },
      ...{ hash: { kind: 'stream' }, bytesMax: Number.MAX_SAFE_INTEGER },
    },
    new FedBody().feed(Buffer.from(bytes), true),
  )
  assert.equal(outcome.kind, 'complete')
  return upload
}

async function put(scene: Scene, store: BlobStore, bytes: Uint8Array): Promise<Digest> {
  const digest = digestOfBytes('sha256', bytes)
  const upload = await stage(scene, store, bytes)
  await store.publish(upload, digest, bytes.length)
  await store.discard(upload)
  return digest
}

check('a blob is neither read nor told the size of, nor taken for a damaged one', async (scene) => {
  const { store, sealed, pool } = scene
  for (const bytes of [large, patternBytes(1), patternBytes(0)]) {
    const digest = await put(scene, sealed, bytes)
    await assert.rejects(store.open(digest), isAway)
    await assert.rejects(store.size(digest), isAway)
    const sight = await store.audit?.look(digest)
    assert.equal(sight?.kind, 'unreadable')
    const target = store.readingTarget?.(digest)
    assert.ok(target)
    // Of its file, and of the blob itself.
    for (const length of [
      (await readFile(join(scene.root, dataKey(digest)))).length,
      bytes.length,
    ]) {
      await assert.rejects(pool.rehash(target, length, 'sha256'), isAway)
    }
    assert.equal(await sealed.size(digest), bytes.length)
  }
})

check('an upload is neither gone on with, nor published, nor read', async (scene) => {
  const { store, sealed, pool, root } = scene
  const upload = await stage(scene, sealed, large)
  const path = join(root, '_keelson/uploads', upload)
  const before = await readFile(path)
  await assert.rejects(stage(scene, store, Buffer.from('more'), upload, large.length), isAway)
  await assert.rejects(stage(scene, store, Buffer.from('more'), upload, 1), isAway)
  await assert.rejects(store.stagedSize(upload), isAway)
  await assert.rejects(store.openStaged(upload), isAway)
  await assert.rejects(pool.rehash(store.staging(upload), before.length, 'sha256'), isAway)
  const wrong = digestOfBytes('sha256', before)
  await assert.rejects(store.publish(upload, wrong, before.length), isAway)
  assert.deepEqual(await readFile(path), before)
  // Whoever has the keys goes on.
  await stage(scene, sealed, Buffer.from('more'), upload, large.length)
  const whole = Buffer.concat([large, Buffer.from('more')])
  await sealed.publish(upload, digestOfBytes('sha256', whole), whole.length)
})

check('one that is pushed again is refused, and stays what it was', async (scene) => {
  const { store, sealed } = scene
  const digest = await put(scene, sealed, large)
  const upload = await stage(scene, store, large)
  await assert.rejects(store.publish(upload, digest, large.length), isAway)
  const reader = await sealed.open(digest)
  assert.equal(reader?.size, large.length)
  reader?.close()
})

check('what is not encrypted is served as ever', async (scene) => {
  const { store, sealed } = scene
  const digest = await put(scene, store, large)
  for (const each of [store, sealed]) {
    const reader = await each.open(digest)
    const bytes = Buffer.alloc(large.length)
    await reader?.read(0, bytes)
    reader?.close()
    assert.ok(bytes.equals(large))
    assert.equal(await each.size(digest), large.length)
  }
})

test('without encryption bytes that begin like an encrypted file are bytes like any other', async () => {
  const scene = await openFsScene()
  try {
    const bytes = Buffer.concat([Buffer.from('keelson.sealed.1'), patternBytes(20_000)])
    const digest = digestOfBytes('sha256', bytes)
    const upload = newUploadId(randomUUID)
    await scene.stage(upload, bytes)
    await scene.store.publish(upload, digest, bytes.length)
    const reader = await scene.store.open(digest)
    assert.equal(reader?.size, bytes.length)
    reader?.close()
    assert.equal(await scene.store.size(digest), bytes.length)
  } finally {
    await scene.close()
  }
})
