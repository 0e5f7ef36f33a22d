// Goal: a store that is sound is not touched, and one that is busy raises no false alarm. Method: all states that a
// blob can be in; requests held at the moments between a file and its record.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createGcJob } from '../../../src/maintain/gc/job.ts'
import type { BlobStore } from '../../../src/storage/blob/contract.ts'
import { type MaintainScene, withScene } from '../../support/maintain.ts'
import { dumpOf } from './dump.ts'
import { imageOf, imageType, indexOf, Place } from './place.ts'
import { plant, scrub } from './run-scrub.ts'

const sound = { ok: true, findings: [], waiting: [] }

async function assertSound(
  scene: MaintainScene,
  options: Parameters<typeof scrub>[1] = {},
): Promise<void> {
  const { ok, findings, waiting } = await scrub(scene, options)
  assert.deepEqual({ ok, findings, waiting }, sound)
}

const gcSettings = {
  graceMs: 3_600_000,
  restoreWindowMs: 86_400_000,
  everyMs: 0,
  untagged: 'keep',
  untaggedAfterMs: 86_400_000,
  orphanReferrers: 'keep',
  blobsPerSecond: 0,
  rateBytes: 0,
  overwrite: false,
} as const

/** Live, leased, mounted, let go, condemned, deleted and kept, referred to, listed. */
async function fill(scene: MaintainScene): Promise<void> {
  const contents = new Map()
  const app = await Place.make(scene, 'library/app', contents)
  const { manifest, bytes } = app.image
  const subject = { mediaType: imageType, digest: manifest, size: bytes.length }
  await app.push(imageOf('signature', subject), 'signature')
  await app.push(imageOf('other'), 'other')
  await app.pushManifest(indexOf([app.image, imageOf('other')]).bytes, 'all')
  await app.pushBlob('leased')
  const gone = await Place.make(scene, 'library/gone', contents)
  await scene.send('DELETE', `/v2/library/gone/manifests/${gone.image.manifest}`)
  const mount = `/v2/library/copy/blobs/uploads/?mount=${app.image.layer}&from=library/app`
  assert.equal((await scene.send('POST', mount)).status, 201)
  const letGo = await app.pushBlob('let go')
  await scene.send('DELETE', `/v2/library/app/blobs/${letGo}`)
  scene.advance(2 * scene.graceMs)
  await scene.run(createGcJob(() => gcSettings))
  await app.pushBlob('leased later')
}

test('a sound store stays as it is, byte by byte and to the time of each file', async () => {
  await withScene({ stores: 'lmdb' }, async (scene) => {
    await fill(scene)
    const before = await dumpOf(scene)
    assert.ok(before.some((line) => line.includes('condemned')))
    for (const options of [{ dryRun: true }, {}, { quick: true }]) {
      await assertSound(scene, options)
      assert.deepEqual(await dumpOf(scene), before)
    }
  })
})

test('every blob is hashed once, at the pace of the job; a quick one hashes none', async () => {
  await withScene({}, async (scene) => {
    await fill(scene)
    const paced: number[] = []
    const onPace = ({ bytes }: { readonly bytes: number }): number => paced.push(bytes)
    const whole = await scrub(scene, { onPace })
    assert.equal(whole.blobs, 11)
    assert.ok(whole.bytes > 0)
    assert.ok(paced.reduce((sum, bytes) => sum + bytes, 0) >= whole.bytes)
    const quick = await scrub(scene, { quick: true })
    assert.deepEqual([quick.blobs, quick.bytes], [11, 0])
  })
})

test('a blob that is published and not yet linked is no orphan', async () => {
  let goOn = (): void => {}
  let isHeld = false
  let isPublished = (): void => {}
  const published = new Promise<void>((resolve) => {
    isPublished = resolve
  })
  const wrapBlobs = (blobs: BlobStore): BlobStore =>
    new Proxy(blobs, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target)
        if (typeof member !== 'function') return member
        if (name !== 'publish' || !isHeld) return member.bind(target)
        return async (...args: Parameters<BlobStore['publish']>) => {
          await target.publish(...args)
          isPublished()
          await new Promise<void>((resolve) => {
            goOn = resolve
          })
        }
      },
    })
  await withScene({ stores: 'lmdb', wrapBlobs, startMs: Date.now() }, async (scene) => {
    isHeld = true
    const pushing = scene.pushBlob('library/app', Buffer.from('on its way'))
    await published
    await assertSound(scene)
    goOn()
    const digest = await pushing
    await assertSound(scene)
    assert.equal((await scene.send('GET', `/v2/library/app/blobs/${digest}`)).status, 200)
  })
})

test('a blob that is being destroyed is nobody’s concern, with its file or without', async () => {
  await withScene({}, async (scene) => {
    const digest = await scene.pushBlob('library/app', Buffer.from('old'))
    scene.advance(2 * scene.graceMs)
    await scene.run(createGcJob(() => gcSettings))
    const dropped = await scene.metadata.listDropped({ limit: 10 })
    const begun = await scene.metadata.beginDestroy(dropped)
    assert.deepEqual(
      begun.map((each) => each.digest),
      [digest],
    )
    await assertSound(scene)
    await plant(scene, digest, Buffer.from('half overwritten'))
    await assertSound(scene)
    await plant(scene, digest, undefined)
    await assertSound(scene)
  })
})

for (const atLook of [1, 2]) {
  test(`bytes that come back right after scrub looked ${atLook} times are no finding`, async () => {
    const bytes = Buffer.from('wanted')
    let onLook: (() => Promise<void>) | undefined
    let looks = 0
    const wrapBlobs = (blobs: BlobStore): BlobStore =>
      new Proxy(blobs, {
        get: (target, name) => {
          const member: unknown = Reflect.get(target, name, target)
          if (typeof member !== 'function') return member
          if (name !== 'size' || onLook === undefined) return member.bind(target)
          return async (digest: Parameters<BlobStore['size']>[0]) => {
            const size = await target.size(digest)
            looks += 1
            if (looks === atLook) await onLook?.()
            return size
          }
        },
      })
    await withScene({ wrapBlobs }, async (scene) => {
      const digest = await scene.pushBlob('library/app', bytes)
      await plant(scene, digest, undefined)
      onLook = () => plant(scene, digest, bytes)
      await assertSound(scene)
      assert.ok(looks > atLook)
      assert.equal((await scene.send('GET', `/v2/library/app/blobs/${digest}`)).status, 200)
    })
  })
}

test('a blob whose destruction begins while it is hashed is no finding', async () => {
  await withScene({}, async (scene) => {
    const digest = await scene.pushBlob('library/app', Buffer.from('old'))
    await plant(scene, digest, Buffer.from('half overwritten'))
    scene.advance(2 * scene.graceMs)
    const { ingest } = scene.jobParts()
    let hashed = 0
    const slow: typeof ingest = new Proxy(ingest, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target)
        if (typeof member !== 'function') return member
        if (name !== 'rehash') return member.bind(target)
        return async (...args: Parameters<typeof ingest.rehash>) => {
          hashed += 1
          if (hashed === 2) {
            await scene.run(createGcJob(() => gcSettings))
            await scene.metadata.beginDestroy(await scene.metadata.listDropped({ limit: 9 }))
          }
          return target.rehash(...args)
        }
      },
    })
    await assertSound(scene, { context: { ingest: slow } })
    assert.equal(hashed, 2)
  })
})

test('what is deleted while scrub goes through the records is no finding', async () => {
  await withScene({}, async (scene) => {
    for (let i = 0; i < 30; i++) await Place.make(scene, `r${i}/app`, new Map())
    let left = 0
    const onPace = async (): Promise<void> => {
      if (left >= 30) return
      const { manifest } = imageOf(`r${left}/app`)
      await scene.send('DELETE', `/v2/r${left}/app/manifests/${manifest}`)
      left++
    }
    await assertSound(scene, { onPace })
    assert.equal(left, 30)
    await assertSound(scene)
  })
})
