// What maintenance lists, by pages, compared with the model of a metadata store.

import assert from 'node:assert/strict'
import type { Dropped, EndedLease, RemovedManifest } from '../../src/storage/metadata/garbage.ts'
import type { FullStore } from '../contract/metadata-store.ts'
import type { MaintenanceModel } from './maintenance-model.ts'
import type { World } from './metadata-world.ts'

export async function compareMaintenance(
  world: World,
  model: MaintenanceModel,
  store: FullStore,
  when: string,
): Promise<void> {
  const always = { beforeMs: Number.MAX_SAFE_INTEGER }
  const leases = await paged<EndedLease>((page) => store.listEndedLeases({ ...always, ...page }))
  assert.deepEqual(leases, model.leases(), when)
  const dropped = await paged<Dropped>((page) => store.listDropped(page))
  assert.deepEqual(dropped, model.blobs.dropped(), when)
  const removed = await paged<RemovedManifest>((page) => store.listRemovedManifests(page))
  const removedModels = model.listRemoved().map((each) => each.removed)
  assert.deepEqual(removed, removedModels, when)
  const destroying = [...model.blobs.destroying].sort()
  assert.deepEqual(
    await store.listDestroying(9),
    destroying.map((digest) => ({ digest, size: model.blobs.size(digest) })),
    when,
  )
  for (const repository of world.repositories) {
    const expected = model.at(repository)
    const manifests = await store.listManifests(repository, { limit: 99 })
    const digests = [...expected.manifests.keys()].sort()
    const summaries = digests.map((digest) => expected.summary(digest))
    assert.deepEqual(manifests, summaries, when)
    const times = [...expected.tags.keys()].sort().map((tag) => expected.times(tag))
    assert.deepEqual(await store.listTagTimes(repository, { limit: 99 }), times, when)
    for (const { digest } of world.manifests) {
      const last = removedModels.findLast(
        (each) => each.digest === digest && each.repository === repository,
      )
      assert.deepEqual(await store.findRemovedManifest(repository, digest), last, when)
      const pulledAtMs = await store.readPulledAt(repository, digest)
      assert.equal(pulledAtMs, expected.pulls.get(digest), when)
    }
  }
  await assertWhole(model, store, when)
}

/** Whatever maintenance did: what a manifest names, and was there when it came, can be pulled. */
async function assertWhole(model: MaintenanceModel, store: FullStore, when: string): Promise<void> {
  for (const [repository, { manifests }] of model.repositories) {
    for (const { digest, blobs, allowMissingBlobs } of manifests.values()) {
      for (const blob of allowMissingBlobs ? [] : blobs) {
        const held = await store.readBlob(repository, blob)
        assert.equal(held?.referenced, true, `${blob} of ${digest} in ${repository}, ${when}`)
      }
    }
  }
}

async function paged<Item>(
  list: (page: { readonly limit: number; readonly after?: Item }) => Item[] | Promise<Item[]>,
): Promise<Item[]> {
  const items: Item[] = []
  for (;;) {
    const last = items.at(-1)
    const page = await list({ limit: 3, ...(last === undefined ? {} : { after: last }) })
    items.push(...page)
    if (page.length < 3) return items
  }
}
