// Goal: what one process has acknowledged, another one on the same host reads at once. Method: a child puts a
// manifest, waits for the store, and says so; the parent refreshes and reads, thousands of times.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseUploadId } from '../../../src/oci/upload-id.ts'
import { openLmdbMetadataStore } from '../../../src/storage/metadata/lmdb/open.ts'
import { app, latest, manifest, tag } from '../../contract/metadata/scene.ts'
import { withFolder } from './folder.ts'
import { lmdbOptions } from './lmdb-scene.ts'
import { StoreChild } from './store-child.ts'

for (const [durability, rounds] of [
  ['none', 5_000],
  ['fsync', 500],
] as const) {
  test(`${durability}: of ${rounds} puts in one process another reads none too late`, async (t) => {
    await withFolder(async (path) => {
      const child = new StoreChild(t, path, { sharing: 'shared', durability })
      await child.opened()
      const options = lmdbOptions(path, { sharing: 'shared', durability })
      const store = await openLmdbMetadataStore(options)
      let stale = 0
      for (let number = 0; number < rounds; number++) {
        const stored = await child.store({ kind: 'store', number })
        store.refresh()
        if (store.readTag(app, latest) !== stored.name) stale++
        // The next read must not use the snapshot that this one takes as late as possible.
        store.readTag(app, latest)
      }
      assert.equal(stale, 0)
      await child.close()
      await store.close()
    })
  })
}

test('a session that one process has acknowledged, another reads at once', async (t) => {
  await withFolder(async (path) => {
    const child = new StoreChild(t, path, { sharing: 'shared' })
    await child.opened()
    const store = await openLmdbMetadataStore(lmdbOptions(path, { sharing: 'shared' }))
    let stale = 0
    for (let number = 0; number < 500; number++) {
      // One that waits for the disk is under way at the same time.
      child.say({ kind: 'store', number })
      child.say({ kind: 'session' })
      const names: string[] = []
      while (names.length < 2) {
        const stored = await child.next()
        assert.ok(stored.kind === 'stored')
        names.push(stored.name)
        store.refresh()
        const id = parseUploadId(stored.name)
        if (id !== undefined && store.readUpload(id) === undefined) stale++
      }
    }
    assert.equal(stale, 0)
    await child.close()
    await store.close()
  })
})

test('two processes that write at once lose nothing of each other', async (t) => {
  await withFolder(async (path) => {
    const child = new StoreChild(t, path, { sharing: 'shared', durability: 'none' })
    await child.opened()
    const store = await openLmdbMetadataStore(
      lmdbOptions(path, { sharing: 'shared', durability: 'none' }),
    )
    const count = 300
    for (let number = 0; number < count; number++) child.say({ kind: 'store', number })
    const own = Array.from({ length: count }, (_, i) =>
      manifest(`own ${i}`, { tags: [tag('own')] }),
    )
    await Promise.all(own.map((put) => store.putManifest(put)))
    for (let number = 0; number < count; number++) await child.next()
    store.refresh()
    assert.equal(store.readTagHistory(app, latest, 1000).length, count)
    assert.equal(store.readTagHistory(app, tag('own'), 1000).length, count)
    for (const put of own) assert.ok(store.readManifest(app, put.digest))
    for (let number = 0; number < count; number++) {
      assert.ok(store.readManifest(app, manifest(`m${number}`).digest))
    }
    await child.close()
    await store.close()
  })
})
