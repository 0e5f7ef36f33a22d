// Manifests of a metadata store: what putting and deleting one changes, whole or not at all.

import assert from 'node:assert/strict'
import {
  app,
  type Check,
  digestOf,
  latest,
  lease,
  link,
  manifest,
  now,
  repository,
  tag,
} from './scene.ts'

const config = digestOf('config')
const layer = digestOf('layer')
const other = repository('library/other')

export function puttingManifests(check: Check): void {
  check('a manifest reads back byte for byte', async ({ store }) => {
    const bytes = Buffer.from('{ "unknown": "fields stay",\n\t"__proto__": {} }\u0000\u00ff')
    const put = manifest('', { bytes, mediaType: 'application/x.kept+json' })
    assert.deepEqual(await store.putManifest(put), { kind: 'stored' })
    const read = await store.readManifest(app, put.digest)
    assert.equal(read?.digest, put.digest)
    assert.equal(read.mediaType, 'application/x.kept+json')
    assert.deepEqual(Buffer.from(read.bytes), bytes)
    assert.equal(await store.readManifest(other, put.digest), undefined)
    assert.equal(await store.readManifest(app, digestOf('absent')), undefined)
  })

  check('a manifest of 4 MiB reads back whole', async ({ store }) => {
    const put = manifest('', { bytes: Buffer.alloc(4 * 1024 * 1024, 'manifest ') })
    await store.putManifest(put)
    const read = await store.readManifest(app, put.digest)
    assert.ok(Buffer.from(read!.bytes).equals(put.bytes))
  })

  check('what was read stays what it was while others are read', async ({ store }) => {
    const sizes = [1, 2048, 4095, 40_000, 70_000, 300_000, 4 * 1024 * 1024, 33_000, 10]
    const puts = sizes.map((size) => manifest('', { bytes: Buffer.alloc(size, `${size} `) }))
    for (const put of puts) await store.putManifest(put)
    const reads = []
    for (const { digest } of puts) reads.push(await store.readManifest(app, digest))
    await store.putManifest(manifest('one more'))
    for (const [i, { bytes }] of puts.entries()) {
      assert.ok(Buffer.from(reads[i]!.bytes).equals(bytes), `${sizes[i]} bytes`)
    }
  })

  check('the bytes of a manifest outlive the buffer that brought them', async ({ store }) => {
    const put = manifest('pooled', { bytes: Buffer.from('pooled') })
    await store.putManifest(put)
    put.bytes.fill(0)
    const read = await store.readManifest(app, put.digest)
    assert.equal(Buffer.from(read!.bytes).toString(), 'pooled')
  })

  check('a manifest references its blobs, and ends their leases', async ({ store }) => {
    await link(store, config)
    await link(store, layer)
    const before = await store.readBlob(app, layer)
    assert.deepEqual(before, { size: 100, referenced: false, leaseUntilMs: lease })
    await store.putManifest(manifest('image', { blobs: [config, layer, layer] }))
    assert.equal((await store.readBlob(app, config))?.referenced, true)
    assert.equal((await store.readBlob(app, layer))?.referenced, true)
  })

  check('a missing blob is named, and nothing is left of the put', async ({ store }) => {
    await link(store, config)
    await link(store, layer, { repository: other })
    const put = manifest('image', { blobs: [config, layer, layer], tags: [latest] })
    assert.deepEqual(await store.putManifest(put), { kind: 'missing', digests: [layer] })
    assert.equal(await store.readManifest(app, put.digest), undefined)
    assert.equal(await store.readTag(app, latest), undefined)
    assert.deepEqual(await store.readTagHistory(app, latest, 9), [])
    assert.equal((await store.readBlob(app, config))?.referenced, false)
    assert.deepEqual(await store.listRepositories({ limit: 9 }), [])
    assert.equal(await store.listTags(app, { limit: 9 }), undefined)
  })

  check('children must be manifests of the repository', async ({ store }) => {
    const child = manifest('child')
    const index = manifest('index', { children: [child.digest, digestOf('nowhere')] })
    await store.putManifest({ ...child, repository: other })
    assert.deepEqual(await store.putManifest(index), {
      kind: 'missing',
      digests: [child.digest, digestOf('nowhere')],
    })
    await store.putManifest(child)
    assert.deepEqual(await store.putManifest(index), {
      kind: 'missing',
      digests: [digestOf('nowhere')],
    })
    // A blob of that digest is no manifest.
    await link(store, digestOf('nowhere'))
    assert.equal((await store.putManifest(index)).kind, 'missing')
  })

  check('what may be missing is no obstacle', async ({ store }) => {
    const index = manifest('index', { children: [digestOf('c')], allowMissingChildren: true })
    assert.deepEqual(await store.putManifest(index), { kind: 'stored' })
    const image = manifest('image', { blobs: [layer], allowMissingBlobs: true })
    assert.deepEqual(await store.putManifest(image), { kind: 'stored' })
    const foreign = manifest('foreign', { optionalBlobs: [config] })
    assert.deepEqual(await store.putManifest(foreign), { kind: 'stored' })
    const both = manifest('both', { blobs: [config], allowMissingChildren: true })
    assert.deepEqual(await store.putManifest(both), { kind: 'missing', digests: [config] })
    const neither = manifest('neither', { children: [layer], allowMissingBlobs: true })
    assert.deepEqual(await store.putManifest(neither), { kind: 'missing', digests: [layer] })
  })

  check('what may be missing is referenced where it is there', async ({ store }) => {
    await link(store, layer)
    await link(store, config)
    const parts = { blobs: [layer], allowMissingBlobs: true, optionalBlobs: [config] }
    await store.putManifest(manifest('image', parts))
    assert.equal((await store.readBlob(app, layer))?.referenced, true)
    assert.equal((await store.readBlob(app, config))?.referenced, true)
  })

  check('a blob that comes after its manifest is referenced at once', async ({ store }) => {
    const put = manifest('image', { optionalBlobs: [layer] })
    await store.putManifest(put)
    await link(store, layer)
    assert.equal((await store.readBlob(app, layer))?.referenced, true)
    assert.equal(await store.unlinkBlob(app, layer, lease), 'referenced')
    await store.deleteManifest(app, put.digest, now, lease)
    assert.equal((await store.readBlob(app, layer))?.referenced, false)
  })

  check('the same manifest again, with other tags, adds them', async ({ store }) => {
    await link(store, layer)
    const put = manifest('image', { blobs: [layer], tags: [tag('v1')] })
    await store.putManifest(put)
    await store.putManifest({ ...put, tags: [tag('v1'), tag('v2'), tag('v2')] })
    assert.deepEqual(await store.listTags(app, { limit: 9 }), ['v1', 'v2'])
    assert.equal((await store.readTagHistory(app, tag('v1'), 9)).length, 1)
    // One reference, not two: one deletion frees the blob.
    await store.deleteManifest(app, put.digest, now, lease)
    assert.equal((await store.readBlob(app, layer))?.referenced, false)
  })

  check('a repository lists as soon as it holds a manifest', async ({ store }) => {
    await link(store, layer)
    assert.deepEqual(await store.listRepositories({ limit: 9 }), [])
    await store.putManifest(manifest('image'))
    assert.deepEqual(await store.listRepositories({ limit: 9 }), [app])
    assert.deepEqual(await store.listTags(app, { limit: 9 }), [])
  })
}

export function deletingManifests(check: Check): void {
  check('a deleted manifest takes its tags, and only its own', async ({ store }) => {
    const gone = manifest('gone', { tags: [tag('a'), tag('b'), latest] })
    const kept = manifest('kept', { tags: [tag('b'), tag('c')] })
    await store.putManifest(gone)
    await store.putManifest(kept)
    assert.equal(await store.deleteManifest(app, gone.digest, now, lease), 'removed')
    assert.equal(await store.readManifest(app, gone.digest), undefined)
    assert.equal(await store.readTag(app, tag('a')), undefined)
    assert.equal(await store.readTag(app, latest), undefined)
    assert.equal(await store.readTag(app, tag('b')), kept.digest)
    assert.deepEqual(await store.listTags(app, { limit: 9 }), ['b', 'c'])
    assert.equal(await store.deleteManifest(app, gone.digest, now, lease), 'absent')
  })

  check('deleting starts the lease of what nothing references any more', async ({ store }) => {
    await link(store, config)
    await link(store, layer)
    const first = manifest('first', { blobs: [config, layer] })
    await store.putManifest(first)
    await store.putManifest(manifest('second', { blobs: [layer] }))
    await store.deleteManifest(app, first.digest, now, lease + 7)
    const { referenced, leaseUntilMs } = (await store.readBlob(app, config))!
    assert.deepEqual({ referenced, leaseUntilMs }, { referenced: false, leaseUntilMs: lease + 7 })
    assert.equal((await store.readBlob(app, layer))?.referenced, true)
  })

  check('references of one repository hold nothing in another', async ({ store }) => {
    await link(store, layer)
    await link(store, layer, { repository: other })
    await store.putManifest(manifest('image', { blobs: [layer] }))
    assert.equal((await store.readBlob(other, layer))?.referenced, false)
    assert.equal(await store.unlinkBlob(other, layer, lease), 'removed')
    assert.equal((await store.readBlob(app, layer))?.referenced, true)
  })

  check('with its last manifest a repository leaves the lists', async ({ store }) => {
    const first = manifest('first', { tags: [latest] })
    const second = manifest('second')
    await store.putManifest(first)
    await store.putManifest(second)
    await store.putManifest({ ...second, repository: other })
    await store.deleteManifest(app, first.digest, now, lease)
    assert.deepEqual(await store.listRepositories({ limit: 9 }), [app, other])
    assert.deepEqual(await store.listTags(app, { limit: 9 }), [])
    await store.deleteManifest(app, second.digest, now, lease)
    assert.deepEqual(await store.listRepositories({ limit: 9 }), [other])
    assert.equal(await store.listTags(app, { limit: 9 }), undefined)
    assert.ok(await store.readManifest(other, second.digest))
  })

  check('a deleted manifest can come back', async ({ store }) => {
    await link(store, layer)
    const put = manifest('image', { blobs: [layer], tags: [latest] })
    await store.putManifest(put)
    await store.deleteManifest(app, put.digest, now, lease)
    await store.putManifest(put)
    assert.equal(await store.readTag(app, latest), put.digest)
    assert.equal((await store.readBlob(app, layer))?.referenced, true)
  })
}
