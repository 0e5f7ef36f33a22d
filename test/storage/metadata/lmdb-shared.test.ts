// Goal: what one process has acknowledged, another one on the same host reads at once. Method: a child puts a
// manifest, waits for the store, and says so; the parent refreshes and reads, thousands of times.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openLmdbMetadataStore } from '../../../src/storage/metadata/lmdb/open.ts'
import { app, latest, manifest, tag } from '../../contract/metadata/scene.ts'
import { startChild } from './child.ts'
import { withFolder } from './folder.ts'
import { lmdbOptions } from './lmdb-scene.ts'

for (const [durability, rounds] of [
  ['none', 5_000],
  ['fsync', 500],
] as const) {
  test(`${durability}: of ${rounds} puts in one process another reads none too late`, async (t) => {
    await withFolder(async (path) => {
      const child = startChild(t, path, 'shared', durability)
      assert.deepEqual(await child.next(), { kind: 'open' })
      const options = lmdbOptions(path, { sharing: 'shared', durability })
      const store = await openLmdbMetadataStore(options)
      let stale = 0
      for (let number = 0; number < rounds; number++) {
        child.say({ kind: 'store', number })
        const stored = await child.next()
        assert.ok(stored.kind === 'stored' && stored.number === number)
        store.refresh()
        if (store.readTag(app, latest) !== stored.digest) stale++
        // The next read must not use the snapshot that this one takes as late as possible.
        store.readTag(app, latest)
      }
      assert.equal(stale, 0)
      await child.close()
      await store.close()
    })
  })
}

test('two processes that write at once lose nothing of each other', async (t) => {
  await withFolder(async (path) => {
    const child = startChild(t, path, 'shared', 'none')
    await child.next()
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
