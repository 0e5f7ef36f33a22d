// Manifests that nothing uses, those that were deleted, and how they come back.

import assert from 'node:assert/strict'
import {
  app,
  type Check,
  digestOf,
  type FullStore,
  latest,
  lease,
  link,
  manifest,
  now,
  referrer,
  repository,
  tag,
} from './scene.ts'

const layer = digestOf('layer')
const other = repository('library/other')
const v1 = tag('v1')
const image = manifest('image', { tags: [latest, v1], blobs: [layer] })
const by = { nowMs: now + 100, leaseUntilMs: lease, run: 'sweep-1' }
const restore = { nowMs: now + 200, leaseUntilMs: 2 * lease, tags: [] }

/** An image with a blob of its own. */
async function filled(store: FullStore): Promise<void> {
  await link(store, layer)
  assert.deepEqual(await store.putManifest(image), { kind: 'stored' })
}

async function collectAll(store: FullStore): Promise<void> {
  const leases = await store.listEndedLeases({ beforeMs: 9 * lease, limit: 99 })
  await store.condemn(leases, { nowMs: 9 * lease, run: 'gc' })
}

export function sweepingManifests(check: Check): void {
  check('manifests list with what uses them', async ({ store }) => {
    await filled(store)
    const index = manifest('index', { children: [image.digest] })
    await store.putManifest(index)
    const signature = referrer('signature', image.digest)
    await store.putManifest(signature)
    const plain = { tags: [], blobs: [], children: [], isListed: false }
    const summaries = [
      {
        ...plain,
        digest: image.digest,
        blobs: [layer],
        tags: [latest, v1],
        isListed: true,
        size: 5,
      },
      { ...plain, digest: index.digest, children: [image.digest], size: 5 },
      { ...plain, digest: signature.digest, subject: image.digest, size: 9 },
    ].map((summary) => ({ ...summary, mediaType: image.mediaType }))
    summaries.sort((a, b) => (a.digest < b.digest ? -1 : 1))
    assert.deepEqual(await store.listManifests(app, { limit: 9 }), summaries)
    assert.deepEqual(
      await store.listManifests(app, { limit: 1, after: summaries[0]!.digest }),
      summaries.slice(1, 2),
    )
    assert.deepEqual(await store.listManifests(repository('none'), { limit: 9 }), [])
  })

  check('a mark keeps its first time until the manifest is used, or pushed', async ({ store }) => {
    await filled(store)
    const since = async (): Promise<number | undefined> =>
      (await store.listManifests(app, { limit: 1 }))[0]?.unusedSinceMs
    const mark = (atMs: number): Promise<void> =>
      store.markUnused(app, { unused: [image.digest, digestOf('absent')], used: [] }, atMs)
    await mark(now)
    await mark(now + 1)
    assert.equal(await since(), now)
    await store.markUnused(app, { unused: [], used: [image.digest] }, now)
    assert.equal(await since(), undefined)
    await mark(now + 2)
    await store.putManifest({ ...image, tags: [] })
    assert.equal(await since(), undefined)
    await mark(now + 3)
    await store.putManifest(manifest('index', { children: [image.digest] }))
    const [listed] = (await store.listManifests(app, { limit: 9 })).filter((each) => each.isListed)
    assert.equal(listed?.unusedSinceMs, undefined)
  })

  check('what was pushed by digest awaits its use as long as a blob does', async ({ store }) => {
    const graceMs = lease - now
    const at = (nowMs: number): typeof by => ({ ...by, nowMs, leaseUntilMs: nowMs + graceMs })
    const child = manifest('child')
    await store.putManifest(child)
    assert.equal(await store.removeUnused(app, child.digest, at(now + 1)), 'used')
    // Another client, which uses it for something else that goes, has used it all the same.
    const index = manifest('index', { tags: [v1], children: [child.digest] })
    await store.putManifest(index)
    assert.equal(await store.removeUnused(app, index.digest, { ...at(now), tags: [v1] }), 'removed')
    assert.equal(await store.removeUnused(app, child.digest, at(now + 1)), 'removed')
    await store.putManifest(child)
    await store.putManifest(index)
    await store.putManifest({ ...child, nowMs: now + 5 })
    assert.equal(await store.removeUnused(app, index.digest, { ...at(now), tags: [v1] }), 'removed')
    assert.equal(await store.removeUnused(app, child.digest, at(lease + 4)), 'used')
    assert.equal(await store.removeUnused(app, child.digest, at(lease + 5)), 'removed')
  })

  check('only what no other tag and no index uses is removed', async ({ store }) => {
    await filled(store)
    assert.equal(await store.removeUnused(app, image.digest, by), 'used')
    assert.equal(await store.removeUnused(app, image.digest, { ...by, tags: [latest] }), 'used')
    const index = manifest('index', { children: [image.digest] })
    await store.putManifest(index)
    const tags = [latest, v1]
    assert.equal(await store.removeUnused(app, image.digest, { ...by, tags }), 'used')
    assert.equal(await store.readTag(app, latest), image.digest)
    const late = { ...by, nowMs: lease, leaseUntilMs: 2 * lease - now }
    assert.equal(await store.removeUnused(app, index.digest, late), 'removed')
    assert.equal(await store.removeUnused(app, index.digest, late), 'absent')
    assert.equal(await store.removeUnused(app, image.digest, { ...by, tags }), 'removed')
    assert.equal(await store.listTags(app, { limit: 9 }), undefined)
    assert.equal((await store.readBlob(app, layer))?.leaseUntilMs, lease)
    assert.deepEqual(await store.readUsage(''), { bytes: 100, tags: 0 })
    assert.deepEqual(await store.recountUsage({ repair: false }), [])
  })

  check('what has come into use since the sweep looked is kept', async ({ store }) => {
    const put = manifest('untagged')
    await store.putManifest(put)
    const sweep = { ...by, unusedBeforeMs: now + 10 }
    const mark = (): Promise<void> => store.markUnused(app, { unused: [put.digest], used: [] }, now)
    assert.equal(await store.removeUnused(app, put.digest, sweep), 'used', 'not marked')
    await mark()
    const early = { ...sweep, unusedBeforeMs: now }
    assert.equal(await store.removeUnused(app, put.digest, early), 'used', 'marked too late')
    await store.putManifest(put)
    assert.equal(await store.removeUnused(app, put.digest, sweep), 'used', 'pushed again')
    await mark()
    await store.recordPulls([{ repository: app, reference: put.digest, atMs: now + 10 }])
    assert.equal(await store.removeUnused(app, put.digest, sweep), 'used', 'pulled')
    const late = { ...sweep, unusedBeforeMs: now + 11 }
    assert.equal(await store.removeUnused(app, put.digest, late), 'removed')
  })

  check('a signature is kept while its subject is there', async ({ store }) => {
    await filled(store)
    const { digest } = referrer('signature', image.digest)
    await store.putManifest(referrer('signature', image.digest))
    await store.markUnused(app, { unused: [digest], used: [] }, now)
    const sweep = { ...by, unusedBeforeMs: now + 10 }
    assert.equal(await store.removeUnused(app, digest, sweep), 'used')
    await store.deleteManifest(app, image.digest, now, lease)
    assert.equal(await store.removeUnused(app, digest, sweep), 'removed')
  })
}

export function restoringManifests(check: Check): void {
  check('a deleted manifest is kept, and comes back whole', async ({ store, reopen }) => {
    await filled(store)
    await store.deleteManifest(app, image.digest, now + 100, lease)
    const removed = {
      ...{ atMs: now + 100, repository: app, digest: image.digest, size: 5, children: [] },
      ...{ mediaType: image.mediaType, tags: [latest, v1] },
    }
    const next = (await reopen?.()) ?? store
    assert.deepEqual(await next.findRemovedManifest(app, image.digest), removed)
    assert.deepEqual(await next.listRemovedManifests({ limit: 9 }), [removed])
    assert.equal(await next.readManifest(app, image.digest), undefined)
    const back = await next.restoreManifest(removed, { ...restore, tags: removed.tags })
    assert.deepEqual(back, { kind: 'restored', tags: [latest, v1] })
    const read = await next.readManifest(app, image.digest)
    assert.equal(Buffer.from(read!.bytes).toString(), 'image')
    assert.equal(read?.mediaType, image.mediaType)
    assert.deepEqual(await next.listTags(app, { limit: 9 }), [latest, v1])
    assert.equal((await next.readBlob(app, layer))?.referenced, true)
    assert.deepEqual(await next.listRepositories({ limit: 9 }), [app])
    assert.deepEqual(await next.readUsage(''), { bytes: 105, tags: 2 })
    assert.equal(await next.findRemovedManifest(app, image.digest), undefined)
    assert.deepEqual(await next.restoreManifest(removed, restore), { kind: 'absent' })
    assert.deepEqual((await next.readTagHistory(app, latest, 9))[0], {
      to: image.digest,
      atMs: now + 200,
    })
  })

  check('a restore never takes a tag from what has it now', async ({ store }) => {
    await filled(store)
    await store.removeUnused(app, image.digest, { ...by, tags: [latest, v1] })
    const newer = manifest('newer', { tags: [latest] })
    await store.putManifest(newer)
    const removed = (await store.findRemovedManifest(app, image.digest))!
    assert.equal(removed.run, 'sweep-1')
    const back = await store.restoreManifest(removed, { ...restore, tags: removed.tags })
    assert.deepEqual(back, { kind: 'restored', tags: [v1] })
    assert.equal(await store.readTag(app, latest), newer.digest)
    assert.deepEqual(await store.recountUsage({ repair: false }), [])
  })

  check('a restore of what was pushed again only points the tags', async ({ store }) => {
    await filled(store)
    await store.deleteManifest(app, image.digest, now, lease)
    await store.putManifest({ ...image, tags: [v1] })
    const removed = (await store.findRemovedManifest(app, image.digest))!
    const back = await store.restoreManifest(removed, { ...restore, tags: [latest, v1] })
    assert.deepEqual(back, { kind: 'restored', tags: [latest] })
    assert.deepEqual(await store.readUsage(''), { bytes: 105, tags: 2 })
  })

  check('condemned blobs come back with their manifest', async ({ store }) => {
    await filled(store)
    await link(store, digestOf('of other'), { repository: other })
    await store.deleteManifest(app, image.digest, now, lease)
    await collectAll(store)
    assert.equal((await store.listDropped({ limit: 9 })).length, 4)
    const [removed] = await store.listRemovedManifests({ limit: 9 })
    assert.equal((await store.restoreManifest(removed!, restore)).kind, 'restored')
    assert.deepEqual(await store.readBlob(app, layer), {
      ...{ size: 100, referenced: true, leaseUntilMs: 0 },
    })
    assert.deepEqual(await store.readUsage('library/app'), { bytes: 105, tags: 0 })
    const dropped = await store.listDropped({ limit: 9 })
    assert.ok(!dropped.some((each) => each.digest === layer && each.repository === undefined))
    assert.deepEqual(await store.beginDestroy(dropped), [
      { digest: digestOf('of other'), size: 100 },
    ])
    assert.ok(await store.readBlob(app, layer))
  })

  check('a blob that only another repository holds is held here again', async ({ store }) => {
    await filled(store)
    await link(store, layer, { repository: other, leaseUntilMs: 99 * lease })
    await store.deleteManifest(app, image.digest, now, lease)
    await collectAll(store)
    assert.equal(await store.readBlob(app, layer), undefined)
    const [removed] = await store.listRemovedManifests({ limit: 9 })
    assert.equal((await store.restoreManifest(removed!, restore)).kind, 'restored')
    assert.equal((await store.readBlob(app, layer))?.referenced, true)
    assert.deepEqual(await store.repositoriesHolding(layer, 9), [app, other])
  })

  check('a manifest whose blobs were destroyed says so, and changes nothing', async ({ store }) => {
    await filled(store)
    await store.deleteManifest(app, image.digest, now, lease)
    await collectAll(store)
    const begun = await store.beginDestroy(await store.listDropped({ limit: 9 }))
    const [removed] = await store.listRemovedManifests({ limit: 9 })
    const missing = { kind: 'missing', digests: [layer] }
    assert.deepEqual(await store.restoreManifest(removed!, restore), missing)
    await store.endDestroy(begun.map(({ digest }) => digest))
    assert.deepEqual(await store.restoreManifest(removed!, restore), missing)
    assert.equal(await store.readManifest(app, image.digest), undefined)
    assert.deepEqual(await store.readUsage(''), { bytes: 0, tags: 0 })
    await link(store, layer)
    assert.equal((await store.restoreManifest(removed!, restore)).kind, 'restored')
  })

  check('an index comes back after its children', async ({ store }) => {
    await filled(store)
    const index = manifest('index', { children: [image.digest], tags: [tag('multi')] })
    await store.putManifest(index)
    await store.deleteManifest(app, index.digest, now, lease)
    await store.deleteManifest(app, image.digest, now, lease)
    const removed = (await store.findRemovedManifest(app, index.digest))!
    assert.deepEqual(removed.children, [image.digest])
    const missing = { kind: 'missing', digests: [image.digest] }
    assert.deepEqual(await store.restoreManifest(removed, restore), missing)
    const child = (await store.findRemovedManifest(app, image.digest))!
    await store.restoreManifest(child, restore)
    await store.markUnused(app, { unused: [image.digest], used: [] }, now)
    assert.equal((await store.restoreManifest(removed, restore)).kind, 'restored')
    const manifests = await store.listManifests(app, { limit: 9 })
    assert.ok(manifests.every((each) => each.unusedSinceMs === undefined))
    assert.equal(await store.removeUnused(app, image.digest, by), 'used')
  })

  check('what was not there even before is no obstacle', async ({ store }) => {
    await link(store, layer)
    const sparse = manifest('sparse', {
      ...{ blobs: [layer, digestOf('a')], optionalBlobs: [digestOf('foreign')] },
      ...{ children: [digestOf('child')], allowMissingBlobs: true, allowMissingChildren: true },
    })
    await store.putManifest(sparse)
    await store.deleteManifest(app, sparse.digest, now, lease)
    await link(store, digestOf('foreign'))
    const removed = (await store.findRemovedManifest(app, sparse.digest))!
    assert.equal((await store.restoreManifest(removed, restore)).kind, 'restored')
    assert.equal((await store.readBlob(app, layer))?.referenced, true)
    assert.equal((await store.readBlob(app, digestOf('foreign')))?.referenced, true)
    await link(store, digestOf('a'))
    assert.equal((await store.readBlob(app, digestOf('a')))?.referenced, true)
  })

  check('a signature is listed with its subject again', async ({ store }) => {
    const put = referrer('signature', digestOf('subject'), { annotations: { a: 'b' } })
    await store.putManifest(put)
    await store.deleteManifest(app, put.digest, now, lease)
    assert.deepEqual(await store.listReferrers(app, digestOf('subject'), { limit: 9 }), [])
    const [removed] = await store.listRemovedManifests({ limit: 9 })
    await store.restoreManifest(removed!, restore)
    const listed = await store.listReferrers(app, digestOf('subject'), { limit: 9 })
    assert.deepEqual(listed, [put.descriptor])
  })

  check('removals list the oldest first until they are forgotten', async ({ store }) => {
    for (let i = 0; i < 5; i++) {
      const put = manifest(`m${i}`, { repository: i % 2 === 0 ? app : other })
      await store.putManifest(put)
      await store.deleteManifest(put.repository, put.digest, now + i, lease)
    }
    const again = manifest('m0')
    await store.putManifest(again)
    await store.deleteManifest(app, again.digest, now + 9, lease)
    const all = await store.listRemovedManifests({ limit: 99 })
    assert.deepEqual(
      all.map(({ atMs }) => atMs - now),
      [0, 1, 2, 3, 4, 9],
    )
    assert.deepEqual(
      await store.listRemovedManifests({ limit: 2, after: all[1]! }),
      all.slice(2, 4),
    )
    const before = await store.listRemovedManifests({ limit: 99, beforeMs: now + 3 })
    assert.deepEqual(before, all.slice(0, 3))
    assert.equal((await store.findRemovedManifest(app, again.digest))?.atMs, now + 9)
    await store.forgetRemovedManifests(before)
    assert.deepEqual(await store.listRemovedManifests({ limit: 99 }), all.slice(3))
    assert.deepEqual(await store.restoreManifest(before[0]!, restore), { kind: 'absent' })
    assert.equal((await store.findRemovedManifest(app, again.digest))?.atMs, now + 9)
  })
}
