// Goal: what a restore or a migration finds at the place of a blob is right, or out of its way, also where it is encrypted
// and damaged. Method: stores in directories, real threads that hash, and files changed by hand.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { clearPlace } from '../../src/maintain/blob-place.ts'
import { digestOfBytes } from '../../src/oci/digest.ts'
import { createIngestPool } from '../../src/offload/ingest-pool.ts'
import { sealPositions, segmentBytes, slotPosition } from '../../src/sealing/layout.ts'
import type { BlobStore } from '../../src/storage/blob/contract.ts'
import { dataKey } from '../../src/storage/blob/keys.ts'
import { StorageError } from '../../src/storage/error.ts'
import { openFsScene, openSealedScene, put } from '../storage/blob/fs/scene.ts'
import { patternBytes } from '../support/pattern-source.ts'

const slabBytes = 1 << 20
const ingest = createIngestPool({
  ...{ workers: 1, slabBytes, slabsPerUpload: 2, memoryBudgetBytes: 4 * slabBytes },
  durability: 'fsync',
})
after(() => ingest.close())

const bytes = patternBytes(2 * segmentBytes)
const blob = { digest: digestOfBytes('sha256', bytes), size: bytes.length }

const scenes = { plain: () => openFsScene(), encrypted: () => openSealedScene() }

async function damage(path: string, at: number): Promise<void> {
  const file = await readFile(path)
  file[at] = (file[at] ?? 0) ^ 1
  await writeFile(path, file)
}

const damages = {
  'a changed byte': (path: string) => damage(path, slotPosition(0) + 100),
  'a changed header': (path: string) => damage(path, sealPositions.sha256 + 20),
  'a byte too few': async (path: string) => {
    await truncate(path, (await readFile(path)).length - 1)
  },
  'other bytes of the same size': (path: string) => writeFile(path, Buffer.alloc(blob.size, 1)),
} as const

for (const [form, open] of Object.entries(scenes)) {
  for (const [what, harm] of Object.entries(damages)) {
    test(`${form}: ${what} is put out of the way, and what is pushed in its place is right`, async () => {
      const scene = await open()
      try {
        const { root, store } = scene
        assert.equal(await clearPlace(store, ingest, blob, randomUUID), 'absent')
        await put(scene, bytes)
        assert.equal(await clearPlace(store, ingest, blob, randomUUID), 'right')
        await harm(join(root, dataKey(blob.digest)))
        assert.equal(await clearPlace(store, ingest, blob, randomUUID), 'absent')
        assert.equal((await readdir(join(root, '_keelson/quarantine'))).length, 1)
        await put(scene, bytes)
        assert.equal(await clearPlace(store, ingest, blob, randomUUID), 'right')
      } finally {
        await scene.close()
      }
    })
  }
}

test('it stays where a removal could come late, to be replaced; other faults are told', async () => {
  const answers = { size: async () => blob.size, readingTarget: () => ({ kind: 'fs', path: '' }) }
  const store = { ...answers, removalsLateMs: 1 } as unknown as BlobStore
  const fails = (kind: 'corrupt' | 'unavailable') => ({
    rehash: () => Promise.reject(new StorageError(kind, 'no')),
  })
  assert.equal(await clearPlace(store, fails('corrupt'), blob, randomUUID), 'wrong')
  await assert.rejects(clearPlace(store, fails('unavailable'), blob, randomUUID), StorageError)
})
