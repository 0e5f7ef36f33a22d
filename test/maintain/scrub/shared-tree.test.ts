// Goal: what another registry knows alone is no garbage, also before its tree is adopted; and a disk that is away has lost
// nothing. Method: files of others, and folders that go and come, in a store on a disk.

import assert from 'node:assert/strict'
import { mkdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { digestOfBytes } from '../../../src/oci/digest.ts'
import { type MaintainScene, withScene } from '../../support/maintain.ts'
import { Place } from './place.ts'
import { scrub } from './run-scrub.ts'

async function withPlace(
  body: (place: Place, scene: MaintainScene, rootDir: string) => Promise<void>,
): Promise<void> {
  await withScene({ stores: 'lmdb' }, async (scene) => {
    const { rootDir = '' } = scene.disk
    await body(await Place.make(scene, 'library/app', new Map()), scene, rootDir)
  })
}

test('blobs of a registry whose tree is not adopted yet get no lease, and are not moved', async () => {
  await withPlace(async (place, scene, rootDir) => {
    await mkdir(join(rootDir, 'repositories'))
    const bytes = Buffer.from('a layer of theirs')
    const theirs = digestOfBytes('sha256', bytes)
    await place.writeFile(place.file(theirs), bytes)
    const broken = digestOfBytes('sha256', Buffer.from('another one'))
    await place.writeFile(place.file(broken), 'another onE')
    const expected = [`corrupt left ${broken}`, `orphan-file left ${theirs}`]
    assert.deepEqual((await scrub(scene, { dryRun: true })).findings, expected)
    const { findings, deeds } = await scrub(scene)
    assert.deepEqual([findings, deeds], [expected, []])
    assert.deepEqual(await readFile(place.file(theirs)), bytes)
    assert.equal(await readFile(place.file(broken), 'utf8'), 'another onE')
    assert.equal(await scene.metadata.openAudit().readBlobRecord(theirs), undefined)
    await rm(join(rootDir, 'repositories'), { recursive: true })
    const alone = await scrub(scene)
    assert.deepEqual(alone.findings, [
      `corrupt quarantined ${broken}`,
      `orphan-file repaired ${theirs}`,
    ])
  })
})

test('while the disk of the blobs is away none of them is taken for lost', async () => {
  await withPlace(async (place, scene, rootDir) => {
    const { config, layer } = place.image
    const blobs = join(rootDir, 'blobs')
    await rename(blobs, `${blobs}-away`)
    const { findings, deeds, ok } = await scrub(scene)
    assert.deepEqual(
      findings,
      [config, layer].map((digest) => `unreadable-file left ${digest}`).sort(),
    )
    assert.deepEqual([deeds, ok], [[], false])
    await rename(`${blobs}-away`, blobs)
    const { status } = await scene.send('GET', `/v2/library/app/blobs/${layer}`)
    assert.equal(status, 200)
    assert.deepEqual((await scrub(scene)).findings, [])
  })
})

test('a push takes the place of damaged bytes that had to stay where they are', async () => {
  await withPlace(async (place, scene, rootDir) => {
    const { layer } = place.image
    await mkdir(join(rootDir, 'repositories'))
    await scene.metadata.setAdoption({ sinceMs: scene.nowMs, of: 'a tree' })
    const bytes = await readFile(place.file(layer))
    await place.writeFile(place.file(layer), Buffer.from(bytes).fill('Z'))
    await scrub(scene)
    const target = `/v2/library/app/blobs/${layer}`
    assert.equal((await scene.send('GET', target)).status, 404)
    assert.equal(await scene.pushBlob('library/app', bytes), layer)
    const { status, body } = await scene.send('GET', target)
    assert.equal(status, 200)
    assert.equal(digestOfBytes('sha256', body), layer)
    assert.deepEqual(await readFile(place.file(layer)), bytes)
    assert.deepEqual((await scrub(scene)).findings, [])
  })
})

test('a tree that is adopted while scrub runs is left alone from then on', async () => {
  await withPlace(async (place, scene) => {
    const { layer } = place.image
    const bytes = Buffer.from(await readFile(place.file(layer))).fill('Z')
    await place.writeFile(place.file(layer), bytes)
    let paces = 0
    const { findings } = await scrub(scene, {
      onPace: async () => {
        paces += 1
        if (paces === 1) await scene.metadata.setAdoption({ sinceMs: scene.nowMs, of: 'a tree' })
      },
    })
    assert.deepEqual(findings, [`corrupt quarantined ${layer}`])
    assert.deepEqual(await readFile(place.file(layer)), bytes)
  })
})
