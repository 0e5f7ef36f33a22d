// Goal: indexes within indexes cost what they are, not what their paths are. Method: levels of indexes that all
// list the whole level below, so that eight levels have 6,561 paths to each of 1,000 images; the rows that
// are read are counted, and twice the levels may cost twice as much at most.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createGcJob } from '../../src/maintain/gc/job.ts'
import type { GcSettings } from '../../src/maintain/gc/settings.ts'
import type { KeyRange, KeyValueEntry } from '../../src/storage/metadata/kv/contract.ts'
import { descriptor, types } from '../http/sample-content.ts'
import { type MaintainScene, withScene } from '../support/maintain.ts'
import { assertStatus, digestOf } from '../support/registry-client.ts'
import { inspectStore } from '../support/store-breaches.ts'

const width = 1_000
const perLevel = 3
const hourMs = 3_600_000
const settings: GcSettings = {
  ...{ graceMs: hourMs, restoreWindowMs: hourMs, untagged: 'delete', untaggedAfterMs: hourMs },
  ...{ orphanReferrers: 'delete', blobsPerSecond: 0, rateBytes: 0, overwrite: false },
}
const gc = createGcJob(() => settings)

/** Rows that anybody has read since the last call. */
function countReads(scene: MaintainScene): () => number {
  const { reader } = scene.disk.records
  const { get, keys, entries } = reader
  let count = 0
  reader.get = (key) => {
    count += 1
    return get.call(reader, key)
  }
  reader.keys = (range: KeyRange): string[] => {
    const found = keys.call(reader, range)
    count += 1 + found.length
    return found
  }
  reader.entries = (range: KeyRange): KeyValueEntry[] => {
    const found = entries.call(reader, range)
    count += 1 + found.length
    return found
  }
  return () => {
    const since = count
    count = 0
    return since
  }
}

/** Answers the bytes of the images; the top is tagged `v1`. */
async function pushNest(scene: MaintainScene, levels: number): Promise<readonly Buffer[]> {
  const layer = Buffer.from('layer')
  await scene.pushBlob('app', layer)
  const images: Buffer[] = []
  for (let i = 0; i < width; i++) {
    const config = descriptor(types.config, layer)
    const manifest = { schemaVersion: 2, mediaType: types.image, config, layers: [] }
    const named = { ...manifest, annotations: { number: String(i) } }
    await scene.pushManifest('app', named)
    images.push(Buffer.from(JSON.stringify(named)))
  }
  let below = images.map((bytes) => descriptor(types.image, bytes))
  for (let level = 1; level <= levels; level++) {
    const indexes = Array.from({ length: perLevel }, (_, i) => ({
      ...{ schemaVersion: 2, mediaType: types.index, manifests: below },
      annotations: { level: String(level), number: String(i) },
    }))
    const isTop = level === levels
    for (const [i, index] of indexes.entries()) {
      await scene.pushManifest('app', index, isTop ? `v${i}` : undefined)
    }
    below = indexes.map((index) => descriptor(types.index, Buffer.from(JSON.stringify(index))))
  }
  return images
}

/** What each thing that looks at nests has read. */
async function costs(levels: number): Promise<Readonly<Record<string, number>>> {
  const found: Record<string, number> = {}
  const rules = {
    manifestBytesMax: 4 << 20,
    blobBytesMax: 1 << 30,
    isImmutable: (tag: string) => tag.startsWith('v9'),
    quotas: [],
    validations: [],
  }
  const registry = { rules: { quotas: [], rulesFor: () => rules } }
  await withScene({ graceMs: hourMs, registry }, async (scene) => {
    const reads = countReads(scene)
    const images = await pushNest(scene, levels)
    const target = (bytes: Buffer): string => `/v2/app/manifests/${digestOf(bytes)}`
    found['push'] = reads()
    await scene.run(gc)
    found['a sweep that finds all in use'] = reads()
    scene.advance(2 * hourMs)
    await scene.run(gc)
    const { body } = await scene.send('GET', '/v2/app/tags/list')
    assert.deepEqual(JSON.parse(String(body)).tags, ['v0', 'v1', 'v2'])
    reads()
    // It is asked whether an immutable tag is anywhere above.
    assertStatus(await scene.send('DELETE', target(images[0]!)), 202)
    found['deleting an image'] = reads()
    for (let i = 0; i < perLevel; i++) {
      assertStatus(await scene.send('DELETE', `/v2/app/manifests/v${i}`), 202)
    }
    reads()
    // A level a time goes, and with it what it alone listed.
    for (let level = 0; level <= levels + 1; level++) {
      scene.advance(2 * hourMs)
      await scene.run(gc)
      found['the dearest sweep'] = Math.max(found['the dearest sweep'] ?? 0, reads())
    }
    assertStatus(await scene.send('GET', target(images[1]!)), 404, 'all of it is gone')
    const state = await inspectStore(scene.disk.records.reader, scene.disk.blobs)
    assert.deepEqual(state.breaches, [])
  })
  return found
}

test('eight levels of indexes over 1,000 images cost no more than twice what four do', async (t) => {
  const [four, eight] = [await costs(4), await costs(8)]
  for (const [what, count] of Object.entries(eight)) {
    const before = four[what] ?? 0
    t.diagnostic(`${what}: ${before} rows at four levels, ${count} at eight`)
    assert.ok(count < before * 2.2, `${what}: ${before} rows at four levels, ${count} at eight`)
  }
})
