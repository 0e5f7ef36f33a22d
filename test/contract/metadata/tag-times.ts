// When tags were pushed and pulled, and tags that go because no rule keeps them.

import assert from 'node:assert/strict'
import type { Pull, TagTimes } from '../../../src/storage/metadata/tag-times.ts'
import {
  app,
  type Check,
  digestOf,
  type FullStore,
  latest,
  lease,
  link,
  manifest,
  never,
  now,
  referrer,
  repository,
  tag,
} from './scene.ts'

const image = manifest('image', { tags: [latest] })
const v1 = tag('v1')
const all = { limit: 99 }
const by = { nowMs: now + 100, leaseUntilMs: lease, run: 'prune-1' }

async function timesOf(store: FullStore): Promise<TagTimes | undefined> {
  const [times] = await store.listTagTimes(app, all)
  return times
}

export function timingTags(check: Check): void {
  check('a tag is as old as its last push, also one that changed nothing', async ({ store }) => {
    await store.putManifest(image)
    const first = { tag: latest, digest: image.digest, pushedAtMs: now }
    assert.deepEqual(await store.listTagTimes(app, all), [first])
    await store.putManifest({ ...image, nowMs: now + 5 })
    assert.deepEqual(await store.listTagTimes(app, all), [{ ...first, pushedAtMs: now + 5 }])
    assert.equal((await store.readTagHistory(app, latest, 9)).length, 1)
    const next = manifest('next', { tags: [latest], nowMs: now + 7 })
    await store.putManifest(next)
    const moved = { tag: latest, digest: next.digest, pushedAtMs: now + 7 }
    assert.deepEqual(await store.listTagTimes(app, all), [moved])
  })

  check('an imported tag was pushed when it was imported', async ({ store }) => {
    const imported = { run: 'import-1', movedAtMs: 7 }
    await store.putManifest({ ...image, imported })
    assert.equal((await timesOf(store))?.pushedAtMs, now)
    assert.equal((await store.readTagHistory(app, latest, 9))[0]?.atMs, 7)
  })

  check('a tag that comes back does not have the times it had', async ({ store }) => {
    await store.putManifest(image)
    await store.putManifest({ ...image, nowMs: now + 50 })
    await store.recordPulls([{ repository: app, reference: latest, atMs: now + 60 }])
    await store.deleteTag(app, latest, now + 70)
    assert.equal(await store.readPulledAt(app, latest), undefined)
    await store.putManifest({ ...image, nowMs: now + 10 })
    assert.deepEqual(await timesOf(store), {
      tag: latest,
      digest: image.digest,
      pushedAtMs: now + 10,
    })
  })

  check('pulls by tag and by digest count for the tag, and only ever later', async ({ store }) => {
    await store.putManifest(image)
    const pull = (reference: Pull['reference'], atMs: number): Promise<void> =>
      store.recordPulls([{ repository: app, reference, atMs }])
    await pull(latest, now + 5)
    assert.equal((await timesOf(store))?.pulledAtMs, now + 5)
    await pull(image.digest, now + 9)
    assert.equal((await timesOf(store))?.pulledAtMs, now + 9)
    await pull(image.digest, now + 2)
    await pull(latest, now + 3)
    assert.equal((await timesOf(store))?.pulledAtMs, now + 9)
    assert.equal(await store.readPulledAt(app, latest), now + 5)
    assert.equal(await store.readPulledAt(app, image.digest), now + 9)
    await store.deleteManifest(app, image.digest, now, lease)
    assert.equal(await store.readPulledAt(app, image.digest), undefined)
  })

  check('a pull of what is not there leaves nothing behind', async ({ store }) => {
    await store.putManifest(image)
    const other = repository('other')
    await store.recordPulls([
      { repository: app, reference: v1, atMs: now },
      { repository: app, reference: digestOf('absent'), atMs: now },
      { repository: other, reference: latest, atMs: now },
      { repository: app, reference: latest, atMs: now },
    ])
    assert.equal(await store.readPulledAt(app, v1), undefined)
    assert.equal(await store.readPulledAt(app, digestOf('absent')), undefined)
    assert.equal(await store.readPulledAt(other, latest), undefined)
    assert.equal(await store.readPulledAt(app, latest), now)
    await store.putManifest({ ...image, tags: [v1] })
    assert.equal(
      (await store.listTagTimes(app, { limit: 1, after: latest }))[0]?.pulledAtMs,
      undefined,
    )
  })

  check('times list by tag, page by page', async ({ store }) => {
    const names = ['V1', 'v1', 'v1-rc', 'v1.0', 'v10']
    await store.putManifest({ ...image, tags: names.map(tag) })
    const listed = await store.listTagTimes(app, all)
    assert.deepEqual(
      listed.map((times) => times.tag),
      names,
    )
    const page = await store.listTagTimes(app, { limit: 2, after: 'v1' })
    assert.deepEqual(page, listed.slice(2, 4))
    assert.deepEqual(await store.listTagTimes(repository('none'), all), [])
  })
}

export function freeingTags(check: Check): void {
  check('tags that are as they were seen go, with their manifest', async ({ store }) => {
    await link(store, digestOf('layer'))
    await store.putManifest({ ...image, blobs: [digestOf('layer')], tags: [v1, latest] })
    const seen = await store.listTagTimes(app, all)
    const freed = await store.freeTags(app, image.digest, seen, by)
    assert.deepEqual(freed, { tags: [latest, v1], manifest: 'removed' })
    assert.equal(await store.listTags(app, all), undefined)
    assert.equal((await store.readBlob(app, digestOf('layer')))?.leaseUntilMs, lease)
    const removed = await store.findRemovedManifest(app, image.digest)
    assert.deepEqual(removed?.tags, [latest, v1])
    assert.equal(removed.run, 'prune-1')
    assert.deepEqual(await store.readUsage(''), { bytes: 100, tags: 0 })
    assert.deepEqual(await store.recountUsage({ repair: false }), [])
  })

  check('a tag that was pushed, pulled or moved since stays', async ({ store }) => {
    const changes: readonly (() => Promise<unknown>)[] = [
      () => store.putManifest({ ...image, nowMs: now + 1 }),
      () => store.recordPulls([{ repository: app, reference: latest, atMs: now + 9 }]),
      () => store.recordPulls([{ repository: app, reference: image.digest, atMs: now + 19 }]),
      () => store.putManifest(manifest('next', { tags: [latest], nowMs: now + 2 })),
    ]
    await store.putManifest(image)
    for (const [i, change] of changes.entries()) {
      const seen = await store.listTagTimes(app, all)
      await change()
      const freed = await store.freeTags(app, image.digest, seen, by)
      assert.deepEqual(freed, { tags: [], manifest: 'used' }, `change ${i}`)
      assert.ok(await store.readTag(app, latest))
    }
  })

  check('a manifest that something else needs stays', async ({ store }) => {
    await store.putManifest({ ...image, tags: [latest, v1] })
    const [seen] = await store.listTagTimes(app, all)
    assert.deepEqual(await store.freeTags(app, image.digest, [seen!], by), {
      tags: [latest],
      manifest: 'used',
    })
    await store.putManifest(manifest('index', { children: [image.digest] }))
    const rest = await store.listTagTimes(app, all)
    assert.deepEqual(await store.freeTags(app, image.digest, rest, by), {
      tags: [v1],
      manifest: 'used',
    })
    assert.ok(await store.readManifest(app, image.digest))
    assert.deepEqual(await store.recountUsage({ repair: false }), [])
  })

  check('a manifest that was pushed by digest since stays without its tags', async ({ store }) => {
    await store.putManifest(image)
    await store.putManifest({ ...image, tags: [], nowMs: now + 50 })
    const seen = await store.listTagTimes(app, all)
    const freed = await store.freeTags(app, image.digest, seen, by)
    assert.deepEqual(freed, { tags: [latest], manifest: 'used' })
    // Who restores it may be about to bring back the index that listed it.
    await store.removeUnused(app, image.digest, { ...by, nowMs: lease, leaseUntilMs: lease + 1 })
    const [removed] = await store.listRemovedManifests({ limit: 1 })
    await store.restoreManifest(removed!, { ...by, tags: [] })
    assert.equal(await store.removeUnused(app, image.digest, by), 'used')
  })

  check('a manifest that refers to one that is there stays as its referrer', async ({ store }) => {
    const signature = { ...referrer('signature', image.digest), tags: [v1] }
    await store.putManifest(signature)
    const seen = await store.listTagTimes(app, all)
    assert.deepEqual(await store.freeTags(app, signature.digest, seen, by), {
      tags: [v1],
      manifest: 'removed',
    })
    await store.putManifest(image)
    await store.putManifest(signature)
    const again = await store.listTagTimes(app, all)
    const freed = await store.freeTags(app, signature.digest, again, by)
    assert.deepEqual(freed, { tags: [v1], manifest: 'used' })
    const [listed] = await store.listReferrers(app, image.digest, { limit: 9 })
    assert.equal(listed?.digest, signature.digest)
  })

  check('an immutable tag stays, and so does its manifest', async ({ store }) => {
    await store.putManifest({ ...image, tags: [latest, v1] })
    const seen = await store.listTagTimes(app, all)
    const isImmutable = (name: string): boolean => name === 'v1'
    const freed = await store.freeTags(app, image.digest, seen, { ...by, isImmutable })
    assert.deepEqual(freed, { tags: [latest], manifest: 'used' })
    const again = await store.freeTags(app, image.digest, seen, { ...by, isImmutable: never })
    assert.deepEqual(again, { tags: [v1], manifest: 'removed' })
    const gone = await store.freeTags(app, image.digest, seen, by)
    assert.deepEqual(gone, { tags: [], manifest: 'absent' })
  })

  check('a tag that names something else stays', async ({ store }) => {
    const next = manifest('next', { tags: [v1] })
    await store.putManifest(image)
    await store.putManifest(next)
    const seen = await store.listTagTimes(app, all)
    const freed = await store.freeTags(app, image.digest, seen, by)
    assert.deepEqual(freed, { tags: [latest], manifest: 'removed' })
    assert.equal(await store.readTag(app, v1), next.digest)
  })
}
