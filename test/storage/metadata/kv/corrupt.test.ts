// Goal: a record that cannot be read is 'corrupt', never absent and never a wrong answer. Method: each kind
// of record is spoilt in turn, under the record logic.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { blobKey, manifestKey } from '../../../../src/storage/metadata/kv/keys.ts'
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
  referrer,
  upload,
} from '../../../contract/metadata/scene.ts'

const layer = digestOf('layer')
const image = manifest('image', { blobs: [layer], tags: [latest] })
const signature = referrer('signature', image.digest)
const gone = manifest('gone')
const session = upload()

const ends = { createdAtMs: now, expiresAtMs: lease }
const key = { id: 'a', name: 'ci', secretSha256: 'b'.repeat(64), scopes: [], ...ends }
const refresh = {
  ...{ id: 'c', secretSha256: 'd'.repeat(64), username: 'ci', userVersion: 'v' },
  ...ends,
}

/** Which tree is spoilt, and what then asks for it. */
const readers: readonly (readonly [string, (store: KeyValueMetadataStore) => unknown])[] = [
  ['r!library/app!t', (store) => store.readTag(app, latest)],
  ['b', (store) => store.readBlob(app, layer)],
  ['r!library/app!b', (store) => store.readBlob(app, layer)],
  ['b', (store) => store.repositoriesHolding(layer, 9)],
  ['r!library/app!s', (store) => store.listReferrers(app, image.digest, { limit: 9 })],
  ['r!library/app!h', (store) => store.readTagHistory(app, latest, 9)],
  ['r!library/app!l', (store) => store.readPulledAt(app, latest)],
  ['r!library/app!l', (store) => store.listTagTimes(app, { limit: 9 })],
  ['r!library/app!p', (store) => store.listTagTimes(app, { limit: 9 })],
  ['r!library/app!h', (store) => store.listTagTimes(app, { limit: 9 })],
  ['r!library/app!u', (store) => store.listManifests(app, { limit: 9 })],
  ['r!library/app!n', (store) => store.listManifests(app, { limit: 9 })],
  ['r!library/app!w', (store) => store.findRemovedManifest(app, gone.digest)],
  ['r!library/app!w', (store) => store.listRemovedManifests({ limit: 9 })],
  ['d', (store) => store.listDropped({ limit: 9 })],
  ['y', (store) => store.listDestroying(9)],
  ['s!job', (store) => store.readJob('gc')],
  ['u', (store) => store.readUpload(session.id)],
  ['u', (store) => store.listUploads({ limit: 9 })],
  ['r!library/app!n', (store) => store.deleteManifest(app, image.digest, now, lease)],
  ['b', (store) => store.putManifest(manifest('next', { blobs: [layer] }))],
  ['k', (store) => store.readTokenState()],
  ['x!t', (store) => store.readTokenState()],
  ['x!u', (store) => store.readTokenState()],
  ['j', (store) => store.readTokenState()],
  ['f', (store) => store.listRefreshTokens()],
  ['f', (store) => store.readRefreshToken(refresh.secretSha256)],
]

const spoilt = [
  '',
  ' ',
  'null',
  '[]',
  '{}',
  '{"atMs":-1}',
  '12',
  '-1',
  '1 live',
  '1 dead -',
  '\u0000',
]

async function filled(): Promise<MemoryKeyValueStore> {
  const records = new MemoryKeyValueStore()
  const store = new KeyValueMetadataStore(records)
  await link(store, layer)
  await store.putManifest(image)
  await store.putManifest(signature)
  await store.putManifest({ ...image, nowMs: now + 1 })
  await store.putManifest(gone)
  await store.deleteManifest(app, gone.digest, now, lease)
  await store.recordPulls([{ repository: app, reference: latest, atMs: now }])
  await store.markUnused(app, { unused: [image.digest], used: [] }, now)
  await dropTwo(store)
  const claim = { kind: 'gc', run: 'r', owner: 'p', input: {}, nowMs: now } as const
  await store.claimJob(claim, () => false)
  await store.createUpload(session)
  await store.createApiKey(key, 9)
  await store.revokeToken(session.id, now, lease, 9)
  await store.revokeUser('bob', now, lease)
  await store.putSigningKey({ kid: 'k', privateKey: 'p', createdAtMs: now }, undefined)
  await store.createRefreshToken(refresh, 9)
  return records
}

/** One stays condemned, one is being destroyed. */
async function dropTwo(store: KeyValueMetadataStore): Promise<void> {
  for (const name of ['condemned', 'destroying']) await link(store, digestOf(name))
  const leases = store.listEndedLeases({ beforeMs: lease + 1, limit: 9 })
  await store.condemn(leases, { nowMs: lease + 1, run: 'r' })
  const destroying = store.listDropped({ limit: 9 }).find((each) => each.repository === undefined)
  await store.beginDestroy([destroying!])
}

for (const [tree, read] of readers) {
  test(`a spoilt record of ${tree}! is corrupt to ${read.toString().slice(11)}`, async () => {
    for (const text of spoilt) {
      // A link may well be a number: then it is a lease. Others are numbers anyway.
      if (/^y$|![blpu]$/.test(tree) && text === '12') continue
      const records = await filled()
      const keys = records.reader.keys({ start: `${tree}!`, end: `${tree}"` })
      assert.ok(keys.length > 0)
      await records.write('visible', (transaction) => {
        for (const key of keys) transaction.put(key, text)
      })
      const store = new KeyValueMetadataStore(records)
      const answer = async (): Promise<unknown> => read(store)
      await assert.rejects(answer(), isKind('corrupt'), JSON.stringify(text))
    }
  })
}

test('a manifest without its body is corrupt', async () => {
  const records = await filled()
  await records.write('visible', (transaction) => {
    transaction.removeBody(manifestKey(app, image.digest))
  })
  const store = new KeyValueMetadataStore(records)
  assert.throws(() => store.readManifest(app, image.digest), isKind('corrupt'))
})

test('a link without a record of its blob is corrupt', async () => {
  const records = await filled()
  await records.write('visible', (transaction) => transaction.remove(blobKey(layer)))
  const store = new KeyValueMetadataStore(records)
  assert.throws(() => store.readBlob(app, layer), isKind('corrupt'))
})
