// What is used in a metadata store, the quotas that bound it, and tags that may not change.

import assert from 'node:assert/strict'
import type { RepositoryName } from '../../../src/oci/name.ts'
import type { MetadataStore } from '../../../src/storage/metadata/contract.ts'
import type { Quota, Usage } from '../../../src/storage/metadata/usage.ts'
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
  upload,
} from './scene.ts'

const layer = digestOf('layer')
const other = repository('library/other')
const nothing: Usage = { bytes: 0, tags: 0 }

async function usages(store: MetadataStore, ...prefixes: readonly string[]): Promise<Usage[]> {
  const found: Usage[] = []
  for (const prefix of prefixes) found.push(await store.readUsage(prefix))
  return found
}

async function assertCounted(store: MetadataStore): Promise<void> {
  assert.deepEqual(await store.recountUsage({ repair: false }), [])
}

export function countingUse(check: Check): void {
  check('blobs, manifests and tags count for every prefix of their name', async ({ store }) => {
    const deep = repository('library/app/deep')
    await link(store, layer)
    await link(store, layer, { repository: deep })
    const put = manifest('12345', { tags: [latest, tag('v1'), latest] })
    await store.putManifest(put)
    const inApp = { bytes: 205, tags: 2 }
    const names = ['', 'library', 'library/app', 'library/app/deep']
    assert.deepEqual(await usages(store, ...names), [inApp, inApp, inApp, { bytes: 100, tags: 0 }])
    for (const near of ['libr', 'library/ap', 'library/app/d', 'library/app-2', 'app', 'x']) {
      assert.deepEqual(await store.readUsage(near), nothing, near)
    }
    await assertCounted(store)
  })

  check('what is there already does not count again', async ({ store }) => {
    const put = manifest('12345', { tags: [latest] })
    for (let i = 0; i < 3; i++) {
      await link(store, layer)
      await store.mountBlob(app, app, layer, lease, [])
      await store.renewLease(app, layer, lease + i)
      await store.putManifest(put)
    }
    assert.deepEqual(await store.readUsage(''), { bytes: 105, tags: 1 })
    await store.mountBlob(app, other, layer, lease, [])
    assert.deepEqual(await usages(store, 'library/app', 'library/other', 'library'), [
      { bytes: 105, tags: 1 },
      { bytes: 100, tags: 0 },
      { bytes: 205, tags: 1 },
    ])
    await store.putManifest(manifest('678', { tags: [latest] }))
    assert.deepEqual(await store.readUsage('library/app'), { bytes: 108, tags: 1 })
    await assertCounted(store)
  })

  check('what is deleted counts no more, to the last byte', async ({ store }) => {
    const put = manifest('12345', { tags: [latest, tag('v1')], blobs: [layer] })
    await link(store, layer)
    await link(store, layer, { repository: other })
    await store.putManifest(put)
    assert.equal(await store.unlinkBlob(app, layer, lease), 'referenced')
    await store.deleteTag(app, latest, now)
    await store.deleteTag(app, latest, now)
    assert.deepEqual(await store.readUsage('library/app'), { bytes: 105, tags: 1 })
    await store.deleteManifest(app, put.digest, now, lease)
    await store.deleteManifest(app, put.digest, now, lease)
    assert.deepEqual(await store.readUsage('library/app'), { bytes: 100, tags: 0 })
    await store.unlinkBlob(app, layer, lease)
    await store.unlinkBlob(app, layer, lease)
    assert.deepEqual(await usages(store, 'library/app', 'library', ''), [
      nothing,
      { bytes: 100, tags: 0 },
      { bytes: 100, tags: 0 },
    ])
    await store.unlinkBlob(other, layer, lease)
    assert.deepEqual(await usages(store, '', 'library', 'library/other'), Array(3).fill(nothing))
    await assertCounted(store)
  })

  check('what was counted outlives the store', async ({ store, reopen }) => {
    await link(store, layer)
    await store.putManifest(manifest('12345', { tags: [latest] }))
    if (reopen === undefined) return
    const next = await reopen()
    assert.deepEqual(await next.readUsage('library'), { bytes: 105, tags: 1 })
    await assertCounted(next)
  })
}

export function keepingQuotas(check: Check): void {
  const bytes = (prefix: string, bytesMax: number): Quota => ({ prefix, bytesMax })

  check('a blob that fits to the byte is linked, the next is refused', async ({ store }) => {
    const quotas = [bytes('library', 250)]
    assert.equal(await link(store, layer, { quotas, size: 150 }), 'linked')
    assert.equal(await link(store, digestOf('b'), { quotas, repository: other }), 'linked')
    const full = { kind: 'over-quota', prefix: 'library', what: 'bytes', limit: 250, used: 250 }
    assert.deepEqual(await link(store, digestOf('c'), { quotas, size: 1 }), { ...full, added: 1 })
    assert.equal(await store.readBlob(app, digestOf('c')), undefined)
    assert.deepEqual(await store.repositoriesHolding(digestOf('c'), 9), [])
    assert.equal((await store.readUsage('')).bytes, 250)
    assert.equal(await link(store, digestOf('empty'), { quotas, size: 0 }), 'linked')
    await assertCounted(store)
  })

  check('a refused link leaves its session, and may succeed later', async ({ store }) => {
    const made = upload({ owner: 'p1', fence: 2 })
    await store.createUpload(made)
    const holder = { id: made.id, owner: 'p1', fence: 2 }
    const refused = await link(store, layer, { quotas: [bytes('', 99)], upload: holder })
    assert.equal(typeof refused, 'object')
    assert.deepEqual(await store.readUpload(made.id), made)
    const linked = await link(store, layer, { quotas: [bytes('', 100)], upload: holder })
    assert.equal(linked, 'linked')
    assert.equal(await store.readUpload(made.id), undefined)
    assert.deepEqual(await store.readBlob(app, layer), {
      ...{ size: 100, referenced: false, leaseUntilMs: lease },
    })
    await assertCounted(store)
  })

  check('what is there already may be pushed again at a full quota', async ({ store }) => {
    const put = manifest('12345', { tags: [latest], blobs: [layer] })
    await link(store, layer)
    await link(store, layer, { repository: other })
    await store.putManifest(put)
    const quotas = [{ prefix: '', bytesMax: 0, tagsMax: 0 }, bytes('library/app', 1)]
    assert.equal(await link(store, layer, { quotas }), 'linked')
    assert.equal(await store.mountBlob(other, app, layer, lease, quotas), 'mounted')
    assert.deepEqual(await store.putManifest({ ...put, quotas }), { kind: 'stored' })
    const moved = manifest('12345', { tags: [latest], quotas })
    assert.deepEqual(await store.putManifest(moved), { kind: 'stored' })
    // And what is there can be deleted.
    assert.equal(await store.deleteTag(app, latest, now), 'removed')
    assert.equal(await store.deleteManifest(app, put.digest, now, lease), 'removed')
    assert.equal(await store.unlinkBlob(app, layer, lease), 'removed')
    assert.equal(typeof (await link(store, layer, { quotas })), 'object')
    await assertCounted(store)
  })

  check('a mount over a quota of its target is refused', async ({ store }) => {
    await link(store, layer)
    const target = repository('team/app')
    const refused = await store.mountBlob(app, target, layer, lease, [bytes('team', 99)])
    assert.deepEqual(refused, {
      ...{ kind: 'over-quota', prefix: 'team', what: 'bytes', limit: 99, used: 0, added: 100 },
    })
    assert.equal(await store.readBlob(target, layer), undefined)
    const absent = await store.mountBlob(app, target, digestOf('no'), lease, [bytes('team', 0)])
    assert.equal(absent, 'absent')
    assert.equal(await store.mountBlob(app, target, layer, lease, [bytes('team', 100)]), 'mounted')
  })

  check('a manifest over a quota leaves nothing of it', async ({ store }) => {
    await link(store, layer)
    const parts = { blobs: [layer], tags: [latest, tag('v1')] }
    const put = manifest('12345', parts)
    const over = { kind: 'over-quota', prefix: 'library' }
    assert.deepEqual(await store.putManifest({ ...put, quotas: [bytes('library', 104)] }), {
      ...over,
      ...{ what: 'bytes', limit: 104, used: 100, added: 5 },
    })
    const tags = (tagsMax: number): readonly Quota[] => [{ prefix: 'library', tagsMax }]
    assert.deepEqual(await store.putManifest({ ...put, quotas: tags(1) }), {
      ...over,
      ...{ what: 'tags', limit: 1, used: 0, added: 2 },
    })
    assert.equal(await store.readManifest(app, put.digest), undefined)
    assert.equal(await store.readTag(app, latest), undefined)
    assert.deepEqual(await store.readTagHistory(app, latest, 9), [])
    assert.equal((await store.readBlob(app, layer))?.referenced, false)
    assert.deepEqual(await store.listRepositories({ limit: 9 }), [])
    assert.deepEqual(await store.putManifest({ ...put, quotas: tags(2) }), { kind: 'stored' })
    const third = { ...put, tags: [tag('v2')], quotas: tags(2) }
    assert.equal((await store.putManifest(third)).kind, 'over-quota')
    const moved = manifest('other', { tags: [latest], quotas: tags(0) })
    assert.deepEqual(await store.putManifest(moved), { kind: 'stored' })
    await assertCounted(store)
  })

  check('of several quotas the first one without room is named', async ({ store }) => {
    const quotas = [bytes('', 1_000), bytes('library', 50), bytes('library/app', 10)]
    const refused = await link(store, layer, { quotas })
    assert.equal(typeof refused === 'object' && refused.prefix, 'library')
    const inner = await link(store, digestOf('small'), { quotas, size: 20 })
    assert.equal(typeof inner === 'object' && inner.prefix, 'library/app')
    assert.deepEqual(await store.readUsage(''), nothing)
  })

  check('of many writes at once only those that fit happen', async ({ store }) => {
    const quotas = [{ prefix: 'library', bytesMax: 1_050, tagsMax: 3 }]
    const names: RepositoryName[] = [app, other]
    const links = Array.from({ length: 24 }, (_, i) =>
      link(store, digestOf(`blob ${i}`), { quotas, repository: names[i % 2]! }),
    )
    const linked = (await Promise.all(links)).filter((result) => result === 'linked')
    assert.equal(linked.length, 10)
    const puts = Array.from({ length: 24 }, (_, i) =>
      store.putManifest(manifest(`m${i + 10}`, { quotas, tags: [tag(`t${i}`)] })),
    )
    const stored = (await Promise.all(puts)).filter(({ kind }) => kind === 'stored')
    assert.equal(stored.length, 3)
    assert.deepEqual(await store.readUsage('library'), { bytes: 1_009, tags: 3 })
    await assertCounted(store)
  })
}

export function keepingTags(check: Check): void {
  const isImmutable = (name: string): boolean => name !== 'latest'
  const v1 = tag('v1')

  check('an immutable tag is made once, and never moves', async ({ store }) => {
    const first = manifest('first', { tags: [v1, latest], isImmutable })
    const second = manifest('second', { tags: [latest, v1], isImmutable })
    assert.deepEqual(await store.putManifest(first), { kind: 'stored' })
    assert.deepEqual(await store.putManifest(first), { kind: 'stored' })
    const refused = { kind: 'immutable', tag: v1, digest: first.digest }
    assert.deepEqual(await store.putManifest(second), refused)
    assert.equal(await store.readTag(app, latest), first.digest)
    assert.equal(await store.readManifest(app, second.digest), undefined)
    assert.deepEqual(await store.putManifest({ ...second, tags: [latest] }), { kind: 'stored' })
    assert.equal(await store.readTag(app, v1), first.digest)
    assert.equal((await store.readTagHistory(app, v1, 9)).length, 1)
    await assertCounted(store)
  })

  check('an immutable tag keeps itself and all that it names', async ({ store }) => {
    const child = manifest('child')
    const middle = manifest('middle', { children: [child.digest] })
    const index = manifest('index', { children: [middle.digest], tags: [v1, latest] })
    const loose = manifest('loose', { children: [child.digest], tags: [latest] })
    for (const put of [child, middle, index, loose]) await store.putManifest(put)
    const refused = { kind: 'immutable', tag: v1, digest: index.digest }
    assert.deepEqual(await store.deleteTag(app, v1, now, isImmutable), refused)
    for (const { digest } of [index, middle, child]) {
      const result = await store.deleteManifest(app, digest, now, lease, isImmutable)
      assert.deepEqual(result, refused)
    }
    assert.equal(await store.readTag(app, v1), index.digest)
    assert.ok(await store.readManifest(app, child.digest))
    assert.equal(await store.deleteManifest(app, loose.digest, now, lease, isImmutable), 'removed')
    assert.equal(await store.deleteTag(app, tag('v2'), now, isImmutable), 'absent')
    // The operator's own deletion knows no rules.
    assert.equal(await store.deleteTag(app, v1, now), 'removed')
    assert.equal(await store.deleteManifest(app, child.digest, now, lease, isImmutable), 'removed')
    await assertCounted(store)
  })

  check(
    'of two manifests at once for a new immutable tag exactly one gets it',
    async ({ store }) => {
      for (let round = 0; round < 20; round++) {
        const name = tag(`v${round}`)
        const puts = Array.from({ length: 4 }, (_, i) =>
          store.putManifest(manifest(`${round} ${i}`, { tags: [name], isImmutable })),
        )
        const results = await Promise.all(puts)
        const kinds = results.map(({ kind }) => kind).sort()
        assert.deepEqual(kinds, ['immutable', 'immutable', 'immutable', 'stored'])
        assert.equal((await store.readTagHistory(app, name, 9)).length, 1)
      }
      await assertCounted(store)
    },
  )
}
