// Goal: a write that fails has happened whole or not at all. Method: each write runs on a filled store
// again and again, failing at its 1st, 2nd, 3rd … step until a run is clean; after each failure the records
// are those of before or those of after.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MetadataStore } from '../../../src/storage/metadata/contract.ts'
import type { KeyValueStore } from '../../../src/storage/metadata/kv/contract.ts'
import { manifestKey } from '../../../src/storage/metadata/kv/keys.ts'
import { KeyValueMetadataStore } from '../../../src/storage/metadata/kv/store.ts'
import { openLmdb } from '../../../src/storage/metadata/lmdb/open.ts'
import { MemoryKeyValueStore } from '../../../src/storage/metadata/memory/store.ts'
import {
  app,
  digestOf,
  latest,
  lease,
  link,
  manifest,
  now,
  referrer,
  repository,
  tag,
  upload,
} from '../../contract/metadata/scene.ts'
import { breaches } from '../../simulate/metadata-invariants.ts'
import { FaultyStore } from './faulty-store.ts'
import { withFolder } from './folder.ts'
import { lmdbOptions } from './lmdb-scene.ts'

const layer = digestOf('layer')
const loose = digestOf('loose')
const image = manifest('image', { blobs: [layer], tags: [latest, tag('v1')] })
const session = upload({ owner: 'p1', fence: 1 })
const held = { id: session.id, owner: 'p1', fence: 1 }
const progress = { offset: 3, synced: true, bootId: 'b', nowMs: now, release: true }

const writes: Readonly<Record<string, (store: MetadataStore) => Promise<unknown>>> = {
  'a new manifest that moves a tag': (store) => {
    const put = referrer('next', image.digest)
    return store.putManifest({ ...put, blobs: [layer, loose], tags: [latest, tag('v2')] })
  },
  'a manifest that is there already, with another tag': (store) =>
    store.putManifest({ ...image, tags: [tag('v3')] }),
  'the deletion of a manifest': (store) => store.deleteManifest(app, image.digest, now, lease),
  'the deletion of a tag': (store) => store.deleteTag(app, latest, now),
  'a link that ends a session': (store) =>
    store.linkBlob({
      repository: app,
      digest: digestOf('new'),
      size: 1,
      leaseUntilMs: lease,
      quotas: [],
      upload: held,
    }),
  'a mount': (store) => store.mountBlob(app, repository('other'), layer, lease, []),
  'the renewal of a lease': (store) => store.renewLease(app, loose, lease + 1),
  'an unlink': (store) => store.unlinkBlob(app, loose, lease + 1),
  'a claim': (store) => store.claimUpload(session.id, 'p2', now, () => true),
  'progress of a session': (store) => store.saveUpload(session.id, 'p1', 1, progress),
}

async function fill(records: KeyValueStore): Promise<void> {
  const store = new KeyValueMetadataStore(records)
  await link(store, layer)
  await link(store, loose)
  await store.putManifest(image)
  await store.createUpload(session)
}

function state(records: KeyValueStore): string {
  const entries = records.reader.entries({ start: '!', end: '~' })
  // The store's own records change with time and with every opening.
  const rows = entries.filter(({ key }) => !key.startsWith('s!'))
  const bodies = [image.digest, digestOf('next')].map((digest) =>
    Buffer.from(records.reader.getBody(manifestKey(app, digest)) ?? '').toString(),
  )
  return JSON.stringify([rows, bodies])
}

type Open = () => Promise<KeyValueStore>

async function failEverywhere(
  open: Open,
  write: (store: MetadataStore) => Promise<unknown>,
): Promise<void> {
  const clean = await open()
  await fill(clean)
  const before = state(clean)
  await write(new KeyValueMetadataStore(clean))
  const after = state(clean)
  assert.notEqual(after, before)
  await clean.close()
  let failures = 0
  for (let failAt = 1; ; failAt++) {
    const records = await open()
    await fill(records)
    const faulty = new FaultyStore(records, failAt)
    const result = write(new KeyValueMetadataStore(faulty))
    const isDone = await result.then(
      () => true,
      () => false,
    )
    if (isDone) {
      assert.equal(faulty.hasFailed, false, 'a fault went unnoticed')
      assert.equal(state(records), after)
      await records.close()
      break
    }
    await assert.rejects(result, /planted/)
    failures++
    assert.ok([before, after].includes(state(records)), `half done when step ${failAt} failed`)
    assert.deepEqual(breaches(records.reader), [])
    await records.close()
  }
  assert.ok(failures >= 3, `only ${failures} steps`)
}

for (const [name, write] of Object.entries(writes)) {
  test(`memory: ${name} happens whole or not at all`, async () => {
    await failEverywhere(async () => new MemoryKeyValueStore(), write)
  })

  test(`lmdb: ${name} happens whole or not at all`, async () => {
    await withFolder(async (folder) => {
      let stores = 0
      await failEverywhere(async () => {
        const path = `${folder}/${stores++}`
        return (await openLmdb(lmdbOptions(path, { durability: 'none' }))).store
      }, write)
    })
  })
}
