// Goal: whatever a client does while garbage is collected, what it was told stays true.
// Method: each race by construction, at each step of the run where the client could come in between.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GcSettings } from '../../../src/maintain/gc/settings.ts'
import { type Digest, digestOfBytes } from '../../../src/oci/digest.ts'
import type { BlobStore } from '../../../src/storage/blob/contract.ts'
import type { MaintenanceStore } from '../../../src/storage/metadata/maintenance.ts'
import { type MaintainScene, type StoreKind, withScene } from '../../support/maintain.ts'
import { type Answer, assertStatus } from '../../support/registry-client.ts'
import { until } from '../../support/until.ts'
import {
  blobStatus,
  collect,
  dayMs,
  hourMs,
  imageManifest,
  isOnDisk,
  manifestStatus,
  pushImage,
  pushIndex,
  settings,
  someBytes,
} from './scene.ts'

const bytes = someBytes(3000)
const digest = digestOfBytes('sha256', bytes)
const windowMs = settings.restoreWindowMs

function check(title: string, body: (scene: MaintainScene) => Promise<void>): void {
  test(`gc, races: ${title}`, () => withScene({}, body))
}

function push(scene: MaintainScene, repository = 'app'): Promise<Answer> {
  return scene.send('POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body: bytes })
}

function pushManifestOf(scene: MaintainScene, repository: string): Promise<Digest> {
  const manifest = imageManifest({ digest, size: bytes.length }, [])
  return scene.pushManifest(repository, manifest, 'v1')
}

async function head(scene: MaintainScene, repository = 'app'): Promise<number> {
  return (await scene.send('HEAD', `/v2/${repository}/blobs/${digest}`)).status
}

/** Served as it was pushed, and it stays so: what the records say of it is the truth. */
async function assertWhole(scene: MaintainScene, repository: string, what: string): Promise<void> {
  const { body, status } = await scene.send('GET', `/v2/${repository}/blobs/${digest}`)
  assert.equal(status, 200, what)
  assert.deepEqual(Buffer.from(body), bytes, what)
  await pushManifestOf(scene, repository)
  for (const waitMs of [2 * hourMs, windowMs + 1, dayMs]) {
    scene.advance(waitMs)
    await collect(scene)
  }
  assert.equal(await isOnDisk(scene, digest), true, what)
  assert.equal(await blobStatus(scene, repository, digest), 200, what)
}

for (const share of [0.1, 0.4, 0.6, 0.9]) {
  check(
    `after a HEAD at ${share} of the lease half a lease is left for the manifest`,
    async (scene) => {
      await push(scene)
      scene.advance(share * hourMs)
      assert.equal(await head(scene), 200)
      scene.advance(0.49 * hourMs)
      await collect(scene)
      await pushManifestOf(scene, 'app')
      await assertWhole(scene, 'app', `HEAD at ${share}`)
    },
  )
}

check('a HEAD of what a manifest names holds when that manifest is deleted', async (scene) => {
  await push(scene)
  const manifest = await pushManifestOf(scene, 'app')
  scene.advance(30 * dayMs)
  assert.equal(await head(scene), 200)
  assert.equal((await scene.send('DELETE', `/v2/app/manifests/${manifest}`)).status, 202)
  scene.advance(0.9 * hourMs)
  await collect(scene)
  await assertWhole(scene, 'app', 'deleted meanwhile')
})

check('a HEAD of what is condemned says that it is not there', async (scene) => {
  await push(scene)
  assert.equal(await head(scene), 200)
  scene.advance(2 * hourMs)
  await collect(scene)
  assert.equal(await head(scene), 404)
  const manifest = imageManifest({ digest, size: bytes.length }, [])
  const put = await scene.send('PUT', '/v2/app/manifests/v1', {
    body: Buffer.from(JSON.stringify(manifest)),
    headers: { 'content-type': 'application/vnd.oci.image.manifest.v1+json' },
  })
  assert.equal(put.status, 404)
  assert.match(Buffer.from(put.body).toString(), /MANIFEST_BLOB_UNKNOWN/)
})

check('an upload that takes longer than the lease is whole', async (scene) => {
  const started = await scene.send('POST', '/v2/app/blobs/uploads/')
  let location = started.headers['location'] ?? ''
  for (const part of [bytes.subarray(0, 1000), bytes.subarray(1000)]) {
    const patched = assertStatus(await scene.send('PATCH', location, { body: part }), 202)
    location = patched.headers['location'] ?? ''
    scene.advance(10 * hourMs)
    await collect(scene)
  }
  const target = `${location}${location.includes('?') ? '&' : '?'}digest=${digest}`
  assertStatus(await scene.send('PUT', target), 201)
  await assertWhole(scene, 'app', 'long upload')
})

check('a layer whose lease ended during a long push is asked for again', async (scene) => {
  await push(scene)
  scene.advance(2 * hourMs)
  await collect(scene)
  await assert.rejects(pushManifestOf(scene, 'app'))
  assert.equal((await push(scene)).status, 201)
  await assertWhole(scene, 'app', 'brought again')
})

check('of two indexes that share children one can go', async (scene) => {
  const all: Partial<GcSettings> = { untagged: 'delete' }
  const shared = await pushImage(scene, 'app')
  const alone = await pushImage(scene, 'app')
  await pushIndex(scene, 'app', [shared.digest], 'kept')
  await pushIndex(scene, 'app', [shared.digest, alone.digest], 'gone')
  await scene.send('DELETE', '/v2/app/manifests/gone')
  for (let i = 0; i < 5; i++) {
    await collect(scene, all)
    scene.advance(8 * dayMs)
  }
  assert.equal(await manifestStatus(scene, 'app', shared.digest), 200)
  for (const blob of shared.blobs) assert.equal(await blobStatus(scene, 'app', blob), 200)
  assert.equal(await manifestStatus(scene, 'app', alone.digest), 404)
  for (const blob of alone.blobs) assert.equal(await isOnDisk(scene, blob), false)
})

/** Where a client comes in between: a call of the run, before or after which it does. */
interface Moment {
  readonly call: 'condemn' | 'listDropped' | 'beginDestroy' | 'remove' | 'endDestroy'
  readonly isAfter: boolean
}

const moments: readonly Moment[] = (
  ['condemn', 'listDropped', 'beginDestroy', 'remove', 'endDestroy'] as const
).flatMap((call) => [
  { call, isAfter: false },
  { call, isAfter: true },
])

/** A run in which `intrude` is waited for once, at the moment. */
async function collectWith(
  scene: MaintainScene,
  changed: Partial<GcSettings>,
  moment: Moment,
  intrude: () => Promise<void>,
): Promise<void> {
  let isOver = false
  const hooked = <T extends object>(store: T): T =>
    new Proxy(store, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target)
        if (typeof member !== 'function') return member
        const call = member.bind(target) as (...args: readonly unknown[]) => unknown
        if (name !== moment.call || isOver) return call
        return async (...args: readonly unknown[]) => {
          isOver = true
          if (!moment.isAfter) await intrude()
          const result = await call(...args)
          if (moment.isAfter) await intrude()
          return result
        }
      },
    })
  const { blobs, metadata } = scene.jobParts()
  const context: { blobs: BlobStore; metadata: MaintenanceStore } = {
    blobs: hooked(blobs),
    metadata: hooked(metadata),
  }
  await collect(scene, changed, {}, { context })
  assert.equal(isOver, true, 'the moment came')
}

/** Resolves when the request is answered, or has to wait for the run. */
async function begun(scene: MaintainScene, request: Promise<unknown>): Promise<void> {
  let isDone = false
  const done = (): void => {
    isDone = true
  }
  request.then(done, done)
  const { life } = scene
  const { steps } = life
  // A push asks the stores less often than that, unless it is told to try again.
  await until('the push is answered or waits', () => isDone || life.steps > steps + 12)
}

const stands: readonly { readonly stores: StoreKind; readonly overwrite: boolean }[] = [
  { stores: 'memory', overwrite: false },
  { stores: 'memory', overwrite: true },
  { stores: 'lmdb', overwrite: true },
]

for (const { stores, overwrite } of stands) {
  const how = `${stores}${overwrite ? ', overwritten' : ''}`
  test(`gc, races: a blob can be pushed at every moment of its end (${how})`, () =>
    withScene({ stores }, async (scene) => {
      for (const moment of moments) await pushAt(scene, overwrite, moment)
    }))
}

async function pushAt(scene: MaintainScene, overwrite: boolean, moment: Moment): Promise<void> {
  const what = `${moment.isAfter ? 'after' : 'before'} ${moment.call}`
  await push(scene)
  scene.advance(2 * hourMs)
  if (moment.call !== 'condemn') {
    await collect(scene)
    scene.advance(windowMs + 1)
  }
  const pushes: Promise<Answer>[] = []
  await collectWith(scene, { overwrite }, moment, async () => {
    // Two at once, to two repositories, of which one held it before.
    pushes.push(push(scene, 'app'), push(scene, 'other'))
    await begun(scene, Promise.all(pushes))
  })
  for (const answer of await Promise.all(pushes)) assertStatus(answer, 201, what)
  await assertWhole(scene, 'app', what)
  assert.equal(await blobStatus(scene, 'other', digest), 404, what)
  assert.deepEqual(await scene.metadata.listDestroying(1), [], what)
  assert.deepEqual(scene.backgroundFaults, [], what)
  const manifest = (await scene.send('HEAD', '/v2/app/manifests/v1')).headers
  const target = `/v2/app/manifests/${manifest['docker-content-digest']}`
  assertStatus(await scene.send('DELETE', target), 202)
}

test('gc, races: a mount at every moment gives the blob or an upload', async () => {
  for (const moment of moments) {
    const what = `${moment.isAfter ? 'after' : 'before'} ${moment.call}`
    await withScene({}, async (scene) => {
      await push(scene, 'source')
      scene.advance(2 * hourMs)
      if (moment.call !== 'condemn') {
        await collect(scene)
        scene.advance(windowMs + 1)
      }
      let status = 0
      await collectWith(scene, {}, moment, async () => {
        const target = `/v2/target/blobs/uploads/?mount=${digest}&from=source`
        status = (await scene.send('POST', target)).status
      })
      const mayMount = moment.call === 'condemn' && !moment.isAfter
      assert.equal(status, mayMount ? 201 : 202, what)
      if (status === 202) assert.equal(await blobStatus(scene, 'target', digest), 404, what)
      else await assertWhole(scene, 'target', what)
    })
  }
})

for (const isAfter of [false, true]) {
  const when = isAfter ? 'after' : 'before'
  check(`a HEAD just ${when} the end of a lease is right`, async (scene) => {
    await push(scene)
    scene.advance(2 * hourMs)
    let status = 0
    await collectWith(scene, {}, { call: 'condemn', isAfter }, async () => {
      status = await head(scene)
    })
    assert.equal(status, isAfter ? 404 : 200)
    if (isAfter) return
    scene.advance(0.9 * hourMs)
    await collect(scene)
    await assertWhole(scene, 'app', 'HEAD')
  })
}

check('a push waits for the next run where one was killed, and not longer', async (scene) => {
  await push(scene)
  scene.advance(2 * hourMs)
  await collect(scene)
  const dropped = await scene.metadata.listDropped({ limit: 10 })
  assert.equal((await scene.metadata.beginDestroy(dropped)).length, 1)
  await scene.restart()
  const pushed = push(scene)
  await begun(scene, pushed)
  const { report } = await collect(scene, {}, { onlyUnfinished: true })
  assert.deepEqual(report.details['finished'], { count: 1, bytes: bytes.length })
  assertStatus(await pushed, 201)
  await assertWhole(scene, 'app', 'killed')
})

test('gc, races: a push that found the old bytes, which go before it can link them, is whole', async () => {
  let whenPublished = async (): Promise<void> => {}
  const wrapBlobs = (blobs: BlobStore): BlobStore =>
    new Proxy(blobs, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target)
        if (typeof member !== 'function') return member
        const call = member.bind(target) as (...args: readonly unknown[]) => unknown
        if (name !== 'publish') return call
        return async (...args: readonly unknown[]) => {
          await call(...args)
          await whenPublished()
        }
      },
    })
  await withScene({ wrapBlobs }, async (scene) => {
    await push(scene)
    scene.advance(2 * hourMs)
    await collect(scene)
    await scene.metadata.beginDestroy(await scene.metadata.listDropped({ limit: 10 }))
    let publishes = 0
    whenPublished = async () => {
      publishes += 1
      if (publishes > 1) return
      await collect(scene, {}, { onlyUnfinished: true })
      assert.equal(await isOnDisk(scene, digest), false)
    }
    assertStatus(await push(scene), 201)
    assert.equal(publishes, 2)
    await assertWhole(scene, 'app', 'published twice')
  })
})

check('what a pull has open is served to its end', async (scene) => {
  const large = someBytes(200_000)
  const of = await scene.pushBlob('app', large)
  const reader = await scene.registry.readers.acquire(of)
  assert.ok(reader)
  scene.advance(2 * hourMs)
  await collect(scene)
  scene.advance(windowMs + 1)
  await collect(scene)
  const whole = Buffer.alloc(large.length)
  assert.equal(await reader.reader.read(0, whole), large.length)
  assert.deepEqual(whole, large)
  reader.release()
  assert.equal(await scene.registry.readers.acquire(of), undefined)
})
