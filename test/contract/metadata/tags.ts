// Tags of a metadata store, and where they have pointed.

import assert from 'node:assert/strict'
import {
  app,
  type Check,
  digestOf,
  latest,
  lease,
  manifest,
  now,
  repository,
  tag,
} from './scene.ts'

export function movingTags(check: Check): void {
  check('a tag points at the manifest that was put last', async ({ store }) => {
    const first = manifest('first', { tags: [latest] })
    const second = manifest('second', { tags: [latest] })
    await store.putManifest(first)
    assert.equal(await store.readTag(app, latest), first.digest)
    await store.putManifest(second)
    assert.equal(await store.readTag(app, latest), second.digest)
    assert.ok(await store.readManifest(app, first.digest))
    assert.equal(await store.readTag(repository('library/ap'), latest), undefined)
    assert.equal(await store.readTag(app, tag('lates')), undefined)
  })

  check('a deleted tag leaves its manifest', async ({ store }) => {
    const put = manifest('image', { tags: [latest, tag('v1')] })
    await store.putManifest(put)
    assert.equal(await store.deleteTag(app, latest, now), 'removed')
    assert.equal(await store.deleteTag(app, latest, now), 'absent')
    assert.equal(await store.readTag(app, latest), undefined)
    assert.equal(await store.readTag(app, tag('v1')), put.digest)
    assert.ok(await store.readManifest(app, put.digest))
    assert.deepEqual(await store.listRepositories({ limit: 9 }), [app])
  })

  check('deleting a manifest does not touch a tag that has left it', async ({ store }) => {
    const first = manifest('first', { tags: [latest] })
    const second = manifest('second', { tags: [latest] })
    await store.putManifest(first)
    await store.putManifest(second)
    await store.deleteManifest(app, first.digest, now, lease)
    assert.equal(await store.readTag(app, latest), second.digest)
  })

  check('every move of a tag is in its history, the latest first', async ({ store }) => {
    const first = manifest('first', { tags: [latest] })
    const second = manifest('second', { tags: [latest], nowMs: now + 1 })
    await store.putManifest(first)
    await store.putManifest({ ...first, nowMs: now + 9 })
    await store.putManifest(second)
    await store.deleteTag(app, latest, now + 2)
    await store.putManifest({ ...first, nowMs: now + 3 })
    await store.deleteManifest(app, first.digest, now + 4, lease)
    const history = await store.readTagHistory(app, latest, 9)
    assert.deepEqual(history, [
      { from: first.digest, atMs: now + 4 },
      { to: first.digest, atMs: now + 3 },
      { from: second.digest, atMs: now + 2 },
      { from: first.digest, to: second.digest, atMs: now + 1 },
      { to: first.digest, atMs: now },
    ])
    assert.deepEqual(await store.readTagHistory(app, latest, 2), history.slice(0, 2))
    assert.deepEqual(await store.readTagHistory(app, tag('latest-1'), 9), [])
  })

  check(
    'the history of an imported tag has the time of its first push, and the run',
    async ({ store }) => {
      const first = manifest('first', { tags: [latest] })
      const second = manifest('second', { tags: [latest], nowMs: now + 1 })
      await store.putManifest({ ...first, imported: { run: 'run-1', movedAtMs: now - 1000 } })
      await store.putManifest(second)
      assert.deepEqual(await store.readTagHistory(app, latest, 9), [
        { from: first.digest, to: second.digest, atMs: now + 1 },
        { to: first.digest, atMs: now - 1000, run: 'run-1' },
      ])
    },
  )

  check('the history of a tag keeps its order past ten moves', async ({ store }) => {
    for (let i = 0; i < 25; i++) {
      await store.putManifest(manifest(`m${i}`, { tags: [latest], nowMs: now + i }))
    }
    const history = await store.readTagHistory(app, latest, 100)
    assert.deepEqual(
      history.map(({ atMs }) => atMs),
      Array.from({ length: 25 }, (_, i) => now + 24 - i),
    )
  })

  check('100 manifests at once on one tag leave a whole chain of moves', async ({ store }) => {
    const puts = Array.from({ length: 100 }, (_, i) => manifest(`m${i}`, { tags: [latest] }))
    await Promise.all(puts.map((put) => store.putManifest(put)))
    const history = await store.readTagHistory(app, latest, 1000)
    assert.equal(history.length, 100)
    assert.deepEqual(new Set(history.map(({ to }) => to)), new Set(puts.map((put) => put.digest)))
    for (const [i, move] of history.entries()) assert.equal(move.from, history[i + 1]?.to)
    assert.equal(await store.readTag(app, latest), history[0]?.to)
  })
}

export function listingTags(check: Check): void {
  check('tags page in ASCII order, and names that begin alike do not mix', async ({ store }) => {
    const names = ['V1', '_x', 'v1', 'v1-rc', 'v1.0', 'v10', 'v1_a']
    await store.putManifest(manifest('image', { tags: names.toReversed().map(tag) }))
    for (const near of ['library/app-2', 'library/app/sub', 'library/ap', 'library/app_']) {
      if (near.endsWith('_')) continue
      const neighbour = manifest('near', { repository: repository(near), tags: [tag('other')] })
      await store.putManifest(neighbour)
    }
    const all = await store.listTags(app, { limit: 100 })
    assert.deepEqual(all, ['V1', '_x', 'v1', 'v1-rc', 'v1.0', 'v10', 'v1_a'])
    const pages: string[][] = []
    let after: string | undefined
    for (;;) {
      const page = await store.listTags(app, { limit: 2, ...(after ? { after } : {}) })
      if (page?.length === 0) break
      pages.push(page!)
      after = page!.at(-1)
    }
    assert.deepEqual(pages, [['V1', '_x'], ['v1', 'v1-rc'], ['v1.0', 'v10'], ['v1_a']])
  })

  check('a page starts after a name that need not be there', async ({ store }) => {
    await store.putManifest(manifest('image', { tags: ['a', 'b', 'b-1', 'c'].map(tag) }))
    assert.deepEqual(await store.listTags(app, { limit: 9, after: 'aa' }), ['b', 'b-1', 'c'])
    assert.deepEqual(await store.listTags(app, { limit: 9, after: 'b' }), ['b-1', 'c'])
    assert.deepEqual(await store.listTags(app, { limit: 9, after: '!' }), ['a', 'b', 'b-1', 'c'])
    assert.deepEqual(await store.listTags(app, { limit: 9, after: 'z' }), [])
    assert.deepEqual(await store.listTags(app, { limit: 0 }), [])
    assert.deepEqual(await store.listTags(app, { limit: Number.MAX_SAFE_INTEGER, after: 'b-1' }), [
      'c',
    ])
  })

  check('10,000 tags list in one go and page by page', async ({ store }) => {
    const names = Array.from({ length: 10_000 }, (_, i) => `v${String(i).padStart(5, '0')}`)
    await store.putManifest(manifest('image', { tags: names.map(tag) }))
    assert.deepEqual(await store.listTags(app, { limit: 20_000 }), names)
    const middle = await store.listTags(app, { limit: 3, after: 'v04999' })
    assert.deepEqual(middle, ['v05000', 'v05001', 'v05002'])
    await store.deleteManifest(app, manifest('image').digest, now, lease)
    assert.equal(await store.listTags(app, { limit: 9 }), undefined)
  })

  check('repositories page in ASCII order, with shared beginnings', async ({ store }) => {
    const names = ['a', 'a-b', 'a.b', 'a/b', 'a/b/c', 'a0', 'a_b', 'ab', 'b']
    for (const name of names.toReversed()) {
      await store.putManifest(manifest('image', { repository: repository(name) }))
    }
    assert.deepEqual(await store.listRepositories({ limit: 100 }), names)
    assert.deepEqual(await store.listRepositories({ limit: 2, after: 'a' }), ['a-b', 'a.b'])
    assert.deepEqual(await store.listRepositories({ limit: 2, after: 'a/b' }), ['a/b/c', 'a0'])
    assert.deepEqual(await store.listRepositories({ limit: 2, after: 'a/a' }), ['a/b', 'a/b/c'])
    assert.deepEqual(await store.listRepositories({ limit: 2, after: 'b' }), [])
    assert.deepEqual(await store.listRepositories({ limit: 0 }), [])
  })

  check('the longest names fit', async ({ store }) => {
    const name = repository(`${'a'.repeat(127)}/${'b'.repeat(127)}`)
    const long = tag('t'.repeat(128))
    await store.linkBlob({
      repository: name,
      digest: digestOf('x'),
      size: Number.MAX_SAFE_INTEGER,
      leaseUntilMs: lease,
      quotas: [],
    })
    const put = manifest('image', { repository: name, tags: [long], blobs: [digestOf('x')] })
    assert.deepEqual(await store.putManifest(put), { kind: 'stored' })
    assert.equal(await store.readTag(name, long), put.digest)
    assert.deepEqual(await store.listTags(name, { limit: 1 }), [long])
    assert.equal((await store.readBlob(name, digestOf('x')))?.size, Number.MAX_SAFE_INTEGER)
  })
}
