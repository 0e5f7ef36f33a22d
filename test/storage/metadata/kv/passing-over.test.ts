// Goal: one spoilt record neither stops a collection for ever nor is taken for absent, and damaged indexes
// never cost a blob. Method: rows are spoilt under the record logic.

import assert from 'node:assert/strict'
import { beforeEach, describe, test } from 'node:test'
import type { StorageError } from '../../../../src/storage/error.ts'
import type { KeyValueTransaction } from '../../../../src/storage/metadata/kv/contract.ts'
import { encodeBlob, encodeLease } from '../../../../src/storage/metadata/kv/encoding.ts'
import { encodeDropped } from '../../../../src/storage/metadata/kv/garbage-encoding.ts'
import {
  below,
  blobKey,
  contentsKey,
  destructionsPrefix,
  droppedKey,
  droppedPrefix,
  holderKey,
  leaseKey,
  leasesPrefix,
  linkKey,
  movesPrefix,
  present,
  referenceKey,
  removalsPrefix,
} from '../../../../src/storage/metadata/kv/keys.ts'
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

const blobs = ['a', 'b', 'c', 'd', 'e'].map(digestOf).sort()
const [first, second, third] = blobs
const later = lease + 1
const by = { nowMs: later, run: 'r' }
const until = { nowMs: later, leaseUntilMs: 2 * later }

describe('a spoilt record', () => {
  let records: MemoryKeyValueStore
  let store: KeyValueMetadataStore
  let told: string[]
  const onCorrupt = (error: StorageError): void => {
    assert.equal(error.kind, 'corrupt')
    told.push(error.message)
  }

  function change(action: (transaction: KeyValueTransaction) => void): Promise<void> {
    return records.write('visible', action)
  }

  function spoil(key: string, text = 'spoilt'): Promise<void> {
    return change((transaction) => transaction.put(key, text))
  }

  beforeEach(async () => {
    records = new MemoryKeyValueStore()
    store = new KeyValueMetadataStore(records)
    told = []
    for (const blob of blobs) await link(store, blob)
  })

  test('among leases is told of, and those behind it are listed', async () => {
    const times = ['00000000000005', '000000000000005x', '', '0', '-00000000000005']
    for (const time of times) await spoil(`${leasesPrefix}!${time}!${first}!${app}`, present)
    await spoil(`${leasesPrefix}!000000000000006!sha256:short!${app}`, present)
    await spoil(`${leasesPrefix}!000000000000007!${first}!UPPER`, present)
    await spoil(`${leasesPrefix}!000000000000008!${first}`, present)
    const page = { beforeMs: later, limit: 2 }
    assert.throws(() => store.listEndedLeases(page), isKind('corrupt'))
    const listed = store.listEndedLeases({ ...page, onCorrupt })
    assert.equal(listed.length, 2)
    const rest = store.listEndedLeases({ beforeMs: later, limit: 99, after: listed[1]! })
    const digests = [...listed, ...rest].map(({ digest }) => digest)
    assert.ok(blobs.every((blob) => digests.includes(blob)))
    assert.ok(told.length >= 5, `told of ${told}`)
    assert.equal(new Set(told).size, told.length)
    assert.ok(told.some((text) => text.includes('sha256:short')))
  })

  test('keeps its own blob from being condemned, and no other', async () => {
    const leases = store.listEndedLeases({ beforeMs: later, limit: 99 })
    await spoil(blobKey(first!))
    await spoil(linkKey(app, second!))
    await change((transaction) => transaction.remove(blobKey(third!)))
    await assert.rejects(store.condemn(leases, by), isKind('corrupt'))
    assert.deepEqual(store.listDropped({ limit: 9 }), [])
    const outcomes = await store.condemn(leases, { ...by, onCorrupt })
    assert.deepEqual(outcomes, ['kept', 'kept', 'kept', 'condemned', 'condemned'])
    assert.equal(told.length, 3)
    assert.ok(told[0]?.includes(blobKey(first!)))
    assert.equal(store.listDropped({ limit: 9 }).length, 4)
    assert.equal(store.listEndedLeases({ beforeMs: later, limit: 99 }).length, 3)
  })

  test('keeps its own entry from being restored or destroyed, and no other', async () => {
    await store.condemn(store.listEndedLeases({ beforeMs: later, limit: 99 }), by)
    const all = store.listDropped({ limit: 99 })
    const dropped = all.filter((each) => each.repository === undefined)
    await spoil(blobKey(first!))
    await assert.rejects(store.restoreDropped(dropped, until), isKind('corrupt'))
    await assert.rejects(store.beginDestroy(dropped), isKind('corrupt'))
    const some = dropped.slice(0, 2)
    const restored = await store.restoreDropped(some, { ...until, onCorrupt })
    assert.deepEqual(restored, ['absent', 'restored'])
    const begun = await store.beginDestroy(dropped, { onCorrupt })
    assert.deepEqual(
      begun.map(({ digest }) => digest),
      blobs.slice(2),
    )
    assert.equal(told.length, 2)
    // Once it can be read again, so it can come back.
    const record = { size: 100, state: 'condemned', condemnedAtMs: later } as const
    await spoil(blobKey(first!), encodeBlob(record))
    assert.deepEqual(await store.restoreDropped(dropped.slice(0, 1), until), ['restored'])
  })

  test('among what was dropped or is being destroyed is passed over', async () => {
    await store.condemn(store.listEndedLeases({ beforeMs: later, limit: 99 }), by)
    await spoil(records.reader.keys({ ...below(droppedPrefix), limit: 1 })[0]!)
    assert.throws(() => store.listDropped({ limit: 99 }), isKind('corrupt'))
    const dropped = store.listDropped({ limit: 99, onCorrupt })
    assert.equal(dropped.length, 9)
    await store.beginDestroy(dropped)
    await spoil(records.reader.keys({ ...below(destructionsPrefix), limit: 1 })[0]!)
    assert.throws(() => store.listDestroying(99), isKind('corrupt'))
    assert.equal(store.listDestroying(99, { onCorrupt }).length, 3)
    assert.equal(told.length, 2)
  })

  test('among manifests, tags and removals is passed over', async () => {
    const puts = ['x', 'y', 'z'].map((name) => manifest(name, { tags: [tag(name)] }))
    for (const put of puts) await store.putManifest(put)
    await spoil(contentsKey(app, puts[0]!.digest))
    await spoil(records.reader.keys(below(movesPrefix(app, tag('y'))))[0]!)
    assert.throws(() => store.listManifests(app, { limit: 9 }), isKind('corrupt'))
    assert.equal(store.listManifests(app, { limit: 9, onCorrupt }).length, 2)
    assert.throws(() => store.listTagTimes(app, { limit: 9 }), isKind('corrupt'))
    const times = store.listTagTimes(app, { limit: 9, onCorrupt })
    assert.deepEqual(
      times.map((each) => each.tag),
      ['x', 'z'],
    )
    for (const put of puts.slice(1)) await store.deleteManifest(app, put.digest, now, lease)
    const removed = removalsPrefix(app, puts[1]!.digest)
    await spoil(records.reader.keys(below(removed))[0]!)
    assert.throws(() => store.listRemovedManifests({ limit: 9 }), isKind('corrupt'))
    const [left] = store.listRemovedManifests({ limit: 9, onCorrupt })
    assert.equal(left?.digest, puts[2]!.digest)
    assert.throws(() => store.findRemovedManifest(app, puts[1]!.digest), isKind('corrupt'))
    await store.forgetRemovedManifests([left])
    assert.equal(told.length, 3)
  })
})

describe('a damaged index', () => {
  const layer = digestOf('layer')
  let records: MemoryKeyValueStore
  let store: KeyValueMetadataStore

  function change(action: (transaction: KeyValueTransaction) => void): Promise<void> {
    return records.write('visible', action)
  }

  beforeEach(async () => {
    records = new MemoryKeyValueStore()
    store = new KeyValueMetadataStore(records)
    await link(store, layer)
  })

  test('that gives a lease to what a manifest names costs no blob', async () => {
    const put = manifest('image', { blobs: [layer], tags: [latest] })
    await store.putManifest(put)
    await change((transaction) => {
      assert.ok(transaction.get(referenceKey(app, layer, put.digest)))
      transaction.put(linkKey(app, layer), encodeLease(5))
      transaction.put(leaseKey(5, layer, app), present)
    })
    const leases = store.listEndedLeases({ beforeMs: later, limit: 9 })
    assert.deepEqual(await store.condemn(leases, by), ['kept'])
    assert.equal(store.readBlob(app, layer)?.referenced, true)
    assert.deepEqual(store.listEndedLeases({ beforeMs: later, limit: 9 }), [])
  })

  test('with leases of what is renewed, gone or held is put right', async () => {
    await change((transaction) => {
      transaction.put(leaseKey(5, layer, app), present)
      transaction.put(leaseKey(6, layer), present)
      transaction.put(leaseKey(7, digestOf('absent')), present)
      transaction.put(leaseKey(8, digestOf('absent'), app), present)
    })
    const leases = store.listEndedLeases({ beforeMs: lease, limit: 9 })
    assert.deepEqual(await store.condemn(leases, by), Array(4).fill('kept'))
    assert.deepEqual(store.listEndedLeases({ beforeMs: lease, limit: 9 }), [])
    assert.equal(store.readBlob(app, layer)?.leaseUntilMs, lease)
  })

  test('with an own lease of a blob that is held condemns nothing', async () => {
    await change((transaction) => {
      transaction.put(blobKey(layer), encodeBlob({ size: 100, state: 'live', leaseUntilMs: 5 }))
      transaction.put(leaseKey(5, layer), present)
    })
    const leases = store.listEndedLeases({ beforeMs: lease, limit: 9 })
    assert.deepEqual(await store.condemn(leases, by), ['kept'])
    assert.ok(store.readBlob(app, layer))
  })

  test('that lets somebody hold a condemned blob keeps it from being destroyed', async () => {
    await store.condemn(store.listEndedLeases({ beforeMs: later, limit: 9 }), by)
    const dropped = store.listDropped({ limit: 9 })
    const other = repository('other')
    await change((transaction) => {
      transaction.put(linkKey(other, layer), encodeLease(later))
      transaction.put(leaseKey(later, layer, other), present)
      transaction.put(holderKey(layer, other), present)
    })
    assert.deepEqual(await store.beginDestroy(dropped), [])
    assert.ok(store.readBlob(other, layer))
  })

  test('that lets somebody hold a condemned blob condemns it no later', async () => {
    await store.condemn(store.listEndedLeases({ beforeMs: later, limit: 9 }), by)
    const [blob] = store.listDropped({ limit: 9 })
    await change((transaction) => {
      transaction.put(linkKey(app, layer), encodeLease(lease))
      transaction.put(leaseKey(lease, layer, app), present)
      transaction.put(holderKey(layer, app), present)
    })
    await store.recountUsage({ repair: true })
    const leases = store.listEndedLeases({ beforeMs: later, limit: 9 })
    const next = { nowMs: later + 5, run: 'next' }
    assert.deepEqual(await store.condemn(leases, next), ['unlinked'])
    assert.deepEqual(store.listDropped({ limit: 1 }), [blob])
    assert.deepEqual(await store.recountUsage({ repair: false }), [])
  })

  test('that calls a live blob dropped neither destroys nor changes it', async () => {
    const row = encodeDropped({ size: 100, run: 'r' })
    const stale = { atMs: 5, digest: layer, size: 100, run: 'r' }
    for (const act of [
      () => store.restoreDropped([stale], until),
      () => store.beginDestroy([stale]),
    ]) {
      await change((transaction) => transaction.put(droppedKey(5, layer), row))
      assert.deepEqual(store.listDropped({ limit: 9 }), [stale])
      assert.notEqual((await act())[0], 'restored')
      assert.deepEqual(store.listDropped({ limit: 9 }), [])
      assert.equal(store.readBlob(app, layer)?.leaseUntilMs, lease)
      assert.deepEqual(store.listDestroying(9), [])
    }
  })

  test('that lets somebody hold a destroyed blob goes with it', async () => {
    await store.condemn(store.listEndedLeases({ beforeMs: later, limit: 9 }), by)
    await store.beginDestroy(store.listDropped({ limit: 9 }))
    const other = repository('other')
    await change((transaction) => {
      transaction.put(linkKey(other, layer), encodeLease(later))
      transaction.put(leaseKey(later, layer, other), present)
      transaction.put(holderKey(layer, other), present)
    })
    await store.recountUsage({ repair: true })
    await store.endDestroy([layer])
    assert.equal(store.readBlob(other, layer), undefined)
    assert.deepEqual(store.listEndedLeases({ beforeMs: 9 * later, limit: 9 }), [])
    assert.deepEqual(await store.recountUsage({ repair: false }), [])
  })
})

describe('a quarantined blob', () => {
  const layer = digestOf('layer')
  let records: MemoryKeyValueStore
  let store: KeyValueMetadataStore

  beforeEach(async () => {
    records = new MemoryKeyValueStore()
    store = new KeyValueMetadataStore(records)
    await link(store, layer)
    await records.write('visible', (transaction) =>
      transaction.put(blobKey(layer), encodeBlob({ size: 100, state: 'quarantined' })),
    )
  })

  test('reads as absent, and lives again where it is pushed anywhere', async () => {
    assert.equal(store.readBlob(app, layer), undefined)
    assert.deepEqual(store.repositoriesHolding(layer, 9), [])
    assert.equal(await link(store, layer, { repository: repository('other') }), 'linked')
    assert.ok(store.readBlob(app, layer))
  })

  test('is garbage like any other, and comes back as what it was', async () => {
    await store.condemn(store.listEndedLeases({ beforeMs: later, limit: 9 }), by)
    const dropped = store.listDropped({ limit: 9 })
    assert.equal(dropped.length, 2)
    assert.deepEqual(await store.restoreDropped(dropped, until), ['restored', 'restored'])
    assert.equal(store.readBlob(app, layer), undefined)
    const text = records.reader.get(blobKey(layer))
    assert.equal(text, encodeBlob({ size: 100, state: 'quarantined' }))
    await link(store, layer)
    assert.ok(store.readBlob(app, layer))
  })

  test('is missing to a manifest that is to come back', async () => {
    await link(store, layer)
    const put = manifest('image', { blobs: [layer] })
    await store.putManifest(put)
    await store.deleteManifest(app, put.digest, now, lease)
    await records.write('visible', (transaction) =>
      transaction.put(blobKey(layer), encodeBlob({ size: 100, state: 'quarantined' })),
    )
    const removed = store.findRemovedManifest(app, put.digest)!
    const answer = await store.restoreManifest(removed, { ...until, tags: [] })
    assert.deepEqual(answer, { kind: 'missing', digests: [layer] })
  })
})

test('a deleted manifest has one body, which goes when it is forgotten or comes back', async () => {
  const records = new MemoryKeyValueStore()
  const store = new KeyValueMetadataStore(records)
  const bodies = (): number => records.reader.bodyKeys({ start: '!', end: '~' }).length
  const put = manifest('image')
  for (const end of ['forget', 'restore'] as const) {
    await store.putManifest(put)
    await store.deleteManifest(app, put.digest, now, lease)
    assert.equal(bodies(), 1)
    const removed = store.findRemovedManifest(app, put.digest)!
    if (end === 'forget') await store.forgetRemovedManifests([removed])
    else await store.restoreManifest(removed, { ...until, tags: [] })
    assert.equal(bodies(), end === 'forget' ? 0 : 1)
    assert.equal(store.readManifest(app, put.digest) === undefined, end === 'forget')
    assert.deepEqual(store.listRemovedManifests({ limit: 9 }), [])
  }
})
