// Goal: one writer family per store, and never a store that nobody can open. Method: real processes that
// open the same store, end well, or are killed.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openLmdbMetadataStore } from '../../../src/storage/metadata/lmdb/open.ts'
import { isKind } from '../../contract/metadata/scene.ts'
import { withFolder } from './folder.ts'
import { lmdbOptions } from './lmdb-scene.ts'
import { StoreChild } from './store-child.ts'

test('an exclusive store refuses everybody else, and says who has it', async (t) => {
  await withFolder(async (path) => {
    const child = new StoreChild(t, path)
    await child.opened()
    for (const sharing of ['exclusive', 'shared'] as const) {
      const second = openLmdbMetadataStore(lmdbOptions(path, { sharing }))
      await assert.rejects(second, (error: Error) => {
        assert.ok(isKind('conflict')(error))
        assert.match(error.message, new RegExp(`in use by process ${child.pid} `))
        assert.match(error.message, /\(exclusive, since \d{4}-\d\d-\d\dT.*stop that process/)
        return true
      })
    }
    await child.close()
    const store = await openLmdbMetadataStore(lmdbOptions(path))
    await store.close()
  })
})

test('a shared store takes others that share, and refuses one that does not', async (t) => {
  await withFolder(async (path) => {
    const child = new StoreChild(t, path, { sharing: 'shared' })
    await child.opened()
    const store = await openLmdbMetadataStore(lmdbOptions(path, { sharing: 'shared' }))
    await assert.rejects(openLmdbMetadataStore(lmdbOptions(path)), isKind('conflict'))
    await store.close()
    await assert.rejects(openLmdbMetadataStore(lmdbOptions(path)), isKind('conflict'))
    await child.close()
    const alone = await openLmdbMetadataStore(lmdbOptions(path))
    await alone.close()
  })
})

test('one process cannot open an exclusive store twice', async () => {
  await withFolder(async (path) => {
    const first = await openLmdbMetadataStore(lmdbOptions(path))
    await assert.rejects(openLmdbMetadataStore(lmdbOptions(path)), isKind('conflict'))
    await first.probe()
    await first.close()
  })
})

test('the store of a killed process is taken over, with what it had acknowledged', async (t) => {
  await withFolder(async (path) => {
    const child = new StoreChild(t, path)
    await child.opened()
    await child.store({ kind: 'store', number: 1 })
    await child.kill()
    const notices: string[] = []
    const store = await openLmdbMetadataStore(
      lmdbOptions(path, { onNotice: (notice) => notices.push(notice) }),
    )
    assert.match(notices.join('\n'), new RegExp(`taken over from process ${child.pid}`))
    assert.deepEqual(store.listRepositories({ limit: 9 }), ['library/app'])
    assert.equal(store.readerCheck(), 0)
    await store.close()
  })
})

test('of two that open at once exactly one wins', async (t) => {
  await withFolder(async (path) => {
    for (let round = 0; round < 4; round++) {
      const children = [new StoreChild(t, path), new StoreChild(t, path)]
      const answers = await Promise.all(children.map((child) => child.next()))
      assert.deepEqual(answers.map(({ kind }) => kind).sort(), ['open', 'refused'])
      await Promise.all(children.map((child) => child.close()))
    }
  })
})
