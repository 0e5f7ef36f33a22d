// Blobs of a metadata store: who holds them, and their leases.

import assert from 'node:assert/strict'
import {
  app,
  type Check,
  digestOf,
  isKind,
  lease,
  link,
  manifest,
  now,
  repository,
} from './scene.ts'

const layer = digestOf('layer')
const other = repository('library/other')

export function holdingBlobs(check: Check): void {
  check('a linked blob is read where it is linked, and nowhere else', async ({ store }) => {
    assert.equal(await store.readBlob(app, layer), undefined)
    await link(store, layer)
    const held = { size: 100, referenced: false, leaseUntilMs: lease }
    assert.deepEqual(await store.readBlob(app, layer), held)
    assert.equal(await store.readBlob(other, layer), undefined)
    assert.equal(await store.readBlob(repository('library/app/x'), layer), undefined)
    assert.equal(await store.readBlob(app, digestOf('absent')), undefined)
  })

  check('linking again moves the lease later, never earlier', async ({ store }) => {
    await link(store, layer)
    await link(store, layer, { leaseUntilMs: lease - 1 })
    assert.equal((await store.readBlob(app, layer))?.leaseUntilMs, lease)
    await link(store, layer, { leaseUntilMs: lease + 1 })
    assert.equal((await store.readBlob(app, layer))?.leaseUntilMs, lease + 1)
  })

  check('linking again with another size is corrupt', async ({ store }) => {
    await link(store, layer)
    const wrong = { repository: app, digest: layer, size: 101, leaseUntilMs: lease, quotas: [] }
    await assert.rejects(store.linkBlob(wrong), isKind('corrupt'))
    assert.equal((await store.readBlob(app, layer))?.size, 100)
  })

  check('linking what a manifest references changes nothing', async ({ store }) => {
    await link(store, layer)
    await store.putManifest(manifest('image', { blobs: [layer] }))
    await link(store, layer, { leaseUntilMs: lease + 1 })
    assert.equal((await store.readBlob(app, layer))?.referenced, true)
  })

  check('an empty blob has a size of its own', async ({ store }) => {
    await store.linkBlob({
      repository: app,
      digest: layer,
      size: 0,
      leaseUntilMs: lease,
      quotas: [],
    })
    assert.equal((await store.readBlob(app, layer))?.size, 0)
  })

  check('a blob mounts from where it is held', async ({ store }) => {
    await link(store, layer)
    assert.equal(await store.mountBlob(app, other, layer, lease + 5, []), 'mounted')
    const mounted = { size: 100, referenced: false, leaseUntilMs: lease + 5 }
    assert.deepEqual(await store.readBlob(other, layer), mounted)
    assert.equal((await store.readBlob(app, layer))?.leaseUntilMs, lease)
  })

  check('a blob does not mount from where it is not held', async ({ store }) => {
    await link(store, layer)
    assert.equal(await store.mountBlob(other, repository('third'), layer, lease, []), 'absent')
    assert.equal(await store.mountBlob(app, other, digestOf('absent'), lease, []), 'absent')
    assert.equal(await store.readBlob(repository('third'), layer), undefined)
    assert.equal(await store.readBlob(other, digestOf('absent')), undefined)
  })

  check('repositories that hold a blob list sorted, up to a limit', async ({ store }) => {
    for (const name of ['b', 'a', 'a-b', 'c']) {
      await link(store, layer, { repository: repository(name) })
    }
    assert.deepEqual(await store.repositoriesHolding(layer, 9), ['a', 'a-b', 'b', 'c'])
    assert.deepEqual(await store.repositoriesHolding(layer, 2), ['a', 'a-b'])
    assert.deepEqual(await store.repositoriesHolding(digestOf('absent'), 9), [])
  })
}

export function leasingBlobs(check: Check): void {
  check('a lease is renewed while the blob is held', async ({ store }) => {
    await link(store, layer)
    assert.equal(await store.renewLease(app, layer, lease + 3), true)
    assert.equal((await store.readBlob(app, layer))?.leaseUntilMs, lease + 3)
    assert.equal(await store.renewLease(other, layer, lease), false)
    assert.equal(await store.readBlob(other, layer), undefined)
  })

  check('renewing the lease of a referenced blob leaves it referenced', async ({ store }) => {
    await link(store, layer)
    await store.putManifest(manifest('image', { blobs: [layer] }))
    assert.equal(await store.renewLease(app, layer, lease + 3), true)
    assert.equal((await store.readBlob(app, layer))?.referenced, true)
  })

  check('unlinking takes the blob from one repository alone', async ({ store }) => {
    await link(store, layer)
    await link(store, layer, { repository: other })
    assert.equal(await store.unlinkBlob(app, layer, lease), 'removed')
    assert.equal(await store.readBlob(app, layer), undefined)
    assert.ok(await store.readBlob(other, layer))
    assert.equal(await store.unlinkBlob(app, layer, lease), 'absent')
    assert.deepEqual(await store.repositoriesHolding(layer, 9), [other])
  })

  check('a referenced blob does not unlink', async ({ store }) => {
    await link(store, layer)
    const put = manifest('image', { blobs: [layer] })
    await store.putManifest(put)
    assert.equal(await store.unlinkBlob(app, layer, lease), 'referenced')
    assert.ok(await store.readBlob(app, layer))
    await store.deleteManifest(app, put.digest, now, lease)
    assert.equal(await store.unlinkBlob(app, layer, lease), 'removed')
  })

  check('a blob that nobody holds any more can be linked again', async ({ store }) => {
    await link(store, layer)
    await store.unlinkBlob(app, layer, lease)
    assert.deepEqual(await store.repositoriesHolding(layer, 9), [])
    assert.equal(await store.mountBlob(app, other, layer, lease, []), 'absent')
    await link(store, layer, { repository: other })
    const held = { size: 100, referenced: false, leaseUntilMs: lease }
    assert.deepEqual(await store.readBlob(other, layer), held)
  })

  check('a push and a delete of the same blob leave one of two states', async ({ store }) => {
    const put = manifest('image', { blobs: [layer] })
    for (let round = 0; round < 20; round++) {
      await link(store, layer)
      const [unlinked, stored] = await Promise.all([
        store.unlinkBlob(app, layer, lease),
        store.putManifest(put),
      ])
      if (stored.kind === 'stored') assert.equal(unlinked, 'referenced')
      else assert.equal(unlinked, 'removed')
      assert.equal(
        (await store.readBlob(app, layer))?.referenced,
        stored.kind === 'stored' || undefined,
      )
      await store.deleteManifest(app, put.digest, now, lease)
    }
  })
}
