// Goal: sessions end when they should and only then: expiry takes none that is in use and leaves no bytes
// behind, and one that has ended elsewhere does not count. Method: a registry in this process, with a clock
// and with stores that do something at the worst moment.
import assert from 'node:assert/strict'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { newUploadId, parseUploadId, type UploadId } from '../../src/oci/upload-id.ts'
import { expireUploads } from '../../src/operation/expire-uploads.ts'
import { UploadTable } from '../../src/operation/upload-table.ts'
import { StorageError } from '../../src/storage/error.ts'
import type { MetadataStore, UploadRecord } from '../../src/storage/metadata/contract.ts'
import { FedBody } from '../offload/fed-body.ts'
import { seededBytes } from '../support/images.ts'
import { assertRefused, assertStatus, digestOf, locationOf } from '../support/registry-client.ts'
import { InProcess, type InProcessOptions } from './in-process.ts'

const expiryMs = 3_600_000
const uploads = '/v2/a/b/blobs/uploads/'
const bytes = seededBytes('upload sessions', 100_000)

async function open(t: TestContext, options: InProcessOptions = {}): Promise<InProcess> {
  const registry = await InProcess.open(options)
  t.after(() => registry.abandon())
  return registry
}

/** Hours later. */
function lateClock(): { now: () => number; pass(ms: number): void } {
  let passedMs = 0
  return {
    now: () => Date.now() + passedMs,
    pass: (ms) => {
      passedMs += ms
    },
  }
}

/** The same store, where somebody acts after `listUploads` has read and before it answers. */
function actingAfterList(store: MetadataStore, act: () => Promise<unknown>): MetadataStore {
  return new Proxy(store, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target)
      if (typeof value !== 'function') return value
      if (key !== 'listUploads') return value.bind(target)
      return async (...args: unknown[]) => {
        const page = (await Reflect.apply(value, target, args)) as UploadRecord[]
        await act()
        return page
      }
    },
  })
}

async function start(registry: InProcess): Promise<{ location: string; id: UploadId }> {
  const location = locationOf(assertStatus(await registry.send('POST', uploads), 202))
  const id = parseUploadId(location.slice(uploads.length))
  assert.ok(id)
  return { location, id }
}

async function stagedIn(registry: InProcess): Promise<readonly string[]> {
  return (await readdir(join(registry.rootDir, '_keelson', 'uploads'))).sort()
}

test('an idle session expires with its bytes', async (t) => {
  const clock = lateClock()
  const registry = await open(t, { registry: { now: clock.now } })
  const { location } = await start(registry)
  assertStatus(await registry.send('PATCH', location, { body: bytes }), 202)
  clock.pass(expiryMs - 10_000)
  assert.equal(await expireUploads(registry.registry, expiryMs), 0)
  assertStatus(await registry.send('GET', location), 204)
  clock.pass(10_000)
  assert.equal(await expireUploads(registry.registry, expiryMs), 1)
  assertRefused(await registry.send('GET', location), 404, 'BLOB_UPLOAD_UNKNOWN')
  assert.deepEqual(await stagedIn(registry), [])
  assert.equal(registry.registry.uploads.size, 0)
})

test('a request that comes while expiry is at work keeps its session', async (t) => {
  const clock = lateClock()
  let act = async (): Promise<unknown> => undefined
  const registry = await open(t, {
    wrap: (stores) => ({ ...stores, metadata: actingAfterList(stores.metadata, () => act()) }),
    registry: { now: clock.now },
  })
  const { location } = await start(registry)
  clock.pass(expiryMs)
  act = () => registry.send('PATCH', location, { body: bytes })
  assert.equal(await expireUploads(registry.registry, expiryMs), 0)
  const status = assertStatus(await registry.send('GET', location), 204)
  assert.equal(status.headers['range'], `0-${bytes.length - 1}`)
  const closed = await registry.send('PUT', `${location}?digest=${digestOf(bytes)}`)
  assertStatus(closed, 201)
})

test('a request to another process while expiry is at work keeps its session', async (t) => {
  const clock = lateClock()
  let act = async (): Promise<unknown> => undefined
  const registry = await open(t, {
    wrap: (stores) => ({ ...stores, metadata: actingAfterList(stores.metadata, () => act()) }),
    registry: { now: clock.now, shared: true },
  })
  const { location, id } = await start(registry)
  const { metadata } = registry.stores
  clock.pass(expiryMs)
  act = async () => {
    const claimed = await metadata.claimUpload(id, 'another', clock.now(), () => false)
    assert.ok(claimed)
    const progress = { offset: 0, synced: false, bootId: 'this boot', nowMs: clock.now() }
    await metadata.saveUpload(id, 'another', claimed.fence, { ...progress, release: true })
  }
  assert.equal(await expireUploads(registry.registry, expiryMs), 0)
  assertStatus(await registry.send('GET', location), 204)
  // And it is free for the next request, wherever that goes.
  assert.equal((await metadata.readUpload(id))?.owner, undefined)
})

for (const shared of [false, true]) {
  test(`a single POST that takes longer than the expiry is not cut, ${shared ? 'shared' : 'alone'}`, async (t) => {
    const clock = lateClock()
    const registry = await open(t, { registry: { now: clock.now, shared } })
    const body = new FedBody({ length: bytes.length }).feed(bytes.subarray(0, 70_000))
    const target = `${uploads}?digest=${digestOf(bytes)}`
    const answer = registry.send('POST', target, { body })
    while (body.backlog > 0) await new Promise((resolve) => setImmediate(resolve))
    clock.pass(2 * expiryMs)
    assert.equal(await expireUploads(registry.registry, expiryMs), 0)
    body.feed(bytes.subarray(70_000), true)
    assertStatus(await answer, 201)
    await registry.assertAtRest()
  })
}

test('a single POST whose server has lost its lease meanwhile is asked to come again', async (t) => {
  let isLost = true
  const registry = await open(t, {
    wrap: (stores) => {
      const metadata: typeof stores.metadata = Object.create(stores.metadata, {
        linkBlob: {
          value: (...args: Parameters<typeof stores.metadata.linkBlob>) => {
            if (!isLost) return stores.metadata.linkBlob(...args)
            throw new StorageError('conflict', 'the upload is not held by this owner any more')
          },
        },
      })
      return { ...stores, metadata }
    },
  })
  const target = `${uploads}?digest=${digestOf(bytes)}`
  // 409 would blame another request of the client's, and nobody else knows the session.
  assertRefused(await registry.send('POST', target, { body: bytes }), 503, 'UNAVAILABLE')
  await registry.assertAtRest()
  isLost = false
  assertStatus(await registry.send('POST', target, { body: bytes }), 201)
})

for (const shared of [false, true]) {
  test(`a single POST that is refused leaves no session, ${shared ? 'shared' : 'alone'}`, async (t) => {
    const registry = await open(t, { registry: { shared } })
    const target = `${uploads}?digest=${digestOf(Buffer.from('others'))}`
    assertRefused(await registry.send('POST', target, { body: bytes }), 400, 'DIGEST_INVALID')
    assert.deepEqual(await registry.stores.metadata.listUploads({ limit: 10 }), [])
    assert.deepEqual(await stagedIn(registry), [])
    await registry.assertAtRest()
  })
}

test('a server that wakes after another one has taken a session over does not end it', async (t) => {
  let isAsleep = false
  const registry = await open(t, {
    registry: { shared: true },
    wrap: (stores) => {
      const { metadata } = stores
      const claimUpload: typeof metadata.claimUpload = async (id, owner, nowMs, mayTake) => {
        const claimed = await metadata.claimUpload(id, owner, nowMs, mayTake)
        if (isAsleep) await metadata.claimUpload(id, 'another', nowMs, () => true)
        return claimed
      }
      return {
        ...stores,
        metadata: Object.create(metadata, { claimUpload: { value: claimUpload } }),
      }
    },
  })
  const { location, id } = await start(registry)
  assertStatus(await registry.send('PATCH', location, { body: bytes }), 202)
  const staged = await stagedIn(registry)
  isAsleep = true
  assertRefused(await registry.send('DELETE', location), 409, 'BLOB_UPLOAD_INVALID')
  const record = await registry.stores.metadata.readUpload(id)
  assert.deepEqual([record?.owner, record?.offset], ['another', bytes.length])
  assert.deepEqual(await stagedIn(registry), staged)
})

test('bytes whose session is gone are discarded, those of a live one stay', async (t) => {
  const registry = await open(t)
  const { location, id } = await start(registry)
  assertStatus(await registry.send('PATCH', location, { body: bytes }), 202)
  // What a crash leaves that comes after the record's end and before that of the bytes.
  const orphan = newUploadId(registry.registry.randomUuid)
  await writeFile(join(registry.rootDir, '_keelson', 'uploads', orphan), bytes)
  assert.deepEqual(await stagedIn(registry), [id, orphan].sort())
  assert.equal(await expireUploads(registry.registry, expiryMs), 0)
  assert.deepEqual(await stagedIn(registry), [id])
  assertStatus(await registry.send('PUT', `${location}?digest=${digestOf(bytes)}`), 201)
})

test('sessions that another process has ended do not count as open', async (t) => {
  const clock = lateClock()
  const table = new UploadTable(3, clock.now)
  const registry = await open(t, { registry: { now: clock.now, shared: true, uploads: table } })
  const begun = [await start(registry), await start(registry), await start(registry)]
  assertRefused(await registry.send('POST', uploads), 429, 'TOOMANYREQUESTS')
  const { metadata } = registry.stores
  for (const { id } of begun.slice(1)) {
    await metadata.removeUpload(id, (await metadata.readUpload(id))!.fence)
  }
  clock.pass(2000)
  await start(registry)
  await start(registry)
  assertRefused(await registry.send('POST', uploads), 429, 'TOOMANYREQUESTS')
})
