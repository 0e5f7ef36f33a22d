// What of a metadata store outlives a restart, and what a closed one answers.

import assert from 'node:assert/strict'
import {
  app,
  type Check,
  digestOf,
  isKind,
  latest,
  lease,
  link,
  manifest,
  referrer,
  upload,
} from './scene.ts'

const layer = digestOf('layer')

export function lasting(check: Check): void {
  check('everything is there after a restart', async ({ store, reopen }) => {
    if (reopen === undefined) return
    const made = upload({ owner: 'p1', fence: 2, offset: 5, digest: digestOf('five') })
    const image = manifest('image', { blobs: [layer], tags: [latest] })
    const signature = referrer('signature', image.digest)
    await link(store, layer)
    await link(store, digestOf('loose'), { leaseUntilMs: lease + 1 })
    await store.putManifest(image)
    await store.putManifest(signature)
    await store.createUpload(made)
    const opened = await reopen()
    assert.equal(await opened.readTag(app, latest), image.digest)
    assert.ok(
      Buffer.from((await opened.readManifest(app, image.digest))!.bytes).equals(image.bytes),
    )
    assert.equal((await opened.readBlob(app, layer))?.referenced, true)
    assert.equal((await opened.readBlob(app, digestOf('loose')))?.leaseUntilMs, lease + 1)
    const referrers = await opened.listReferrers(app, image.digest, { limit: 9 })
    assert.deepEqual(referrers, [signature.descriptor])
    assert.deepEqual(await opened.listRepositories({ limit: 9 }), [app])
    assert.equal((await opened.readTagHistory(app, latest, 9)).length, 1)
    assert.deepEqual(await opened.readUpload(made.id), made)
  })

  check('a fence goes on growing after a restart', async ({ store, reopen }) => {
    if (reopen === undefined) return
    const made = upload()
    await store.createUpload(made)
    await store.claimUpload(made.id, 'p1', 1, () => false)
    const opened = await reopen()
    const claimed = await opened.claimUpload(made.id, 'p2', 2, () => true)
    assert.equal(claimed?.fence, 2)
  })

  check('writes that were begun before closing are done', async ({ store, reopen }) => {
    if (reopen === undefined) return
    const puts = Array.from({ length: 50 }, (_, i) => manifest(`m${i}`))
    const stored = Promise.all(puts.map((put) => store.putManifest(put)))
    const opened = await reopen()
    await stored
    for (const put of puts) assert.ok(await opened.readManifest(app, put.digest))
  })

  check('the secret of a store is the first one, for everybody and for ever', async (scene) => {
    const { store, reopen } = scene
    const fresh = ['one', 'two', 'three']
    const [first = '', ...others] = await Promise.all(fresh.map((each) => store.ensureSecret(each)))
    assert.ok(fresh.includes(first))
    assert.deepEqual(others, [first, first])
    assert.equal(await store.ensureSecret('four'), first)
    if (reopen !== undefined) assert.equal(await (await reopen()).ensureSecret('five'), first)
  })

  check('a probe succeeds, often', async ({ store }) => {
    await Promise.all([store.probe(), store.probe(), store.probe()])
    await store.probe()
    store.refresh()
  })

  check('a closed store refuses writes, and closes twice', async ({ store }) => {
    await Promise.all([store.close(), store.close()])
    await assert.rejects(store.putManifest(manifest('late')), isKind('unavailable'))
    await assert.rejects(store.probe(), isKind('unavailable'))
  })
}
