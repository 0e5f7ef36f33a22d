// Goal: a blob that was pushed before encryption and begins like an encrypted file is served as it was pushed, and never
// taken for damage; what is damaged is still found. And what is staged is told exactly. Method: blobs that look like it, up to
// the whole file of another blob.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Digest } from '../../../../src/oci/digest.ts'
import { newUploadId } from '../../../../src/oci/upload-id.ts'
import { createIngestPool } from '../../../../src/offload/ingest-pool.ts'
import { parseKeys } from '../../../../src/sealing/keys.ts'
import {
  fileLength,
  headerBytes,
  magic,
  segmentBytes,
  wrapPositions,
} from '../../../../src/sealing/layout.ts'
import type { BlobStore } from '../../../../src/storage/blob/contract.ts'
import { openFsBlobStore } from '../../../../src/storage/blob/fs/store.ts'
import { dataKey, uploadKey } from '../../../../src/storage/blob/keys.ts'
import { StorageError } from '../../../../src/storage/error.ts'
import { patternBytes } from '../../../support/pattern-source.ts'
import { openFsScene, openSealedScene, put, someKeys } from './scene.ts'

async function assertIs(store: BlobStore, digest: Digest, bytes: Uint8Array): Promise<void> {
  const reader = await store.open(digest)
  assert.ok(reader)
  try {
    const read = Buffer.alloc(bytes.length + 1)
    assert.equal(await reader.read(0, read), bytes.length)
    assert.ok(read.subarray(0, bytes.length).equals(bytes))
  } finally {
    reader.close()
  }
  assert.equal(await store.size(digest), bytes.length)
  const sight = await store.audit?.look(digest)
  assert.equal(sight?.kind === 'file' && sight.size, bytes.length)
  for await (const each of store.list()) {
    if (each.digest === digest) assert.equal(each.size, bytes.length)
  }
}

/** The file of an encrypted blob: `length` bytes of it. */
async function sealedFile(length: number): Promise<Buffer> {
  const scene = await openSealedScene()
  try {
    const digest = await put(scene, patternBytes(length))
    return await readFile(join(scene.root, dataKey(digest)))
  } finally {
    await scene.close()
  }
}

function lookalikes(file: Buffer): Readonly<Record<string, Buffer>> {
  const wrapped = Buffer.concat([magic, patternBytes(200_000)])
  const halfWrapped = Buffer.alloc(headerBytes)
  magic.copy(halfWrapped)
  Buffer.from(someKeys.active.id, 'hex').copy(halfWrapped, wrapPositions[0])
  return {
    'nothing but the beginning': Buffer.from(magic),
    'a beginning and zeros': Buffer.concat([magic, Buffer.alloc(100_000)]),
    'wraps of keys that nobody has': wrapped,
    'a wrap of our key that is none': halfWrapped,
    'the file of another blob': file,
    'a part of the file of another blob': file.subarray(0, file.length - 1),
  }
}

test('blobs from before that look encrypted are served and scrubbed as what they are', async () => {
  const kinds = lookalikes(await sealedFile(2 * segmentBytes + 5))
  const scene = await openFsScene()
  const pool = createIngestPool({
    ...{ workers: 1, slabBytes: 1 << 20, slabsPerUpload: 4, memoryBudgetBytes: 64 << 20 },
    durability: 'fsync',
  })
  try {
    const digests = new Map<string, Digest>()
    for (const [kind, bytes] of Object.entries(kinds)) digests.set(kind, await put(scene, bytes))
    const forged: Digest[] = []
    const store = await openFsBlobStore({
      ...{ rootDir: scene.root, durability: 'fsync', keys: someKeys },
      onForged: (digest) => forged.push(digest),
    })
    for (const [kind, digest] of digests) {
      const bytes = kinds[kind]
      assert.ok(bytes)
      await assertIs(store, digest, bytes).catch((error) => assert.fail(`${kind}: ${error}`))
      const target = store.readingTarget?.(digest)
      assert.ok(target)
      assert.equal(await pool.rehash(target, bytes.length, 'sha256'), digest, kind)
    }
    assert.deepEqual(forged, [])
    await store.close()
    const next = parseKeys(`${'77'.repeat(31)}78`)
    const rotated = await openFsBlobStore({
      ...{ rootDir: scene.root, durability: 'fsync' },
      keys: { active: next.active, others: [someKeys.active, ...someKeys.others] },
    })
    for (const [kind, digest] of digests) {
      assert.equal(await rotated.sealing?.rewrap(digest), 'plain', kind)
      const now = await readFile(join(scene.root, dataKey(digest)))
      assert.ok(kinds[kind]?.equals(now), `${kind}: a byte was changed`)
    }
    await rotated.close()
  } finally {
    await pool.close()
    await scene.close()
  }
})

test('a damaged header is told each time, and an unknown key that is needed is no damage', async () => {
  const bytes = patternBytes(100_000)
  const scene = await openSealedScene()
  try {
    const digest = await put(scene, bytes)
    const path = join(scene.root, dataKey(digest))
    const file = await readFile(path)
    const forged: Digest[] = []
    const open = { rootDir: scene.root, durability: 'fsync', keys: someKeys } as const
    const store = await openFsBlobStore({ ...open, onForged: (each) => forged.push(each) })
    const damaged = Buffer.from(file)
    damaged.fill(0x33, wrapPositions[0] + 8, wrapPositions[0] + 30)
    await writeFile(path, damaged)
    for (const count of [1, 2]) {
      await assert.rejects(
        store.open(digest),
        (error) => error instanceof StorageError && error.kind === 'corrupt',
      )
      assert.equal(forged.length, count)
    }
    const strange = Buffer.from(file)
    strange.write('77'.repeat(8), wrapPositions[0], 'hex')
    await writeFile(path, strange)
    await writeFile(join(scene.root, '_keelson/encryption-keys', '77'.repeat(8)), '')
    await assert.rejects(
      store.open(digest),
      (error) => error instanceof StorageError && error.kind === 'unavailable',
    )
    assert.equal(forged.length, 2)
    await store.close()
  } finally {
    await scene.close()
  }
})

test('what is staged is told exactly: no file of another length passes for it', async () => {
  const scene = await openSealedScene()
  try {
    for (const length of [1, 1000, segmentBytes, segmentBytes + 1, 2 * segmentBytes]) {
      const upload = newUploadId(randomUUID)
      await scene.stage(upload, patternBytes(length))
      const path = join(scene.root, uploadKey(upload))
      assert.equal(await scene.store.stagedSize(upload), length)
      let last = length
      for (let more = 1; more <= 60; more++) {
        await truncate(path, fileLength(length) + more)
        const told = (await scene.store.stagedSize(upload)) ?? 0
        assert.ok(told > last, `${more} bytes more than the file of ${length}`)
        last = told
      }
      await truncate(path, fileLength(length) - 1)
      assert.ok(((await scene.store.stagedSize(upload)) ?? 0) < length)
    }
  } finally {
    await scene.close()
  }
})
