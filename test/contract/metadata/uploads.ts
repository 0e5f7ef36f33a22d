// Upload sessions of a metadata store: claims, fences, progress.

import assert from 'node:assert/strict'
import type { UploadProgress } from '../../../src/storage/metadata/contract.ts'
import {
  app,
  type Check,
  digestOf,
  isKind,
  lease,
  link,
  never,
  newUpload,
  now,
  sorted,
  upload,
} from './scene.ts'

const progress: UploadProgress = {
  offset: 10,
  digest: digestOf('ten bytes'),
  hashState: 'c3RhdGU=',
  synced: true,
  bootId: 'boot-2',
  nowMs: now + 1,
  release: false,
}

export function holdingSessions(check: Check): void {
  check('a session reads back as it was made', async ({ store }) => {
    const bare = upload()
    const full = upload({
      algorithm: 'sha512',
      offset: 7,
      digest: digestOf('seven'),
      hashState: 'AAAA',
      synced: true,
      owner: 'p1',
      fence: 4,
    })
    await store.createUpload(bare)
    await store.createUpload(full)
    assert.deepEqual(await store.readUpload(bare.id), bare)
    assert.deepEqual(await store.readUpload(full.id), full)
    assert.equal(await store.readUpload(newUpload()), undefined)
    await assert.rejects(store.createUpload(bare), isKind('conflict'))
  })

  check('progress replaces what it says, and keeps the rest', async ({ store }) => {
    const made = upload({ owner: 'p1', fence: 3 })
    await store.createUpload(made)
    await store.saveUpload(made.id, 'p1', 3, progress)
    const { release: _release, nowMs, ...saved } = progress
    const expected = { ...made, ...saved, touchedAtMs: nowMs }
    assert.deepEqual(await store.readUpload(made.id), expected)
    // Digest and hash state of ten bytes say nothing of twelve.
    await store.saveUpload(made.id, 'p1', 3, {
      offset: 12,
      synced: false,
      bootId: 'boot-2',
      nowMs: now + 2,
      release: true,
    })
    const { owner: _owner, ...unowned } = made
    assert.deepEqual(await store.readUpload(made.id), {
      ...unowned,
      offset: 12,
      synced: false,
      bootId: 'boot-2',
      touchedAtMs: now + 2,
    })
  })

  check('a claim takes a free session and raises its fence', async ({ store }) => {
    const made = upload()
    await store.createUpload(made)
    const claimed = await store.claimUpload(made.id, 'p1', now + 5, never)
    assert.deepEqual(claimed, { ...made, owner: 'p1', fence: 1, touchedAtMs: now + 5 })
    assert.deepEqual(await store.readUpload(made.id), claimed)
    const again = await store.claimUpload(made.id, 'p1', now + 6, never)
    assert.equal(again?.fence, 2)
    assert.equal(await store.claimUpload(newUpload(), 'p1', now, never), undefined)
  })

  check('a held session is taken only where the caller says so', async ({ store }) => {
    const made = upload({ owner: 'p1', fence: 1 })
    await store.createUpload(made)
    await assert.rejects(store.claimUpload(made.id, 'p2', now, never), isKind('conflict'))
    assert.deepEqual(await store.readUpload(made.id), made)
    const asked: unknown[] = []
    const taken = await store.claimUpload(made.id, 'p2', now, (held) => {
      asked.push(held)
      return true
    })
    assert.deepEqual(asked.at(-1), made)
    assert.deepEqual([taken?.owner, taken?.fence], ['p2', 2])
  })

  check('what mayTake throws comes through, and changes nothing', async ({ store }) => {
    const made = upload({ owner: 'p1', fence: 1 })
    await store.createUpload(made)
    const claim = store.claimUpload(made.id, 'p2', now, () => {
      throw new Error('planted')
    })
    await assert.rejects(claim, /planted/)
    assert.deepEqual(await store.readUpload(made.id), made)
  })

  check('of 50 claims at once one wins', async ({ store }) => {
    const made = upload()
    await store.createUpload(made)
    const claims = Array.from({ length: 50 }, (_, i) =>
      store.claimUpload(made.id, `p${i}`, now, never),
    )
    const results = await Promise.allSettled(claims)
    const won = results.filter((result) => result.status === 'fulfilled')
    assert.equal(won.length, 1)
    const record = await store.readUpload(made.id)
    assert.deepEqual(won[0]?.value, record)
    assert.equal(record?.fence, 1)
    for (const result of results) {
      if (result.status === 'rejected') assert.ok(isKind('conflict')(result.reason))
    }
  })

  check('a writer that lost its session is refused', async ({ store }) => {
    const made = upload({ owner: 'p1', fence: 1 })
    await store.createUpload(made)
    await store.claimUpload(made.id, 'p2', now, () => true)
    const held = await store.readUpload(made.id)
    for (const [owner, fence] of [
      ['p1', 1],
      ['p1', 2],
      ['p2', 1],
    ] as const) {
      const saved = store.saveUpload(made.id, owner, fence, progress)
      await assert.rejects(saved, isKind('conflict'), `${owner} ${fence}`)
    }
    assert.deepEqual(await store.readUpload(made.id), held)
    const gone = store.saveUpload(newUpload(), 'p1', 1, progress)
    await assert.rejects(gone, isKind('conflict'))
  })

  check('removing a session is idempotent', async ({ store }) => {
    const made = upload()
    await store.createUpload(made)
    await store.removeUpload(made.id, made.fence)
    await store.removeUpload(made.id, made.fence)
    assert.equal(await store.readUpload(made.id), undefined)
  })

  check('who has lost a session cannot remove it', async ({ store }) => {
    const made = upload({ owner: 'p1', fence: 1 })
    await store.createUpload(made)
    const claimed = await store.claimUpload(made.id, 'p2', now, () => true)
    await assert.rejects(store.removeUpload(made.id, made.fence), isKind('conflict'))
    assert.deepEqual(await store.readUpload(made.id), claimed)
    await store.removeUpload(made.id, 2)
    assert.equal(await store.readUpload(made.id), undefined)
  })

  check('sessions page by id', async ({ store }) => {
    const made = Array.from({ length: 7 }, () => upload())
    for (const record of made) await store.createUpload(record)
    const ids = sorted(made.map(({ id }) => id))
    const all = await store.listUploads({ limit: 100 })
    assert.deepEqual(
      all.map(({ id }) => id),
      ids,
    )
    const page = await store.listUploads({ limit: 2, after: ids[2]! })
    assert.deepEqual(page, all.slice(3, 5))
  })
}

export function endingSessions(check: Check): void {
  const layer = digestOf('layer')
  const blob = { repository: app, digest: layer, size: 100, leaseUntilMs: lease, quotas: [] }

  check('a link ends its session with it', async ({ store }) => {
    const made = upload({ owner: 'p1', fence: 2 })
    await store.createUpload(made)
    await store.linkBlob({ ...blob, upload: { id: made.id, owner: 'p1', fence: 2 } })
    assert.ok(await store.readBlob(app, layer))
    assert.equal(await store.readUpload(made.id), undefined)
  })

  check('a link by a writer that lost its session leaves nothing', async ({ store }) => {
    const made = upload({ owner: 'p1', fence: 2 })
    await store.createUpload(made)
    for (const holder of [
      { id: made.id, owner: 'p2', fence: 2 },
      { id: made.id, owner: 'p1', fence: 1 },
      { id: newUpload(), owner: 'p1', fence: 2 },
    ]) {
      await assert.rejects(store.linkBlob({ ...blob, upload: holder }), isKind('conflict'))
    }
    assert.equal(await store.readBlob(app, layer), undefined)
    assert.deepEqual(await store.readUpload(made.id), made)
  })

  check('a link that fails leaves its session', async ({ store }) => {
    const made = upload({ owner: 'p1', fence: 2 })
    await store.createUpload(made)
    await link(store, layer)
    const holder = { id: made.id, owner: 'p1', fence: 2 }
    await assert.rejects(store.linkBlob({ ...blob, size: 1, upload: holder }), isKind('corrupt'))
    assert.deepEqual(await store.readUpload(made.id), made)
  })

  check('of a link and a claim at once exactly one wins', async ({ store }) => {
    for (let round = 0; round < 20; round++) {
      const made = upload({ owner: 'p1', fence: 1 })
      const digest = digestOf(`round ${round}`)
      await store.createUpload(made)
      const [linked, claimed] = await Promise.allSettled([
        store.linkBlob({ ...blob, digest, upload: { id: made.id, owner: 'p1', fence: 1 } }),
        store.claimUpload(made.id, 'p2', now, () => true),
      ])
      assert.equal(claimed.status, 'fulfilled')
      const isTaken = claimed.value !== undefined
      assert.equal(linked.status, isTaken ? 'rejected' : 'fulfilled')
      assert.equal((await store.readBlob(app, digest)) === undefined, isTaken)
      assert.equal((await store.readUpload(made.id)) !== undefined, isTaken)
    }
  })
}
