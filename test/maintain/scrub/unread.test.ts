// Goal: a store that cannot be read for a while raises no false alarm, and a file that cannot be read is told of once,
// and taken for nothing else. Method: readings that fail so many times, in whole runs and in runs that are cut off.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Digest } from '../../../src/oci/digest.ts'
import type { RunningIngestPool } from '../../../src/offload/ingest-pool.ts'
import { StorageError } from '../../../src/storage/error.ts'
import { type MaintainScene, withScene } from '../../support/maintain.ts'
import { Place } from './place.ts'
import { scrub } from './run-scrub.ts'

/** Its threads read this blob only after so many times. */
function failing(scene: MaintainScene, digests: readonly Digest[], times: number) {
  const failed: Digest[] = []
  const { ingest } = scene.jobParts()
  const rehash: typeof ingest.rehash = async (...args) => {
    const [{ key }] = args as unknown as [{ readonly key: Digest }]
    const count = failed.filter((digest) => digest === key).length
    if (!digests.includes(key) || count >= times) return ingest.rehash(...args)
    failed.push(key)
    throw new StorageError('unavailable', 'SlowDown: reduce your request rate')
  }
  const broken = { rehash, ping: () => ingest.ping() } as RunningIngestPool
  return { failed, context: { ingest: broken } }
}

async function withBlobs(
  count: number,
  body: (scene: MaintainScene, blobs: readonly Digest[], place: Place) => Promise<void>,
): Promise<void> {
  await withScene({}, async (scene) => {
    const place = await Place.make(scene, 'library/app', new Map())
    const blobs: Digest[] = []
    for (let i = 0; i < count; i++) blobs.push(await place.pushBlob(`blob ${i}`))
    await body(scene, blobs.toSorted(), place)
  })
}

test('what can be read at the second look is no finding', async () => {
  await withBlobs(5, async (scene, blobs) => {
    const { context, failed } = failing(scene, blobs, 1)
    const { ok, findings, blobs: looked } = await scrub(scene, { context })
    assert.deepEqual({ ok, findings }, { ok: true, findings: [] })
    assert.deepEqual(failed, blobs)
    // With those of the image.
    assert.equal(looked, 5 + 2)
  })
})

test('what cannot be read at the second look is told of once, and taken for nothing else', async () => {
  await withBlobs(0, async (scene, _, { image }) => {
    const { layer } = image
    const { context, failed } = failing(scene, [layer], 9)
    const { findings, ok, deeds } = await scrub(scene, { context })
    assert.deepEqual(findings, [`unreadable-file left ${layer}`])
    assert.deepEqual([ok, deeds, failed], [false, [], [layer, layer]])
    assert.equal((await scene.send('GET', `/v2/library/app/blobs/${layer}`)).status, 200)
  })
})

test('a run that was cut off before its second looks goes on with them', async () => {
  await withBlobs(5, async (scene, blobs) => {
    const { context, failed } = failing(scene, blobs, 2)
    const stop = new AbortController()
    const onPace = (): void => {
      if (failed.length > 6) stop.abort()
    }
    await scrub(scene, { context, signal: stop.signal, onPace })
    assert.deepEqual(failed, [...blobs, ...blobs.slice(0, 2)])
    const { findings } = await scrub(scene, { context })
    // The one that it was at when it was cut off is looked at a third time at most.
    assert.deepEqual(findings.length, 5)
    assert.deepEqual(
      new Set(findings),
      new Set(blobs.map((digest) => `unreadable-file left ${digest}`)),
    )
    assert.deepEqual(failed, [...blobs, ...blobs])
  })
})

test('of many that cannot be read the first hundred get a second look, and none is told twice', async () => {
  await withBlobs(130, async (scene, blobs) => {
    const { context, failed } = failing(scene, blobs, 1)
    const { findings } = await scrub(scene, { context })
    const late = blobs.slice(100)
    assert.deepEqual(
      findings,
      late.map((digest) => `unreadable-file left ${digest}`),
    )
    assert.deepEqual(failed, blobs)
  })
})
