// Goal: a condemned blob reads as absent everywhere, keeps what it needs to come back, and lives again when
// it is pushed. Method: the state is written into the record, as a reclaimer would.

import assert from 'node:assert/strict'
import { beforeEach, describe, test } from 'node:test'
import { decodeBlob, encodeBlob } from '../../../../src/storage/metadata/kv/encoding.ts'
import { below, blobKey } from '../../../../src/storage/metadata/kv/keys.ts'
import { KeyValueMetadataStore } from '../../../../src/storage/metadata/kv/store.ts'
import { MemoryKeyValueStore } from '../../../../src/storage/metadata/memory/store.ts'
import {
  app,
  digestOf,
  lease,
  link,
  manifest,
  repository,
} from '../../../contract/metadata/scene.ts'

const layer = digestOf('layer')
const other = repository('other')

describe('a condemned blob', () => {
  let records: MemoryKeyValueStore
  let store: KeyValueMetadataStore

  beforeEach(async () => {
    records = new MemoryKeyValueStore()
    store = new KeyValueMetadataStore(records)
    await link(store, layer)
    await records.write('durable', (transaction) => {
      const key = blobKey(layer)
      const record = decodeBlob(transaction.get(key)!, key)
      transaction.put(key, encodeBlob({ ...record, state: 'condemned' }))
    })
  })

  test('reads as absent, and is held by nobody', async () => {
    assert.equal(store.readBlob(app, layer), undefined)
    assert.deepEqual(store.repositoriesHolding(layer, 9), [])
  })

  test('does not mount, renew or unlink', async () => {
    assert.equal(await store.mountBlob(app, other, layer, lease, []), 'absent')
    assert.equal(await store.renewLease(app, layer, lease + 1), false)
    assert.equal(await store.unlinkBlob(app, layer, lease), 'absent')
  })

  test('is missing to a manifest', async () => {
    const result = await store.putManifest(manifest('image', { blobs: [layer] }))
    assert.deepEqual(result, { kind: 'missing', digests: [layer] })
  })

  test('lives again with its links when it is pushed anywhere', async () => {
    await link(store, layer, { repository: other, leaseUntilMs: lease + 5 })
    assert.equal(store.readBlob(other, layer)?.leaseUntilMs, lease + 5)
    assert.equal(store.readBlob(app, layer)?.leaseUntilMs, lease)
    const put = manifest('image', { blobs: [layer] })
    assert.deepEqual(await store.putManifest(put), { kind: 'stored' })
  })
})

test('leases list in the order of their ends, whatever they belong to', async () => {
  const records = new MemoryKeyValueStore()
  const store = new KeyValueMetadataStore(records)
  await link(store, digestOf('late'), { leaseUntilMs: 1_700_000_000_000 })
  await link(store, digestOf('early'), { leaseUntilMs: 999 })
  await link(store, digestOf('referenced'), { leaseUntilMs: 5 })
  await link(store, digestOf('loose'), { leaseUntilMs: 7 })
  await store.putManifest(manifest('image', { blobs: [digestOf('referenced')] }))
  await store.unlinkBlob(app, digestOf('loose'), 10_000)
  const leases = records.reader.keys(below('g')).map((key) => key.split('!').slice(1))
  assert.deepEqual(leases, [
    ['000000000000999', digestOf('early'), app],
    ['000000000010000', digestOf('loose'), ''],
    ['001700000000000', digestOf('late'), app],
  ])
})
