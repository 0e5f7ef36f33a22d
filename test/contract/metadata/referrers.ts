// Referrers of a metadata store.

import assert from 'node:assert/strict'
import { app, type Check, digestOf, lease, manifest, now, referrer, repository } from './scene.ts'

const subject = digestOf('subject')

export function listingReferrers(check: Check): void {
  check('an unknown subject has no referrers', async ({ store }) => {
    assert.deepEqual(await store.listReferrers(app, subject, { limit: 9 }), [])
  })

  check('referrers list by digest, whether or not their subject exists', async ({ store }) => {
    const puts = Array.from({ length: 5 }, (_, i) => referrer(`r${i}`, subject))
    for (const put of puts) await store.putManifest(put)
    await store.putManifest(referrer('elsewhere', digestOf('another')))
    await store.putManifest({ ...referrer('far', subject), repository: repository('far') })
    const expected = puts
      .map((put) => put.descriptor)
      .sort((a, b) => (a.digest < b.digest ? -1 : 1))
    assert.deepEqual(await store.listReferrers(app, subject, { limit: 9 }), expected)
    const after = expected[1]!.digest
    const page = await store.listReferrers(app, subject, { limit: 2, after })
    assert.deepEqual(page, expected.slice(2, 4))
    assert.deepEqual(await store.listReferrers(app, subject, { limit: 0 }), [])
  })

  check('a descriptor keeps its artifact type and annotations', async ({ store }) => {
    const parts = {
      artifactType: 'application/vnd.example.sbom',
      annotations: JSON.parse('{"org.example/é":"\\u0001 \\"x\\"","__proto__":"kept"}') as Record<
        string,
        string
      >,
    }
    const put = referrer('sbom', subject, parts)
    await store.putManifest(put)
    const [found] = await store.listReferrers(app, subject, { limit: 9 })
    assert.equal(JSON.stringify(found), JSON.stringify(put.descriptor))
  })

  check('the artifact type filters before the page is counted', async ({ store }) => {
    const wanted: string[] = []
    for (let i = 0; i < 700; i++) {
      const put = referrer(`r${i}`, subject, { artifactType: i % 100 === 0 ? 'x/a' : 'x/b' })
      await store.putManifest(put)
      if (i % 100 === 0) wanted.push(put.digest)
    }
    wanted.sort()
    const list = async (page: { limit: number; after?: typeof subject }): Promise<string[]> => {
      const found = await store.listReferrers(app, subject, { ...page, artifactType: 'x/a' })
      return found.map(({ digest }) => digest)
    }
    assert.deepEqual(await list({ limit: 100 }), wanted)
    assert.deepEqual(await list({ limit: 3 }), wanted.slice(0, 3))
    const after = (await store.listReferrers(app, subject, { limit: 3, artifactType: 'x/a' }))[2]
    assert.deepEqual(await list({ limit: 3, after: after!.digest }), wanted.slice(3, 6))
    assert.equal((await store.listReferrers(app, subject, { limit: 1000 })).length, 700)
  })

  check('a page of referrers ends with the one that makes it too long', async ({ store }) => {
    const annotations = { filler: 'x'.repeat(1000) }
    const puts = Array.from({ length: 40 }, (_, i) => referrer(`r${i}`, subject, { annotations }))
    for (const put of puts) await store.putManifest(put)
    const count = async (jsonLengthMax: number): Promise<number> =>
      (await store.listReferrers(app, subject, { limit: 100, jsonLengthMax })).length
    const each = JSON.stringify(puts[0]!.descriptor).length
    assert.equal(await count(each * 20), 21)
    assert.equal(await count(each * 40), 40)
    // Never one alone: the caller could not tell that there is more.
    assert.equal(await count(1), 2)
  })

  check('a deleted referrer leaves the list; a deleted subject leaves its list', async (scene) => {
    const { store } = scene
    const image = manifest('image')
    const first = referrer('first', image.digest)
    const second = referrer('second', image.digest)
    for (const put of [image, first, second]) await store.putManifest(put)
    await store.deleteManifest(app, first.digest, now, lease)
    const left = await store.listReferrers(app, image.digest, { limit: 9 })
    assert.deepEqual(left, [second.descriptor])
    await store.deleteManifest(app, image.digest, now, lease)
    assert.deepEqual(await store.listReferrers(app, image.digest, { limit: 9 }), left)
  })
}
