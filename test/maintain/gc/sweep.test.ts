// Goal: a sweep takes manifests that nothing has used for long enough, where it is asked to, and no others.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GcSettings } from '../../../src/maintain/gc/settings.ts'
import type { Digest } from '../../../src/oci/digest.ts'
import { type JobRun, type MaintainScene, withScene } from '../../support/maintain.ts'
import { collect, dayMs, manifestStatus, named, pushImage, pushIndex, settings } from './scene.ts'

const untagged: Partial<GcSettings> = { untagged: 'delete' }
const orphans: Partial<GcSettings> = { orphanReferrers: 'delete' }
const longMs = settings.untaggedAfterMs + 1
const halfMs = settings.untaggedAfterMs / 2

function check(title: string, body: (scene: MaintainScene) => Promise<void>): void {
  test(`gc, manifests: ${title}`, () => withScene({}, body))
}

function deletedBy({ deeds }: JobRun): readonly (Digest | undefined)[] {
  return deeds.flatMap(({ deed, digest }) => (deed === 'delete-manifest' ? [digest] : [])).sort()
}

/** What a sweep deletes that comes when all that was unused at the last one is due. */
async function sweepLater(
  scene: MaintainScene,
  changed: Partial<GcSettings>,
): Promise<readonly (Digest | undefined)[]> {
  scene.advance(longMs)
  return deletedBy(await collect(scene, changed))
}

check('by default nothing is deleted, however long it is unused', async (scene) => {
  const { digest } = await pushImage(scene, 'app')
  for (let i = 0; i < 3; i++) assert.deepEqual(await sweepLater(scene, {}), [])
  assert.equal(await manifestStatus(scene, 'app', digest), 200)
})

check('an untagged one goes once sweeps have found it so for long enough', async (scene) => {
  const kept = await pushImage(scene, 'app', { tag: 'v1' })
  const { digest } = await pushImage(scene, 'app')
  // Unused for years, but nobody looked.
  scene.advance(1000 * dayMs)
  assert.deepEqual(deletedBy(await collect(scene, untagged)), [])
  scene.advance(settings.untaggedAfterMs)
  assert.deepEqual(deletedBy(await collect(scene, untagged)), [])
  scene.advance(1)
  const dry = await collect(scene, untagged, { dryRun: true })
  assert.equal((dry.report.details['removed'] as { count: number }).count, 1)
  assert.equal(await manifestStatus(scene, 'app', digest), 200)
  const run = await collect(scene, untagged)
  assert.deepEqual(deletedBy(run), [digest])
  assert.deepEqual(run.report.details['removed'], dry.report.details['removed'])
  assert.match(run.deeds[0]?.reason ?? '', /untagged and not pulled for 7 d/)
  assert.equal(await manifestStatus(scene, 'app', digest), 404)
  assert.equal(await manifestStatus(scene, 'app', kept.digest), 200)
})

check('one that was tagged, listed, pushed or pulled meanwhile counts anew', async (scene) => {
  const tagged = await pushImage(scene, 'app')
  const listed = await pushImage(scene, 'app')
  const pulled = await pushImage(scene, 'app')
  const gone = await pushImage(scene, 'app')
  await collect(scene, untagged)
  scene.advance(halfMs)
  const found = await scene.send('GET', `/v2/app/manifests/${tagged.digest}`)
  await scene.send('PUT', '/v2/app/manifests/v1', {
    body: found.body,
    headers: { 'content-type': 'application/vnd.oci.image.manifest.v1+json' },
  })
  const index = await pushIndex(scene, 'app', [listed.digest], 'index')
  await scene.metadata.recordPulls([
    { repository: named('app'), reference: pulled.digest, atMs: scene.nowMs },
  ])
  scene.advance(halfMs + 2)
  assert.deepEqual(deletedBy(await collect(scene, untagged)), [gone.digest])
  // No sweep in between: each of them is unused again, and none of them for long.
  await scene.send('DELETE', '/v2/app/manifests/v1')
  await scene.send('DELETE', `/v2/app/manifests/${index}`)
  assert.deepEqual(deletedBy(await collect(scene, untagged)), [])
  assert.deepEqual(
    await sweepLater(scene, untagged),
    [tagged.digest, listed.digest, pulled.digest].sort(),
  )
})

check('what an index lists lives as long as the index', async (scene) => {
  const [first, second] = [await pushImage(scene, 'app'), await pushImage(scene, 'app')]
  const index = await pushIndex(scene, 'app', [first.digest, second.digest], 'v1')
  const other = await pushIndex(scene, 'app', [second.digest], 'v2')
  await collect(scene, untagged)
  assert.deepEqual(await sweepLater(scene, untagged), [])
  await scene.send('DELETE', '/v2/app/manifests/v1')
  assert.deepEqual(deletedBy(await collect(scene, untagged)), [])
  assert.deepEqual(await sweepLater(scene, untagged), [index])
  assert.deepEqual(await sweepLater(scene, untagged), [first.digest])
  assert.equal(await manifestStatus(scene, 'app', second.digest), 200)
  assert.equal(await manifestStatus(scene, 'app', other), 200)
})

check('a nest of indexes goes from the outside in, a level each time', async (scene) => {
  const levels = [(await pushImage(scene, 'app')).digest]
  for (let depth = 1; depth <= 8; depth++) {
    levels.unshift(await pushIndex(scene, 'app', [levels[0]!]))
  }
  await collect(scene, untagged)
  for (const digest of levels) assert.deepEqual(await sweepLater(scene, untagged), [digest])
})

check('wide and deep nests cost one look at each manifest', async (scene) => {
  const width = 1_000
  const leaves: Digest[] = []
  for (let i = 0; i < width; i++) leaves.push(await pushIndex(scene, 'app', []))
  let level = leaves
  // Each of a level lists all of the one below: a walk along every path would never end.
  for (let depth = 0; depth < 7; depth++) {
    const next: Digest[] = []
    for (let i = 0; i < 3; i++) next.push(await pushIndex(scene, 'app', level))
    level = next
  }
  const root = await pushIndex(scene, 'app', level, 'v1')
  let items = 0
  const onPace = (work: { readonly items: number }): void => {
    items += work.items
  }
  const manifests = width + 7 * 3 + 1
  await collect(scene, untagged, {}, { onPace })
  assert.equal(items, manifests)
  await scene.send('DELETE', '/v2/app/manifests/v1')
  await collect(scene, untagged)
  assert.deepEqual(await sweepLater(scene, untagged), [root])
  assert.deepEqual(await sweepLater(scene, untagged), [...level].sort())
  for (let depth = 0; depth < 6; depth++) {
    assert.equal((await sweepLater(scene, untagged)).length, 3)
  }
  assert.equal((await sweepLater(scene, untagged)).length, width)
  assert.deepEqual(await scene.metadata.listManifests(named('app'), { limit: 1 }), [])
})

check('a signature lives as long as its subject, and after it where it is to', async (scene) => {
  const subject = await pushImage(scene, 'app', { tag: 'v1' })
  const signature = await pushImage(scene, 'app', { subject: subject.digest })
  const ofSignature = await pushImage(scene, 'app', { subject: signature.digest })
  const tagged = await pushImage(scene, 'app', { subject: subject.digest, tag: 'sig' })
  const all = { ...untagged, ...orphans }
  await collect(scene, all)
  assert.deepEqual(await sweepLater(scene, all), [])
  await scene.send('DELETE', `/v2/app/manifests/${subject.digest}`)
  await collect(scene, untagged)
  assert.deepEqual(await sweepLater(scene, untagged), [])
  await collect(scene, all)
  scene.advance(longMs)
  const run = await collect(scene, all)
  assert.deepEqual(deletedBy(run), [signature.digest])
  const { reason = '' } = run.deeds.find(({ deed }) => deed === 'delete-manifest') ?? {}
  assert.match(reason, /without its subject/)
  await collect(scene, all)
  assert.deepEqual(await sweepLater(scene, all), [ofSignature.digest])
  assert.equal(await manifestStatus(scene, 'app', tagged.digest), 200)
})

test('gc, manifests: a subject that comes back at the last moment keeps its signature', () =>
  withScene({ graceMs: 30 * dayMs }, async (scene) => {
    const subject = await pushImage(scene, 'app', { tag: 'v1' })
    const signature = await pushImage(scene, 'app', { subject: subject.digest })
    const { body } = await scene.send('GET', `/v2/app/manifests/${subject.digest}`)
    await scene.send('DELETE', `/v2/app/manifests/${subject.digest}`)
    await collect(scene, orphans)
    scene.advance(longMs)
    let isBack = false
    const { changing } = scene.jobParts()
    // Between the look of the sweep and its deed.
    const lateChanging: typeof changing = async (write) => {
      const headers = { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }
      const { status } = await scene.send('PUT', '/v2/app/manifests/v1', { body, headers })
      isBack = status === 201
      return changing(write)
    }
    const run = await collect(scene, orphans, {}, { context: { changing: lateChanging } })
    assert.equal(isBack, true)
    assert.deepEqual(deletedBy(run), [])
    assert.equal(await manifestStatus(scene, 'app', signature.digest), 200)
  }))

check('a sweep that was cut short goes on with the next repository', async (scene) => {
  for (let i = 0; i < 150; i++) await pushIndex(scene, `r${String(i).padStart(3, '0')}`, [])
  const stop = new AbortController()
  let turns = 0
  const onPace = (): void => {
    turns += 1
    if (turns === 120) stop.abort()
  }
  const { report } = await collect(scene, untagged, {}, { signal: stop.signal, onPace })
  assert.equal(report.details['isCut'], true)
  turns = Number.NEGATIVE_INFINITY
  let looked = 0
  const count = ({ items }: { readonly items: number }): void => {
    looked += items
  }
  const next = await collect(scene, untagged, {}, { onPace: count })
  assert.equal(looked, 50)
  assert.equal(next.report.details['marked'], 150 - 119)
})
