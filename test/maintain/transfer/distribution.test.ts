// Goal: a docker-registry's tree comes over whole, and nothing of it is changed. Method: trees written in its
// format, imported by the job; what is served afterwards is compared with what was put in.

import assert from 'node:assert/strict'
import { lstat, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { createScrubJob } from '../../../src/maintain/scrub/job.ts'
import { parseRepositoryName } from '../../../src/oci/name.ts'
import { parseTag } from '../../../src/oci/tag.ts'
import { DistributionTree, nobodysDigest } from '../../support/distribution-tree.ts'
import { withScene } from '../../support/maintain.ts'
import { assertFault, countsOf, importJob, pulled, withTransfer } from './scene.ts'

const app = parseRepositoryName('team/app')!
const v1 = parseTag('v1')!
const scrubJob = createScrubJob(() => ({ rateBytes: 0, graceMs: 3_600_000, peers: [] }))

test('every tag, untagged manifest and blob of a tree is served under the same digest', async () => {
  await withTransfer(async ({ scene, dir }) => {
    const tree = new DistributionTree(join(dir, 'docker/registry/v2'))
    const first = await tree.addImage('team/app', 'first')
    const second = await tree.addImage('team/app', 'second')
    const both = await tree.addIndex('team/app', [first, second])
    const untagged = await tree.addImage('team', 'untagged')
    await tree.tag('team/app', 'v1', first.digest)
    await tree.tag('team/app', 'latest', both)
    const input = { from: 'distribution', source: dir }
    const { report, deeds } = await scene.run(importJob, input)
    assert.equal(report.ok, true, report.summary.join('\n'))
    assert.equal(await pulled(scene, '/v2/team/app/manifests/v1'), first.digest)
    assert.equal(await pulled(scene, '/v2/team/app/manifests/latest'), both)
    assert.equal(await pulled(scene, `/v2/team/app/manifests/${second.digest}`), second.digest)
    assert.equal(await pulled(scene, `/v2/team/manifests/${untagged.digest}`), untagged.digest)
    for (const blob of [...first.blobs, ...second.blobs]) {
      assert.equal(await pulled(scene, `/v2/team/app/blobs/${blob}`), blob)
    }
    assert.deepEqual(deeds.map(({ deed, tag }) => `${deed} ${tag}`).sort(), [
      'import-tag latest',
      'import-tag v1',
    ])
    const { tagsNew, manifests, repositories } = countsOf(report)
    assert.deepEqual(
      { tagsNew, manifests, repositories },
      { tagsNew: 2, manifests: 4, repositories: 2 },
    )
  })
})

test('blobs are second names of the same files, not copies', async () => {
  await withTransfer(async ({ scene, dir }) => {
    const tree = new DistributionTree(join(dir, 'docker/registry/v2'))
    const image = await tree.addImage('app', 'image')
    await tree.tag('app', 'v1', image.digest)
    const { report } = await scene.run(importJob, { from: 'distribution', source: dir })
    const { copied, linked, cloned } = countsOf(report)['blobs'] as Record<string, number>
    assert.equal(copied, 0)
    assert.equal((linked ?? 0) + (cloned ?? 0), 3)
    if (linked === 0) return
    const [config] = image.blobs
    const target = scene.blobs.readingTarget?.(config!)
    assert.ok(target?.kind === 'fs')
    assert.equal((await lstat(target.path)).ino, (await lstat(tree.dataPath(config!))).ino)
  })
})

test('an import may start from the root directory, from v2, or from what is between', async () => {
  for (const place of ['', 'docker/registry', 'docker/registry/v2']) {
    await withTransfer(async ({ scene, dir }) => {
      const tree = new DistributionTree(join(dir, 'docker/registry/v2'))
      await tree.tag('app', 'v1', (await tree.addImage('app', 'image')).digest)
      const source = join(dir, place)
      const { report } = await scene.run(importJob, { from: 'distribution', source })
      assert.equal(countsOf(report)['tagsNew'], 1)
    })
  }
})

test('the history of a tag has the time of its push there, and for retention it is pushed now', async () => {
  await withTransfer(async ({ scene, dir }) => {
    const tree = new DistributionTree(join(dir, 'docker/registry/v2'))
    const older = await tree.addImage('team/app', 'older')
    const newer = await tree.addImage('team/app', 'newer')
    await tree.tag('team/app', 'a-newer', newer.digest, new Date('2024-02-01'))
    await tree.tag('team/app', 'v1', older.digest, new Date('2023-02-01'))
    await scene.run(importJob, { from: 'distribution', source: dir })
    const [move] = await scene.metadata.readTagHistory(app, v1, 9)
    assert.equal(move?.atMs, Date.parse('2023-02-01'))
    assert.equal(move?.run, 'run-1')
    const times = await scene.metadata.listTagTimes(app, { limit: 9 })
    const pushed = new Map(times.map(({ tag, pushedAtMs }) => [String(tag), pushedAtMs ?? 0]))
    assert.ok(pushed.get('a-newer')! <= scene.nowMs)
    assert.ok(pushed.get('v1')! > scene.nowMs - 60_000)
    assert.ok(pushed.get('v1')! < pushed.get('a-newer')!, 'the order of the pushes is kept')
  })
})

test('importing again moves what moved there, and leaves what was pushed or deleted here', async () => {
  await withTransfer(async ({ scene, dir }) => {
    const tree = new DistributionTree(join(dir, 'docker/registry/v2'))
    const [one, two, three] = await Promise.all(
      ['one', 'two', 'three'].map((seed) => tree.addImage('team/app', seed)),
    )
    for (const tag of ['moves', 'pushed', 'deleted', 'again', 'stays']) {
      await tree.tag('team/app', tag, one!.digest)
    }
    const input = { from: 'distribution', source: dir }
    await scene.run(importJob, input)
    // Here: one is pushed anew, two are deleted. There: three move.
    const body = (await scene.send('GET', `/v2/team/app/manifests/${three!.digest}`)).body
    const headers = { 'content-type': three!.mediaType }
    await scene.send('PUT', '/v2/team/app/manifests/pushed', { body, headers })
    for (const tag of ['deleted', 'again']) {
      await scene.send('DELETE', `/v2/team/app/manifests/${tag}`)
    }
    for (const tag of ['moves', 'pushed', 'again']) await tree.tag('team/app', tag, two!.digest)
    const { report } = await scene.run(importJob, input)
    const at = (tag: string): Promise<string> => pulled(scene, `/v2/team/app/manifests/${tag}`)
    assert.equal(await at('moves'), two!.digest)
    assert.equal(await at('pushed'), three!.digest)
    assert.equal(await at('deleted'), '404')
    assert.equal(await at('again'), two!.digest)
    assert.equal(await at('stays'), one!.digest)
    assert.equal(report.ok, true)
    const { tagsNew, tagsMoved, tagsSame, tagsKept } = countsOf(report)
    assert.deepEqual(
      { tagsNew, tagsMoved, tagsSame, tagsKept },
      {
        ...{ tagsNew: 1, tagsMoved: 1, tagsSame: 1, tagsKept: 2 },
      },
    )
    // Once more nothing is done at all.
    const third = await scene.run(importJob, input)
    assert.deepEqual(third.deeds, [])
    await scene.run(importJob, { ...input, overwrite: true })
    assert.equal(await at('pushed'), two!.digest)
    assert.equal(await at('deleted'), one!.digest)
  })
})

test('what is wrong with one image is told, and the others come', async () => {
  await withTransfer(async ({ scene, dir }) => {
    const tree = new DistributionTree(join(dir, 'docker/registry/v2'))
    const good = await tree.addImage('good', 'good')
    await tree.tag('good', 'v1', good.digest)
    const missing = await tree.addImage('missing', 'missing')
    await tree.tag('missing', 'v1', missing.digest)
    await writeFile(`${tree.dataPath(missing.blobs[0]!)}.gone`, '')
    await rm(tree.dataPath(missing.blobs[0]!))
    const flipped = await tree.addImage('flipped', 'flipped')
    await tree.tag('flipped', 'v1', flipped.digest)
    await writeFile(tree.dataPath(flipped.blobs[1]!), 'flipped laxer')
    const garbled = await tree.addImage('garbled', 'garbled')
    await tree.tag('garbled', 'v1', garbled.digest)
    await writeFile(tree.dataPath(garbled.digest), '{}')
    const schema1 = await tree.addManifest('old', { schemaVersion: 1, name: 'old', fsLayers: [] })
    await tree.tag('old', 'v1', schema1)
    await tree.tag('empty', 'v1', good.digest)
    await writeFile(tree.path('repositories/empty/_manifests/tags/v1/current/link'), '')
    await tree.tag('dangling', 'v1', nobodysDigest('dangling'))
    const text = await tree.addManifest('text', Buffer.from('no manifest at all'))
    await tree.tag('text', 'v1', text)
    const { report } = await scene.run(importJob, { from: 'distribution', source: dir })
    assert.equal(report.ok, false)
    assert.equal(await pulled(scene, '/v2/good/manifests/v1'), good.digest)
    assertFault(report, 'missing', /blob sha256:\w+ is missing/)
    assertFault(report, 'flipped', /bytes of sha256:\w+ are not what the digest says/)
    assertFault(report, 'garbled', /bytes of the manifest are not what the digest says/)
    assertFault(report, 'old', /schema 1/)
    assertFault(report, 'empty', /its link is empty/)
    assertFault(report, 'dangling', /was deleted there/)
    assertFault(report, 'text', /not well-formed JSON/)
    for (const name of ['missing', 'flipped', 'garbled', 'old', 'empty', 'dangling', 'text']) {
      assert.equal(await pulled(scene, `/v2/${name}/manifests/v1`), '404', name)
    }
  })
})

test('an index that lacks images comes as it is; one with a broken image comes, and is told of', async () => {
  await withTransfer(async ({ scene, dir }) => {
    const tree = new DistributionTree(join(dir, 'docker/registry/v2'))
    const here = await tree.addImage('app', 'here')
    const absent = { ...here, digest: nobodysDigest('absent') }
    await tree.tag('app', 'sparse', await tree.addIndex('app', [here, absent]))
    const broken = await tree.addImage('app', 'broken')
    await writeFile(tree.dataPath(broken.blobs[0]!), 'x')
    await tree.tag('app', 'broken', await tree.addIndex('app', [here, broken]))
    const { report } = await scene.run(importJob, { from: 'distribution', source: dir })
    assert.equal((await scene.send('GET', '/v2/app/manifests/sparse')).status, 200)
    assert.equal((await scene.send('GET', '/v2/app/manifests/broken')).status, 200)
    assert.equal(await pulled(scene, `/v2/app/manifests/${here.digest}`), here.digest)
    assert.equal(countsOf(report)['sparse'], 1)
    assert.equal(report.ok, false)
    assertFault(report, 'app', /its image sha256/)
  })
})

test('a dry run tells what would come, and changes nothing', async () => {
  await withTransfer(async ({ scene, dir }) => {
    const tree = new DistributionTree(join(dir, 'docker/registry/v2'))
    const image = await tree.addImage('app', 'image')
    await tree.tag('app', 'v1', image.digest)
    const input = { from: 'distribution', source: dir, dryRun: true }
    const { report, deeds } = await scene.run(importJob, input)
    assert.equal(report.ok, true)
    assert.deepEqual(countsOf(report)['plannedList'], [
      { repository: 'app', tag: 'v1', digest: image.digest, what: 'new' },
    ])
    assert.deepEqual(deeds, [])
    assert.deepEqual(await scene.metadata.listRepositories({ limit: 9 }), [])
    assert.equal(await scene.blobs.size(image.blobs[0]!), undefined)
    assert.equal(await scene.metadata.readAdoption(), undefined)
  })
})

test('with a prefix every repository lies below it', async () => {
  await withTransfer(async ({ scene, dir }) => {
    const tree = new DistributionTree(join(dir, 'docker/registry/v2'))
    const image = await tree.addImage('app', 'image')
    await tree.tag('app', 'v1', image.digest)
    await scene.run(importJob, { from: 'distribution', source: dir, repository: 'old/site' })
    assert.equal(await pulled(scene, '/v2/old/site/app/manifests/v1'), image.digest)
  })
})

test('in a tree that is shared a damaged blob is told of and not adopted, and its file is left', async () => {
  await withTransfer(async ({ scene }) => {
    const { rootDir = '' } = scene.disk
    const tree = new DistributionTree(rootDir)
    const good = await tree.addImage('app', 'good', { layers: ['sound'] })
    await tree.tag('app', 'good', good.digest)
    const bad = await tree.addImage('app', 'bad', { layers: ['broken'] })
    await tree.tag('app', 'bad', bad.digest)
    await tree.tag('app', 'bad-too', bad.digest)
    const [, layer] = bad.blobs
    await writeFile(tree.dataPath(layer!), 'brOken')
    const { report } = await scene.run(importJob, { from: 'distribution', source: rootDir })
    assert.equal(report.ok, false)
    assertFault(report, 'app', /has other bytes than its digest says/)
    assert.equal(await pulled(scene, '/v2/app/manifests/good'), good.digest)
    assert.equal(await pulled(scene, '/v2/app/manifests/bad'), '404')
    assert.equal(await readFile(tree.dataPath(layer!), 'utf8'), 'brOken')
    assert.equal((await scene.metadata.readAdoption())?.sinceMs, scene.nowMs)
    // Made whole there, it comes with the next import.
    await writeFile(tree.dataPath(layer!), 'broken')
    scene.advance(1000)
    const again = await scene.run(importJob, { from: 'distribution', source: rootDir })
    assert.equal(again.report.ok, true, again.report.summary.join('\n'))
    assert.equal(await pulled(scene, '/v2/app/manifests/bad-too'), bad.digest)
    assert.equal((await scene.metadata.readAdoption())?.sinceMs, scene.nowMs - 1000)
  })
})

test('what was quarantined in a tree that is shared does not live again by the next import', async () => {
  await withTransfer(async ({ scene }) => {
    const { rootDir = '' } = scene.disk
    const tree = new DistributionTree(rootDir)
    const image = await tree.addImage('app', 'image', { layers: ['sound'] })
    await tree.tag('app', 'v1', image.digest)
    const input = { from: 'distribution', source: rootDir }
    await scene.run(importJob, input)
    const [, layer] = image.blobs
    const blob = `/v2/app/blobs/${layer}`
    assert.equal(await pulled(scene, blob), layer)
    await writeFile(tree.dataPath(layer!), 'sOund')
    await scene.run(scrubJob, {})
    assert.equal(await pulled(scene, blob), '404')
    const { report } = await scene.run(importJob, input)
    assertFault(report, 'app', /has other bytes than its digest says/)
    assert.equal(await pulled(scene, blob), '404')
    await writeFile(tree.dataPath(layer!), 'sound')
    assert.equal((await scene.run(importJob, input)).report.ok, true)
    assert.equal(await pulled(scene, blob), layer)
  })
})

test('a blob that is being destroyed is waited for, and brought anew', async () => {
  await withTransfer(async ({ scene, dir }) => {
    const tree = new DistributionTree(join(dir, 'docker/registry/v2'))
    const image = await tree.addImage('app', 'image', { layers: ['old and new'] })
    await tree.tag('app', 'v1', image.digest)
    const digest = await scene.pushBlob('elsewhere', Buffer.from('old and new'))
    assert.ok(image.blobs.includes(digest))
    scene.advance(scene.graceMs + 1)
    const leases = await scene.metadata.listEndedLeases({ beforeMs: scene.nowMs, limit: 9 })
    await scene.metadata.condemn(leases, { nowMs: scene.nowMs, run: 'gc' })
    const dropped = await scene.metadata.listDropped({ limit: 9 })
    const doomed = await scene.metadata.beginDestroy(dropped)
    assert.deepEqual(
      doomed.map((each) => each.digest),
      [digest],
    )
    let writes = 0
    const { changing: plain } = scene.jobParts()
    const changing: typeof plain = async (write) => {
      writes += 1
      const result = await plain(write)
      if (writes === 6) {
        await scene.blobs.remove(digest)
        await scene.metadata.endDestroy([digest])
      }
      return result
    }
    const input = { from: 'distribution', source: dir }
    const { report } = await scene.run(importJob, input, { context: { changing } })
    assert.equal(report.ok, true, report.summary.join('\n'))
    assert.ok(writes > 6, `${writes} writes`)
    assert.equal(await pulled(scene, `/v2/app/blobs/${digest}`), digest)
  })
})

test('a dry run says what would come, and in what number', async () => {
  await withTransfer(async ({ scene, dir }) => {
    const tree = new DistributionTree(join(dir, 'docker/registry/v2'))
    await tree.tag('app', 'v1', (await tree.addImage('app', 'image')).digest)
    const input = { from: 'distribution', source: dir, dryRun: true }
    const { report } = await scene.run(importJob, input)
    const said = report.summary.join('\n')
    assert.match(said, /^1 repository: 1 tag new, .*; 1 manifest new$/m)
    assert.match(said, /^3 blobs of \d+ bytes would be brought, linked or cloned where/m)
    assert.doesNotMatch(said, /copied/)
  })
})

test('an import leaves the disk reserve alone, and the next one goes on', async () => {
  await withTransfer(async ({ dir }) => {
    const tree = new DistributionTree(join(dir, 'docker/registry/v2'))
    const { digest } = await tree.addImage('app', 'image')
    await tree.tag('app', 'v1', digest)
    const input = { from: 'distribution', source: dir }
    // In memory, where nothing is linked or cloned.
    await withScene({}, async (scene) => {
      const asked: number[] = []
      const hasDiskRoom = (bytes: number): boolean => {
        asked.push(bytes)
        return false
      }
      await assert.rejects(scene.run(importJob, input, { context: { hasDiskRoom } }), {
        kind: 'full',
        message: /^storage\.reserve is reached/,
      })
      assert.ok(asked.some((bytes) => bytes > 0))
      assert.equal(await pulled(scene, '/v2/app/manifests/v1'), '404')
      const context = { hasDiskRoom: () => true }
      assert.equal((await scene.run(importJob, input, { context })).report.ok, true)
      assert.equal(await pulled(scene, '/v2/app/manifests/v1'), digest)
    })
  })
})

for (const [source, said] of [
  ['s3://bucket/registry', /object store \(s3:\/\/\), from which nothing is imported yet/],
  ['https://registry.example.com', /that is --from registry/],
] as const) {
  test(`${source} is told not to be a directory`, () => {
    const parsed = importJob.parse({ from: 'distribution', source })
    assert.match('error' in parsed ? parsed.error : '', said)
  })
}
