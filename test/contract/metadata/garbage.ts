// Garbage of a metadata store: leases that end, blobs that are condemned, brought back, or destroyed.

import assert from 'node:assert/strict'
import type { Digest } from '../../../src/oci/digest.ts'
import type { UploadId } from '../../../src/oci/upload-id.ts'
import type { Dropped, EndedLease } from '../../../src/storage/metadata/garbage.ts'
import {
  app,
  auditAll,
  type Check,
  digestOf,
  type FullStore,
  isKind,
  lease,
  link,
  manifest,
  now,
  repository,
  upload,
} from './scene.ts'

const layer = digestOf('layer')
const other = repository('library/other')
/** When every lease of these cases has ended. */
const later = lease + 1_000
const by = { nowMs: later, run: 'run-1' }
const until = { nowMs: later, leaseUntilMs: later + lease }

function ended(store: FullStore): EndedLease[] | Promise<EndedLease[]> {
  return store.listEndedLeases({ beforeMs: later, limit: 99 })
}

/** Condemn whatever has ended by then. */
async function collect(store: FullStore): Promise<Dropped[]> {
  await store.condemn(await ended(store), by)
  return store.listDropped({ limit: 99 })
}

async function destroy(store: FullStore): Promise<Digest[]> {
  const begun = await store.beginDestroy(await store.listDropped({ limit: 99 }))
  const digests = begun.map(({ digest }) => digest)
  await store.endDestroy(digests)
  return digests
}

export function listingLeases(check: Check): void {
  check('leases that have ended list the oldest first, page by page', async ({ store }) => {
    const ends = [9, 10, 999, 1_000_000_000_000, 5]
    for (const [i, leaseUntilMs] of ends.entries()) {
      await link(store, digestOf(`${i}`), { leaseUntilMs })
    }
    await link(store, digestOf('loose'))
    await store.unlinkBlob(app, digestOf('loose'), 7)
    const list = (page: Partial<Parameters<FullStore['listEndedLeases']>[0]>) =>
      store.listEndedLeases({ beforeMs: 1_000_000_000_000, limit: 99, ...page })
    const leases = await list({})
    assert.deepEqual(leases, [
      { untilMs: 5, digest: digestOf('4'), repository: app },
      { untilMs: 7, digest: digestOf('loose') },
      { untilMs: 9, digest: digestOf('0'), repository: app },
      { untilMs: 10, digest: digestOf('1'), repository: app },
      { untilMs: 999, digest: digestOf('2'), repository: app },
    ])
    assert.deepEqual(await list({ limit: 2 }), leases.slice(0, 2))
    assert.deepEqual(await list({ limit: 2, after: leases[1]! }), leases.slice(2, 4))
    assert.deepEqual(await list({ after: leases[4]! }), [])
    assert.deepEqual(await list({ beforeMs: 10 }), leases.slice(0, 3))
    assert.equal((await list({ beforeMs: 1_000_000_000_001 })).length, 6)
  })

  check('what a manifest names has no lease that could end', async ({ store }) => {
    await link(store, layer)
    await store.putManifest(manifest('image', { blobs: [layer] }))
    assert.deepEqual(await ended(store), [])
  })
}

export function condemning(check: Check): void {
  check(
    'a blob that its last holder drops is condemned, and reads as absent',
    async ({ store }) => {
      await link(store, layer)
      assert.deepEqual(await store.condemn(await ended(store), by), ['condemned'])
      assert.equal(await store.readBlob(app, layer), undefined)
      assert.deepEqual(await store.repositoriesHolding(layer, 9), [])
      assert.equal(await store.mountBlob(app, other, layer, lease, []), 'absent')
      assert.equal(await store.renewLease(app, layer, later + 1), false)
      assert.equal(await store.unlinkBlob(app, layer, lease), 'absent')
      const put = await store.putManifest(manifest('image', { blobs: [layer] }))
      assert.deepEqual(put, { kind: 'missing', digests: [layer] })
      assert.deepEqual(await store.readUsage(''), { bytes: 0, tags: 0 })
      assert.deepEqual(await ended(store), [])
      const dropped = { atMs: later, digest: layer, size: 100, run: 'run-1' }
      assert.deepEqual(await store.listDropped({ limit: 9 }), [
        dropped,
        { ...dropped, repository: app },
      ])
    },
  )

  check('a blob that another repository holds is only unlinked', async ({ store }) => {
    await link(store, layer)
    await link(store, layer, { repository: other, leaseUntilMs: later + 1 })
    assert.deepEqual(await store.condemn(await ended(store), by), ['unlinked'])
    assert.equal(await store.readBlob(app, layer), undefined)
    assert.ok(await store.readBlob(other, layer))
    assert.deepEqual(await store.readUsage('library'), { bytes: 100, tags: 0 })
    assert.deepEqual(
      (await store.listDropped({ limit: 9 })).map((each) => each.repository),
      [app],
    )
  })

  check('the last of several holders in one batch condemns', async ({ store }) => {
    await link(store, layer)
    await link(store, layer, { repository: other })
    assert.deepEqual(await store.condemn(await ended(store), by), ['unlinked', 'condemned'])
    assert.deepEqual(await store.repositoriesHolding(layer, 9), [])
    assert.deepEqual(await store.readUsage(''), { bytes: 0, tags: 0 })
  })

  check('a blob that no repository holds is condemned by its own lease', async ({ store }) => {
    await link(store, layer)
    await store.unlinkBlob(app, layer, lease)
    assert.deepEqual(await store.condemn(await ended(store), by), ['condemned'])
    assert.deepEqual(await store.listDropped({ limit: 9 }), [
      { atMs: later, digest: layer, size: 100, run: 'run-1' },
    ])
  })

  check('bytes that a quota refused are found by their lease', async ({ store }) => {
    await link(store, layer, { quotas: [{ prefix: '', bytesMax: 1 }] })
    assert.deepEqual(await store.condemn(await ended(store), by), ['condemned'])
    assert.deepEqual(await destroy(store), [layer])
  })

  check('a lease that was renewed, is referenced, gone or not over is kept', async ({ store }) => {
    const names = ['renewed', 'referenced', 'gone', 'mounted'].map(digestOf)
    for (const digest of names) await link(store, digest)
    const leases = await ended(store)
    assert.equal(leases.length, 4)
    await store.renewLease(app, digestOf('renewed'), later + 1)
    await store.putManifest(manifest('image', { blobs: [digestOf('referenced')] }))
    await store.unlinkBlob(app, digestOf('gone'), later + 1)
    await link(store, digestOf('mounted'), { leaseUntilMs: later + 1 })
    assert.deepEqual(await store.condemn(leases, by), Array(4).fill('kept'))
    assert.deepEqual(await store.condemn(leases, { ...by, nowMs: lease }), Array(4).fill('kept'))
    assert.deepEqual(await store.listDropped({ limit: 9 }), [])
    await link(store, layer)
    const early = { nowMs: lease, run: 'run-1' }
    assert.deepEqual(await store.condemn(await ended(store), early), ['kept'])
    assert.ok(await store.readBlob(app, layer))
  })

  check('a manifest put and a collection at once leave one of two states', async ({ store }) => {
    for (let round = 0; round < 20; round++) {
      const blob = digestOf(`${round}`)
      await link(store, blob)
      const put = manifest(`image ${round}`, { blobs: [blob] })
      const leases = await ended(store)
      const isFirst = round % 2 === 0
      const pushed = isFirst ? store.putManifest(put) : undefined
      const condemned = store.condemn(leases, by)
      const stored = await (pushed ?? store.putManifest(put))
      assert.deepEqual(await condemned, [isFirst ? 'kept' : 'condemned'])
      assert.equal(stored.kind, isFirst ? 'stored' : 'missing')
      assert.equal((await store.readBlob(app, blob))?.referenced, isFirst || undefined)
    }
    assert.deepEqual(await store.recountUsage({ repair: false }), [])
  })

  check('a batch of 1,000 is one transaction that counts exactly', async ({ store }) => {
    const links = Array.from({ length: 500 }, (_, i) => [digestOf(`${i}`), i + 1] as const)
    for (const [digest, size] of links) {
      await Promise.all([
        link(store, digest, { size }),
        link(store, digest, { size, repository: other }),
      ])
    }
    const leases = await store.listEndedLeases({ beforeMs: later, limit: 1_000 })
    const outcomes = await store.condemn(leases, by)
    assert.equal(outcomes.filter((outcome) => outcome === 'condemned').length, 500)
    assert.equal(outcomes.filter((outcome) => outcome === 'unlinked').length, 500)
    assert.deepEqual(await store.readUsage(''), { bytes: 0, tags: 0 })
    assert.deepEqual(await store.recountUsage({ repair: false }), [])
    assert.equal((await store.listDropped({ limit: 2_000 })).length, 1_500)
  })
}

export function restoring(check: Check): void {
  check('a condemned blob lives again when it is pushed, anywhere', async ({ store }) => {
    await link(store, layer)
    const dropped = await collect(store)
    assert.equal(await link(store, layer, { repository: other, leaseUntilMs: later + 9 }), 'linked')
    assert.deepEqual(await store.repositoriesHolding(layer, 9), [other])
    assert.deepEqual(await store.readUsage(''), { bytes: 100, tags: 0 })
    assert.deepEqual(
      (await store.listDropped({ limit: 9 })).map((each) => each.repository),
      [app],
    )
    assert.deepEqual(await store.beginDestroy(dropped), [])
    assert.ok(await store.readBlob(other, layer))
  })

  check('a restore holds it again where it was, counted, with a lease', async ({ store }) => {
    await link(store, layer)
    await link(store, layer, { repository: other })
    const dropped = await collect(store)
    assert.equal(dropped.length, 3)
    assert.deepEqual(await store.restoreDropped(dropped, until), Array(3).fill('restored'))
    const held = { size: 100, referenced: false, leaseUntilMs: until.leaseUntilMs }
    assert.deepEqual(await store.readBlob(app, layer), held)
    assert.deepEqual(await store.readBlob(other, layer), held)
    assert.deepEqual(await store.readUsage(''), { bytes: 200, tags: 0 })
    assert.deepEqual(await store.listDropped({ limit: 9 }), [])
    assert.deepEqual(await store.restoreDropped(dropped, until), Array(3).fill('absent'))
    assert.deepEqual(await store.recountUsage({ repair: false }), [])
    await store.condemn(await store.listEndedLeases({ beforeMs: 9 * later, limit: 9 }), {
      ...by,
      nowMs: 9 * later,
    })
    assert.equal((await store.listDropped({ limit: 9 })).length, 3)
  })

  check('restoring only the link brings the blob back, too', async ({ store }) => {
    await link(store, layer)
    const [blob, held] = await collect(store)
    assert.deepEqual(await store.restoreDropped([held!], until), ['restored'])
    assert.ok(await store.readBlob(app, layer))
    assert.deepEqual(await store.restoreDropped([blob!], until), ['absent'])
    assert.deepEqual(await store.listDropped({ limit: 9 }), [])
  })

  check('a blob that nobody held comes back with a lease of its own', async ({ store }) => {
    await link(store, layer)
    await store.unlinkBlob(app, layer, lease)
    const dropped = await collect(store)
    assert.deepEqual(await store.restoreDropped(dropped, until), ['restored'])
    assert.deepEqual(await store.repositoriesHolding(layer, 9), [])
    const leases = await store.listEndedLeases({ beforeMs: until.leaseUntilMs + 1, limit: 9 })
    assert.deepEqual(leases, [{ untilMs: until.leaseUntilMs, digest: layer }])
  })

  check('what was pushed again, or never dropped, is not restored', async ({ store }) => {
    await link(store, layer)
    const dropped = await collect(store)
    await link(store, layer, { leaseUntilMs: later + 5 })
    assert.deepEqual(await store.restoreDropped(dropped, until), ['absent', 'absent'])
    assert.equal((await store.readBlob(app, layer))?.leaseUntilMs, later + 5)
    assert.deepEqual(await store.readUsage(''), { bytes: 100, tags: 0 })
    const never = { atMs: 1, digest: digestOf('never'), size: 1, run: 'x', repository: app }
    assert.deepEqual(await store.restoreDropped([never], until), ['absent'])
    assert.equal(await store.readBlob(app, digestOf('never')), undefined)
    const forged = { ...never, digest: layer, repository: other }
    assert.deepEqual(await store.restoreDropped([forged], until), ['absent'])
    assert.equal(await store.readBlob(other, layer), undefined)
  })

  check('what was dropped lists the oldest first, page by page', async ({ store }) => {
    for (let i = 0; i < 4; i++) {
      await link(store, digestOf(`${i}`))
      await store.condemn(await ended(store), { nowMs: later + i, run: `run-${i}` })
    }
    const all = await store.listDropped({ limit: 99 })
    assert.deepEqual(
      all.map(({ atMs }) => atMs - later),
      [0, 0, 1, 1, 2, 2, 3, 3],
    )
    assert.deepEqual(await store.listDropped({ limit: 3, after: all[2]! }), all.slice(3, 6))
    assert.deepEqual(await store.listDropped({ limit: 99, beforeMs: later + 2 }), all.slice(0, 4))
  })
}

export function destroying(check: Check): void {
  check('a blob that is being destroyed is busy, and cannot come back', async ({ store }) => {
    await link(store, layer)
    const dropped = await collect(store)
    const [blob] = dropped
    assert.deepEqual(await store.beginDestroy([blob!]), [{ digest: layer, size: 100 }])
    assert.deepEqual(await store.listDropped({ limit: 9 }), [])
    assert.equal(await link(store, layer), 'busy')
    assert.equal(await link(store, layer, { repository: other }), 'busy')
    assert.deepEqual(await store.restoreDropped(dropped, until), ['absent', 'absent'])
    assert.deepEqual(await store.listDestroying(9), [{ digest: layer, size: 100 }])
    assert.deepEqual(await store.beginDestroy(dropped), [])
    assert.equal(await store.readBlob(app, layer), undefined)
  })

  check('an audit leaves the time from which on it is being destroyed', async ({ store }) => {
    await link(store, layer)
    await store.beginDestroy(await collect(store), { beganAtMs: later })
    assert.deepEqual(await auditAll(store, until), [])
    const begun = { digest: layer, size: 100, beganAtMs: later }
    assert.deepEqual(await store.listDestroying(9), [begun])
  })

  check('after its destruction a blob is a new one, whatever its size', async ({ store }) => {
    await link(store, layer)
    await collect(store)
    assert.deepEqual(await destroy(store), [layer])
    assert.deepEqual(await store.listDestroying(9), [])
    assert.equal(await link(store, layer, { size: 7 }), 'linked')
    assert.equal((await store.readBlob(app, layer))?.size, 7)
    assert.deepEqual(await store.readUsage(''), { bytes: 7, tags: 0 })
  })

  check('a kill between the two leaves what is to be ended', async ({ store, reopen }) => {
    await link(store, layer)
    await link(store, digestOf('b'))
    await store.beginDestroy(await collect(store))
    const next = (await reopen?.()) ?? store
    const left = await next.listDestroying(9)
    assert.equal(left.length, 2)
    assert.deepEqual(await next.listDestroying(1), left.slice(0, 1))
    assert.deepEqual(await next.listDestroying(9, { after: left[0]!.digest }), left.slice(1))
    await next.endDestroy(left.map(({ digest }) => digest))
    assert.deepEqual(await next.listDestroying(9), [])
    assert.equal(await link(next, layer), 'linked')
  })

  check(
    'when a destruction began is remembered, and begun with anew',
    async ({ store, reopen }) => {
      await link(store, layer)
      const beganAtMs = later + 5
      await store.beginDestroy(await collect(store), { beganAtMs })
      const next = (await reopen?.()) ?? store
      assert.deepEqual(await next.listDestroying(9), [{ digest: layer, size: 100, beganAtMs }])
      const absent = digestOf('absent')
      await link(next, digestOf('live'))
      const renewed = [{ digest: layer, size: 100, beganAtMs: later + 9 }]
      const all = [layer, absent, digestOf('live')]
      assert.deepEqual(await next.renewDestroy(all, later + 9), renewed)
      assert.deepEqual(await next.listDestroying(9), renewed)
      await next.endDestroy([layer])
      assert.deepEqual(await next.renewDestroy([layer], later + 10), [])
      assert.deepEqual(await next.listDestroying(9), [])
      assert.equal(await link(next, layer), 'linked')
    },
  )

  check('what was condemned again since is not destroyed for its old entry', async ({ store }) => {
    await link(store, layer)
    const old = await collect(store)
    await link(store, layer)
    await store.condemn(await ended(store), { nowMs: later + 1, run: 'run-2' })
    assert.deepEqual(await store.beginDestroy(old), [])
    assert.deepEqual(await store.listDestroying(9), [])
    const [fresh] = await store.listDropped({ limit: 9 })
    assert.deepEqual(await store.restoreDropped([fresh!], until), ['restored'])
  })

  check('ending what was never begun changes nothing', async ({ store }) => {
    await link(store, layer)
    await link(store, digestOf('condemned'), { leaseUntilMs: 1 })
    await store.condemn(await store.listEndedLeases({ beforeMs: 2, limit: 9 }), by)
    await store.endDestroy([layer, digestOf('condemned'), digestOf('absent')])
    assert.ok(await store.readBlob(app, layer))
    const dropped = await store.listDropped({ limit: 9 })
    assert.deepEqual(await store.restoreDropped(dropped, until), ['restored', 'restored'])
  })

  check('entries of a repository are only forgotten', async ({ store }) => {
    await link(store, layer)
    await link(store, layer, { repository: other, leaseUntilMs: later + 1 })
    assert.deepEqual(await store.beginDestroy(await collect(store)), [])
    assert.deepEqual(await store.listDropped({ limit: 9 }), [])
    assert.ok(await store.readBlob(other, layer))
  })

  check('in the tree of another registry nothing is destroyed', async ({ store }) => {
    await link(store, layer)
    const dropped = await collect(store)
    await store.setAdoption({ sinceMs: now, of: '/srv/registry' })
    await assert.rejects(store.beginDestroy(dropped), isKind('conflict'))
    assert.deepEqual(await store.listDropped({ limit: 9 }), dropped)
    await store.setAdoption(undefined)
    assert.deepEqual(await store.beginDestroy(dropped), [{ digest: layer, size: 100 }])
  })

  check('a link whose bytes are gone is busy, and leaves the session open', async ({ store }) => {
    const id = await openSession(store)
    const upload = { id, owner: 'p1', fence: 1 }
    assert.equal(await link(store, layer, { upload, isThere: () => false }), 'busy')
    assert.equal(await store.readBlob(app, layer), undefined)
    assert.ok(await store.readUpload(id))
    assert.equal(await link(store, layer, { upload, isThere: () => true }), 'linked')
    assert.equal(await store.readUpload(id), undefined)
  })
}

async function openSession(store: FullStore): Promise<UploadId> {
  const record = upload()
  await store.createUpload(record)
  await store.claimUpload(record.id, 'p1', now, () => true)
  return record.id
}
