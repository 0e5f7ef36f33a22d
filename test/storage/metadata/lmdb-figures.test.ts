// Goal: LMDB's own figures are read right, those of processes that are gone among them. Method: a store
// that grows, a table of readers as LMDB prints it, and another process that is killed.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readerPids } from '../../../src/storage/metadata/lmdb/figures.ts'
import { openLmdbMetadataStore } from '../../../src/storage/metadata/lmdb/open.ts'
import { manifest } from '../../contract/metadata/scene.ts'
import { withFolder } from './folder.ts'
import { lmdbOptions } from './lmdb-scene.ts'
import { StoreChild } from './store-child.ts'

test('what is stored shows in pages that are in use, and the file holds them all', async () => {
  await withFolder(async (path) => {
    const store = await openLmdbMetadataStore(lmdbOptions(path))
    const before = store.figures()
    // More than pages that are free by chance.
    const bytes = Buffer.alloc(256 * 1024, 'x')
    await store.putManifest({ ...manifest('large'), bytes })
    const after = store.figures()
    assert.ok(after.usedBytes >= before.usedBytes + bytes.length, JSON.stringify({ before, after }))
    assert.ok(after.entries > before.entries)
    for (const { usedBytes, fileBytes, mapBytes } of [before, after]) {
      assert.ok(usedBytes > 0 && usedBytes <= fileBytes && fileBytes <= mapBytes)
    }
    await store.close()
  })
})

test('a reader of a process that was killed is stale until somebody checks', async (t) => {
  await withFolder(async (path) => {
    const store = await openLmdbMetadataStore(lmdbOptions(path, { sharing: 'shared' }))
    const child = new StoreChild(t, path, { sharing: 'shared' })
    await child.opened()
    await child.store({ kind: 'read' })
    const { readers, staleReaders } = store.figures()
    assert.ok(readers >= 2, `${readers} readers`)
    assert.equal(staleReaders, 0)
    await child.kill()
    const afterDeath = store.figures()
    assert.ok(afterDeath.staleReaders >= 1)
    assert.equal(store.readerCheck(), afterDeath.staleReaders)
    assert.equal(store.figures().staleReaders, 0)
    await store.close()
  })
})

test('the table of readers is read by its columns', () => {
  const table =
    '\t\tpid\t\t thread\t\t txnid\n      7225 7f7a59ef6c80 2\n       12 7f7a59ef6c81 -\n'
  assert.deepEqual(readerPids(table), [7225, 12])
  assert.deepEqual(readerPids('(no active readers)\n'), [])
})
