// Goal: a store that an earlier build wrote, whose counters are absent, of another kind or wrong, is
// counted before the first change to it, and told apart by a recount. Method: the rows are written under
// the store's feet.

import assert from 'node:assert/strict'
import { beforeEach, describe, test } from 'node:test'
import { below, usageFormatKey, usageKey } from '../../../../src/storage/metadata/kv/keys.ts'
import { KeyValueMetadataStore } from '../../../../src/storage/metadata/kv/store.ts'
import { MemoryKeyValueStore } from '../../../../src/storage/metadata/memory/store.ts'
import {
  app,
  digestOf,
  isKind,
  latest,
  lease,
  link,
  manifest,
  now,
  repository,
  tag,
} from '../../../contract/metadata/scene.ts'
import { breaches } from '../../../simulate/metadata-invariants.ts'

const layer = digestOf('layer')
const held = { bytes: 205, tags: 1 }

describe('counters of use', () => {
  let records: MemoryKeyValueStore
  let store: KeyValueMetadataStore

  beforeEach(async () => {
    records = new MemoryKeyValueStore()
    store = new KeyValueMetadataStore(records)
    await link(store, layer)
    await link(store, layer, { repository: repository('library/app-2') })
    await store.putManifest(manifest('12345', { tags: [latest], blobs: [layer] }))
  })

  async function dropCounters(): Promise<void> {
    await records.write('durable', (transaction) => {
      for (const key of transaction.keys(below('q'))) transaction.remove(key)
      transaction.remove(usageFormatKey)
    })
    // As opened anew: a store that has seen its counters does not look for them again.
    store = new KeyValueMetadataStore(records)
  }

  test('that are absent are read from what is stored', async () => {
    await dropCounters()
    assert.deepEqual(store.readUsage(''), held)
    assert.deepEqual(store.readUsage('library/app'), { bytes: 105, tags: 1 })
    assert.deepEqual(store.readUsage('library/a'), { bytes: 0, tags: 0 })
  })

  test('that are absent are counted by the first change, whatever it is', async () => {
    const put = manifest('12345')
    const changes: (() => Promise<unknown>)[] = [
      () => link(store, digestOf('second')),
      () => store.mountBlob(app, repository('third'), layer, lease, []),
      () => store.unlinkBlob(repository('library/app-2'), layer, lease),
      () => store.putManifest(manifest('6', { tags: [latest, tag('v1')] })),
      () => store.deleteTag(app, tag('v1'), now),
      () => store.deleteManifest(app, put.digest, now, lease),
    ]
    for (const change of changes) {
      await dropCounters()
      await change()
      assert.deepEqual(breaches(records.reader), [])
      assert.deepEqual(await store.recountUsage({ repair: false }), [])
    }
  })

  test('that are absent bound the first change', async () => {
    await dropCounters()
    const quotas = [{ prefix: 'library', bytesMax: 304 }]
    const refused = await link(store, digestOf('second'), { quotas })
    assert.equal(typeof refused === 'object' && refused.used, 205)
    assert.deepEqual(breaches(records.reader), [])
  })

  test('of another kind are counted anew', async () => {
    await records.write('durable', (transaction) => {
      transaction.put(usageFormatKey, '0')
      transaction.put(usageKey('gone'), '7 7')
      transaction.put(usageKey(''), '1 1')
    })
    store = new KeyValueMetadataStore(records)
    await store.deleteTag(app, latest, now)
    assert.deepEqual(breaches(records.reader), [])
    assert.deepEqual(store.readUsage(''), { bytes: 205, tags: 0 })
  })

  test('that are absent are counted once by two stores at the same time', async () => {
    await dropCounters()
    const second = new KeyValueMetadataStore(records)
    const stores = [store, second, store, second]
    await Promise.all(stores.map((each, i) => link(each, digestOf(`blob ${i}`))))
    assert.deepEqual(store.readUsage(''), { bytes: 605, tags: 1 })
    assert.deepEqual(breaches(records.reader), [])
  })

  test('that are wrong are told by a recount, and put right by one that may', async () => {
    await records.write('durable', (transaction) => {
      transaction.put(usageKey('library'), '1000 1')
      transaction.put(usageKey('nobody'), '1 0')
      transaction.remove(usageKey('library/app'))
    })
    const faults = [
      { prefix: 'library', counted: { bytes: 1000, tags: 1 }, actual: held },
      { prefix: 'nobody', counted: { bytes: 1, tags: 0 }, actual: { bytes: 0, tags: 0 } },
      {
        prefix: 'library/app',
        counted: { bytes: 0, tags: 0 },
        actual: { bytes: 105, tags: 1 },
      },
    ]
    assert.deepEqual(await store.recountUsage({ repair: false }), faults)
    assert.deepEqual(await store.recountUsage({ repair: true }), faults)
    assert.deepEqual(await store.recountUsage({ repair: false }), [])
    assert.deepEqual(breaches(records.reader), [])
  })

  test('that are too small do not keep anybody from deleting', async () => {
    await records.write('durable', (transaction) => transaction.remove(usageKey('library')))
    const put = manifest('12345')
    assert.equal(await store.deleteManifest(app, put.digest, now, lease), 'removed')
    assert.equal(await store.unlinkBlob(app, layer, lease), 'removed')
    assert.deepEqual(store.readUsage('library'), { bytes: 0, tags: 0 })
  })

  test('that cannot be read are corrupt, never zero', async () => {
    for (const text of ['1', '1 2 3', '-1 0', '01 0', '1 x', ' 1 0', '1.5 0']) {
      await records.write('durable', (transaction) => transaction.put(usageKey(''), text))
      assert.throws(() => store.readUsage(''), isKind('corrupt'), text)
      await assert.rejects(link(store, digestOf('next')), isKind('corrupt'), text)
    }
  })

  test('count every byte beyond what a number can', async () => {
    const size = Number.MAX_SAFE_INTEGER
    const names = ['x/a', 'x/b', 'x/c'].map(repository)
    for (const name of names) await link(store, digestOf('huge'), { size, repository: name })
    await link(store, layer, { repository: repository('x/a') })
    const quotas = [{ prefix: 'x', bytesMax: Number.MAX_SAFE_INTEGER }]
    assert.equal(typeof (await link(store, digestOf('next'), { size: 1, quotas })), 'object')
    for (const name of names) await store.unlinkBlob(name, digestOf('huge'), lease)
    assert.deepEqual(store.readUsage('x'), { bytes: 100, tags: 0 })
  })

  test('of a thousand blobs and tags in one repository are counted in pieces', async () => {
    const many = repository('many')
    const names = Array.from({ length: 2_500 }, (_, i) => tag(`t${i}`))
    await store.putManifest(manifest('image', { repository: many, tags: names }))
    const blobs = Array.from({ length: 1_200 }, (_, i) => digestOf(`blob ${i}`))
    for (const digest of blobs) await link(store, digest, { repository: many, size: 2 })
    const index = { repository: many, blobs: blobs.slice(0, 900) }
    await store.putManifest(manifest('index', index))
    await dropCounters()
    assert.deepEqual(store.readUsage('many'), { bytes: 2_410, tags: 2_500 })
    assert.deepEqual(store.readUsage(''), { bytes: 2_615, tags: 2_501 })
  })
})
