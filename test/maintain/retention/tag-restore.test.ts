// Goal: a tag goes back to where it pointed, with whatever the manifest there needs, or stays where it is and
// says why. Method: the calls on a registry in memory, after deletions by clients, by prune and by gc.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JobDeed } from '../../../src/maintain/job/contract.ts'
import type { TagCallsSource } from '../../../src/maintain/retention/contract.ts'
import { tagCalls, tagRoutes } from '../../../src/maintain/retention/tag-calls.ts'
import type { Digest } from '../../../src/oci/digest.ts'
import { type MaintainScene, withScene } from '../../support/maintain.ts'
import { collect, dayMs, hourMs, manifestStatus, named, pushImage, pushIndex } from '../gc/scene.ts'
import { prune, tagsOf } from './scene.ts'

function check(title: string, body: (scene: MaintainScene) => Promise<void>): void {
  test(`tag restore: ${title}`, () => withScene({}, body))
}

interface Answer {
  readonly status: number
  readonly body: {
    readonly error?: string
    readonly digest?: string
    readonly restoredManifests?: readonly string[]
  }
  readonly deeds: readonly JobDeed[]
}

async function restore(
  scene: MaintainScene,
  tag: string,
  more: object = {},
  changed: Partial<ReturnType<TagCallsSource['settings']>> = {},
): Promise<Answer> {
  const deeds: JobDeed[] = []
  const calls = tagCalls({
    parts: scene.jobParts(),
    settings: () => ({
      ...{ graceMs: hourMs, isImmutable: () => () => false, quotas: () => [] },
      ...changed,
    }),
    record: (deed) => deeds.push(deed),
  })
  const { status, body } = await calls['/tag/restore']!({ repository: 'a', tag, ...more })
  return { status, body, deeds }
}

async function remove(scene: MaintainScene, reference: string): Promise<void> {
  assert.equal((await scene.send('DELETE', `/v2/a/manifests/${reference}`)).status, 202)
  scene.advance(1000)
}

async function push(scene: MaintainScene, tag: string): Promise<Digest> {
  const { digest } = await pushImage(scene, 'a', { tag })
  scene.advance(1000)
  return digest
}

async function digestOf(scene: MaintainScene, tag: string): Promise<unknown> {
  return (await scene.send('GET', `/v2/a/manifests/${tag}`)).headers['docker-content-digest']
}

check('back to before the last move, in the answers that are kept, too', async (scene) => {
  const first = await push(scene, 'x')
  const second = await push(scene, 'x')
  assert.equal(await digestOf(scene, 'x'), second)
  const { status, deeds } = await restore(scene, 'x')
  assert.equal(status, 200)
  assert.equal(await digestOf(scene, 'x'), first)
  assert.deepEqual(
    deeds.map(({ deed, repository, tag, digest }) => [deed, repository, tag, digest]),
    [['restore-tag', 'a', 'x', first]],
  )
  // It is a push: retention sees it as one, and it can be undone like one.
  const [times] = await scene.metadata.listTagTimes(named('a'), { limit: 1 })
  assert.equal(times?.pushedAtMs, scene.nowMs)
  await restore(scene, 'x')
  assert.equal(await digestOf(scene, 'x'), second)
})

check('a tag that was deleted alone, and one whose manifest was deleted', async (scene) => {
  const digest = await push(scene, 'x')
  await remove(scene, 'x')
  assert.deepEqual((await restore(scene, 'x')).body.restoredManifests, [])
  assert.equal(await digestOf(scene, 'x'), digest)
  await remove(scene, digest)
  assert.deepEqual((await restore(scene, 'x')).body.restoredManifests, [digest])
  assert.equal(await digestOf(scene, 'x'), digest)
})

check('a manifest that goes while it is restored', async (scene) => {
  const digest = await push(scene, 'x')
  await push(scene, 'x')
  const { metadata } = scene
  let looks = 0
  const watched = new Proxy(metadata, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name, target)
      if (typeof member !== 'function') return member
      const call = member.bind(target) as (...args: readonly unknown[]) => unknown
      if (name !== 'readManifest') return call
      return async (...args: readonly unknown[]) => {
        looks += 1
        const found = await call(...args)
        // What a run of prune does to one that had another tag.
        if (looks === 1) await remove(scene, digest)
        return found
      }
    },
  })
  const calls = tagCalls({
    parts: { ...scene.jobParts(), metadata: watched },
    settings: () => ({ graceMs: hourMs, isImmutable: () => () => false, quotas: () => [] }),
    record: () => undefined,
  })
  const answer = await calls['/tag/restore']!({ repository: 'a', tag: 'x', to: digest })
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  assert.ok(looks > 2)
  assert.equal(await digestOf(scene, 'x'), digest)
})

check(
  'an index comes back with all that prune took with it, the innermost first',
  async (scene) => {
    const deep = (await pushImage(scene, 'a')).digest
    const inner = await pushIndex(scene, 'a', [deep])
    const other = (await pushImage(scene, 'a')).digest
    const outer = await pushIndex(scene, 'a', [inner, other, inner], 'x')
    await prune(scene, ['image.pushed_at < 0'])
    assert.equal(await manifestStatus(scene, 'a', deep), 404)
    const { status, body, deeds } = await restore(scene, 'x')
    assert.equal(status, 200, JSON.stringify(body))
    const back = body.restoredManifests ?? []
    assert.deepEqual(new Set(back), new Set([deep, inner, other, outer]))
    assert.equal(back.length, 4)
    assert.equal(back.at(-1), outer)
    assert.deepEqual(
      deeds.map(({ deed }) => deed),
      [...Array(4).fill('restore-manifest'), 'restore-tag'],
    )
    for (const digest of [deep, inner, other, outer]) {
      assert.equal(await manifestStatus(scene, 'a', digest), 200)
    }
  },
)

check('what gc has condemned meanwhile comes back with it', async (scene) => {
  const digest = await push(scene, 'x')
  await remove(scene, digest)
  scene.advance(2 * hourMs)
  await collect(scene)
  assert.equal((await restore(scene, 'x')).status, 200)
  assert.equal(await digestOf(scene, 'x'), digest)
})

check('what gc has forgotten is gone', async (scene) => {
  const digest = await push(scene, 'x')
  await remove(scene, digest)
  scene.advance(8 * dayMs)
  await collect(scene)
  const { status, body } = await restore(scene, 'x')
  assert.deepEqual(
    [status, body.error],
    [409, `${digest} is gone: nobody can bring it back but by a push`],
  )
  assert.deepEqual(await tagsOf(scene, 'a'), [])
})

check('without one of its children an index stays away, and so does the tag', async (scene) => {
  const child = (await pushImage(scene, 'a')).digest
  const index = await pushIndex(scene, 'a', [child], 'x')
  for (const digest of [index, child]) await remove(scene, digest)
  const removed = await scene.metadata.findRemovedManifest(named('a'), child)
  await scene.metadata.forgetRemovedManifests([removed!])
  const { status, body } = await restore(scene, 'x')
  assert.equal(status, 409)
  assert.ok(body.error?.startsWith(`${index} needs ${child}, which is gone`), body.error)
  assert.deepEqual(await tagsOf(scene, 'a'), [])
})

check('without one of its blobs a manifest stays away', async (scene) => {
  const { digest, blobs } = await pushImage(scene, 'a', { tag: 'x' })
  await remove(scene, digest)
  scene.advance(2 * hourMs)
  await collect(scene, { restoreWindowMs: 0 })
  const { status, body } = await restore(scene, 'x')
  assert.equal(status, 409)
  assert.match(body.error ?? '', /is gone/)
  assert.ok(blobs.length > 0)
  assert.equal(await manifestStatus(scene, 'a', digest), 404)
})

check('an immutable tag does not move, and comes back where it is not there', async (scene) => {
  const first = await push(scene, 'x')
  const second = await push(scene, 'x')
  await remove(scene, first)
  const settings = { isImmutable: () => () => true }
  const moved = await restore(scene, 'x', {}, settings)
  assert.deepEqual([moved.status, moved.body.error], [409, 'a:x is immutable'])
  assert.equal(await digestOf(scene, 'x'), second)
  assert.equal(await manifestStatus(scene, 'a', first), 404)
  await remove(scene, 'x')
  assert.equal((await restore(scene, 'x', { to: first }, settings)).status, 200)
  assert.equal(await digestOf(scene, 'x'), first)
})

check('a quota has to have room for it', async (scene) => {
  await push(scene, 'x')
  await push(scene, 'y')
  await remove(scene, 'x')
  const quotas = () => [{ prefix: '', tagsMax: 1 }]
  const { status, body } = await restore(scene, 'x', {}, { quotas })
  assert.deepEqual([status, body.error], [409, 'a quota of the repository has no room for it'])
})

check('by a time it points to what it pointed to then', async (scene) => {
  const first = await push(scene, 'x')
  const between = new Date(scene.nowMs - 500).toISOString()
  await push(scene, 'x')
  await remove(scene, 'x')
  const away = new Date(scene.nowMs - 500).toISOString()
  const gone = await restore(scene, 'x', { at: away })
  assert.equal(gone.body.error, `a:x: it was not there at ${away}`)
  assert.equal((await restore(scene, 'x', { at: between })).body.digest, first)
})

check('what is wrong with a question is told', async (scene) => {
  await push(scene, 'x')
  for (const [more, status, error] of [
    [{}, 409, /a:x: it pointed nowhere before/],
    [{ tag: '!' }, 400, /tag: expected a tag/],
    [{ repository: 'A' }, 400, /repository: expected/],
    [{ to: 3 }, 400, /to: expected a digest/],
    [{ at: 'soon' }, 400, /at: expected a time/],
    [{ at: '5' }, 400, /at: expected a time/],
    [{ at: '01/02/2027' }, 400, /at: expected a time/],
    [{ at: '2027-01-31T12:00:00' }, 400, /at: expected a time/],
    [{ at: '2027-13-31' }, 400, /at: expected a time/],
    [{ by: 'x' }, 400, /by is not known/],
  ] as const) {
    const answer = await restore(scene, 'x', more)
    assert.equal(answer.status, status)
    assert.match(answer.body.error ?? '', error)
  }
  const routes = tagRoutes({
    parts: scene.jobParts(),
    settings: assert.fail,
    record: () => assert.fail(),
  })
  const { body } = await routes['/tag/history']!(new URLSearchParams('repository=a&tag=never'))
  assert.deepEqual(body, { repository: 'a', tag: 'never', moves: [] })
})
