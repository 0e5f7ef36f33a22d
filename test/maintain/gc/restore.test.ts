// Goal: what was taken away comes back as it was, while its restore window is open, and what cannot is told.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type GcAnswer,
  gcCalls,
  gcRoutes,
  type ShownRestorable,
} from '../../../src/maintain/gc/calls.ts'
import type { RestoreOutcome } from '../../../src/maintain/gc/restore.ts'
import type { JobDeed } from '../../../src/maintain/job/contract.ts'
import type { Digest } from '../../../src/oci/digest.ts'
import { type MaintainScene, withScene } from '../../support/maintain.ts'
import {
  blobStatus,
  collect,
  dayMs,
  hourMs,
  manifestStatus,
  pushImage,
  pushIndex,
  settings,
  someBytes,
} from './scene.ts'

function check(title: string, body: (scene: MaintainScene) => Promise<void>): void {
  test(`gc restore: ${title}`, () => withScene({}, body))
}

async function restore(
  scene: MaintainScene,
  wanted: object,
): Promise<{ readonly outcomes: readonly RestoreOutcome[]; readonly deeds: readonly JobDeed[] }> {
  const deeds: JobDeed[] = []
  const outcomes: RestoreOutcome[] = []
  const calls = gcCalls({ ...source(scene), record: (deed) => deeds.push(deed) })
  let next: string | undefined
  do {
    const input = next === undefined ? wanted : { ...wanted, from: next }
    const { status, body } = await calls['/gc/restore']!(input)
    assert.equal(status, 200, JSON.stringify(body))
    const page = body as { readonly outcomes: readonly RestoreOutcome[]; readonly next?: string }
    outcomes.push(...page.outcomes)
    next = page.next
  } while (next !== undefined)
  return { outcomes, deeds }
}

async function list(scene: MaintainScene, query = ''): Promise<readonly ShownRestorable[]> {
  const routes = gcRoutes({ ...source(scene), record: () => assert.fail() })
  const items: ShownRestorable[] = []
  let next: string | undefined
  do {
    const params = new URLSearchParams(query)
    if (next !== undefined) params.set('from', next)
    const { status, body } = await routes['/gc/dropped']!(params)
    assert.equal(status, 200, JSON.stringify(body))
    const page = body as { readonly items: readonly ShownRestorable[]; readonly next?: string }
    items.push(...page.items)
    next = page.next
  } while (next !== undefined)
  return items
}

function source(scene: MaintainScene): Omit<Parameters<typeof gcCalls>[0], 'record'> {
  return { parts: scene.jobParts(), settings: () => settings }
}

function runOf(report: { readonly details: Readonly<Record<string, unknown>> }): string {
  return String(report.details['run'])
}

check('a blob is there again where it was, with a lease', async (scene) => {
  const bytes = someBytes()
  const digest = await scene.pushBlob('one', bytes)
  await scene.pushBlob('two', bytes)
  scene.advance(hourMs + 1)
  const { report } = await collect(scene)
  const [first, ...others] = await list(scene)
  const until = new Date(scene.nowMs + settings.restoreWindowMs).toISOString().slice(0, 19)
  assert.deepEqual(
    { ...first, droppedAt: '' },
    {
      ...{ kind: 'blob', digest, size: 100, droppedAt: '' },
      ...{ run: runOf(report), until: `${until}Z` },
    },
  )
  assert.deepEqual(
    others.map(({ kind, repository }) => [kind, repository]),
    [
      ['hold', 'one'],
      ['hold', 'two'],
    ],
  )
  const { outcomes, deeds } = await restore(scene, { digest })
  assert.equal(
    outcomes.every(({ isRestored }) => isRestored),
    true,
  )
  assert.deepEqual(
    deeds.map(({ deed, repository }) => [deed, repository]),
    [
      ['restore-blob', undefined],
      ['restore-blob', 'one'],
      ['restore-blob', 'two'],
    ],
  )
  for (const name of ['one', 'two']) assert.equal(await blobStatus(scene, name, digest), 200)
  assert.deepEqual(await list(scene), [])
  scene.advance(hourMs - 1)
  await collect(scene)
  assert.equal(await blobStatus(scene, 'one', digest), 200)
  scene.advance(2)
  await collect(scene)
  assert.equal(await blobStatus(scene, 'one', digest), 404)
})

check('a run is undone as a whole, and nothing of another one is', async (scene) => {
  const first: Digest[] = []
  for (let i = 0; i < 130; i++) first.push(await scene.pushBlob('app', someBytes(8)))
  scene.advance(hourMs + 1)
  const { report } = await collect(scene)
  const other = await scene.pushBlob('app', someBytes())
  scene.advance(hourMs + 1)
  await collect(scene)
  assert.equal((await list(scene, `run=${runOf(report)}&limit=7`)).length, 260)
  const { outcomes } = await restore(scene, { run: runOf(report) })
  assert.equal(outcomes.filter(({ isRestored }) => isRestored).length, 260)
  for (const digest of first) assert.equal(await blobStatus(scene, 'app', digest), 200)
  assert.equal(await blobStatus(scene, 'app', other), 404)
  assert.deepEqual((await restore(scene, { run: runOf(report) })).outcomes, [])
})

check('a manifest that a client deleted comes back with its blobs and its tags', async (scene) => {
  const image = await pushImage(scene, 'app', { tag: 'v1' })
  await scene.send('DELETE', `/v2/app/manifests/${image.digest}`)
  scene.advance(hourMs + 1)
  await collect(scene)
  for (const blob of image.blobs) assert.equal(await blobStatus(scene, 'app', blob), 404)
  const [shown] = (await list(scene, `digest=${image.digest}`)) as readonly ShownRestorable[]
  assert.deepEqual([shown?.kind, shown?.tags, shown?.run], ['manifest', ['v1'], undefined])
  const { outcomes, deeds } = await restore(scene, { digest: image.digest })
  assert.deepEqual(
    outcomes.map(({ kind, isRestored, tags }) => [kind, isRestored, tags]),
    [['manifest', true, ['v1']]],
  )
  assert.deepEqual(
    deeds.map(({ deed, tag }) => [deed, tag]),
    [
      ['restore-manifest', undefined],
      ['restore-tag', 'v1'],
    ],
  )
  assert.equal(await manifestStatus(scene, 'app', 'v1'), 200)
  scene.advance(30 * dayMs)
  await collect(scene)
  for (const blob of image.blobs) assert.equal(await blobStatus(scene, 'app', blob), 200)
})

check('a tag that names something else by now stays', async (scene) => {
  const old = await pushImage(scene, 'app', { tag: 'v1' })
  await scene.send('DELETE', `/v2/app/manifests/${old.digest}`)
  const fresh = await pushImage(scene, 'app', { tag: 'v1' })
  const { outcomes } = await restore(scene, { digest: old.digest })
  assert.deepEqual(outcomes[0]?.tags, [])
  const answer = await scene.send('HEAD', '/v2/app/manifests/v1')
  assert.equal(answer.headers['docker-content-digest'], fresh.digest)
})

check('an index brings back what it lists, however deep', async (scene) => {
  const image = await pushImage(scene, 'app')
  const inner = await pushIndex(scene, 'app', [image.digest])
  const outer = await pushIndex(scene, 'app', [inner], 'v1')
  for (const digest of [outer, inner, image.digest]) {
    scene.advance(1)
    await scene.send('DELETE', `/v2/app/manifests/${digest}`)
  }
  const { outcomes } = await restore(scene, { digest: outer })
  assert.deepEqual(
    outcomes.map(({ digest, isRestored }) => [digest, isRestored]),
    [
      [image.digest, true],
      [inner, true],
      [outer, true],
    ],
  )
  assert.equal(await manifestStatus(scene, 'app', 'v1'), 200)
})

check('what is gone for good is told, and changes nothing', async (scene) => {
  const image = await pushImage(scene, 'app', { tag: 'v1' })
  await scene.send('DELETE', `/v2/app/manifests/${image.digest}`)
  scene.advance(hourMs + 1)
  await collect(scene, { restoreWindowMs: 0 }, { onlyUnfinished: true })
  await collect(scene)
  // As a lower window would have it, but for the manifest.
  const dropped = await scene.metadata.listDropped({ limit: 100 })
  const doomed = await scene.metadata.beginDestroy(dropped)
  for (const { digest } of doomed) await scene.blobs.remove(digest)
  await scene.metadata.endDestroy(doomed.map(({ digest }) => digest))
  const { outcomes, deeds } = await restore(scene, { digest: image.digest })
  assert.deepEqual(
    outcomes.map(({ isRestored }) => isRestored),
    [false],
  )
  assert.match(outcomes[0]?.why ?? '', /gone for good: sha256:/)
  assert.deepEqual(deeds, [])
  assert.equal(await manifestStatus(scene, 'app', 'v1'), 404)
})

check('what is asked for wrongly is refused with a sentence', async (scene) => {
  const calls = gcCalls({ ...source(scene), record: () => assert.fail() })
  const routes = gcRoutes({ ...source(scene), record: () => assert.fail() })
  const asked: readonly GcAnswer[] = await Promise.all([
    calls['/gc/restore']!(undefined),
    calls['/gc/restore']!({}),
    calls['/gc/restore']!({ digest: 'sha256:short' }),
    calls['/gc/restore']!({ run: 'a', digest: `sha256:${'0'.repeat(64)}` }),
    calls['/gc/restore']!({ run: 'a', from: 'nowhere' }),
    calls['/gc/restore']!({ run: 'a', all: true }),
    routes['/gc/dropped']!(new URLSearchParams('limit=0')),
    routes['/gc/dropped']!(new URLSearchParams('limit=x')),
    routes['/gc/dropped']!(new URLSearchParams('from=dropped -1 sha256:x')),
  ])
  for (const { status, body } of asked) {
    assert.equal(status, 400)
    assert.match((body as { error: string }).error, /expected|unknown/)
  }
})
