// Goal: however often prune is killed or stopped, the run that gets through leaves what one undisturbed run
// would have left; and a dry run changes nothing. Method: kill at every call to the stores in turn, and
// compare what is there with what an undisturbed run leaves.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Preview, previewRoutes } from '../../../src/maintain/retention/preview.ts'
import type { MaintainScene } from '../../support/maintain.ts'
import { withScene } from '../../support/maintain.ts'
import { named, pushImage, pushIndex } from '../gc/scene.ts'
import { partsOf, prune, settingsOf, tagsOf } from './scene.ts'

const rules = ["image.tag.startsWith('v')"]

/** Two repositories, each with an index whose children go with it. */
async function fill(scene: MaintainScene): Promise<void> {
  for (const repository of ['a', 'b']) {
    const child = await pushImage(scene, repository, { layers: [] })
    const inner = await pushIndex(scene, repository, [child.digest])
    await pushIndex(scene, repository, [inner], 'old')
    await pushImage(scene, repository, { tag: 'x', layers: [] })
    await pushImage(scene, repository, { tag: 'v1', layers: [] })
  }
}

async function contentOf(scene: MaintainScene): Promise<readonly string[]> {
  const lines: string[] = []
  for (const repository of ['a', 'b']) {
    lines.push(...(await tagsOf(scene, repository)).map((tag) => `${repository}:${tag}`))
    const manifests = await scene.metadata.listManifests(named(repository), { limit: 100 })
    lines.push(`${repository}: ${manifests.length}`)
  }
  return lines
}

const settled = ['a:v1', 'a: 1', 'b:v1', 'b: 1']

test('an undisturbed run leaves what the others are held to', async () => {
  await withScene({}, async (scene) => {
    await fill(scene)
    const { report } = await prune(scene, rules)
    assert.deepEqual(await contentOf(scene), settled)
    assert.deepEqual(
      ['freed', 'manifests', 'kept', 'repositories'].map((name) => report.details[name]),
      [4, 8, 2, 2],
    )
    const again = await prune(scene, rules)
    assert.equal(again.report.details['freed'], 0)
  })
})

for (const isAfter of [false, true]) {
  test(`killed ${isAfter ? 'after' : 'before'} each call in turn, the next run goes on`, async () => {
    await withScene({}, async (scene) => {
      let kills = 0
      for (let steps = 0; ; steps += 1) {
        for (const repository of ['a', 'b']) await clear(scene, repository)
        await fill(scene)
        const { life } = scene
        life.dieIn(steps, isAfter)
        const run = prune(scene, rules)
        const isThrough = await Promise.race([run.then(() => true), life.over.then(() => false)])
        if (isThrough) break
        kills += 1
        await scene.restart()
        await prune(scene, rules)
        assert.deepEqual(await contentOf(scene), settled, `killed at call ${steps}`)
      }
      assert.ok(kills > 15, `${kills} kills`)
    })
  })
}

test('three kills in one run, one behind the other', async () => {
  await withScene({}, async (scene) => {
    await fill(scene)
    for (const steps of [6, 5, 7]) {
      const { life } = scene
      life.dieIn(steps, steps === 5)
      const run = prune(scene, rules).then(() => 'through')
      assert.equal(await Promise.race([run, life.over]), undefined)
      await scene.restart()
    }
    await prune(scene, rules)
    assert.deepEqual(await contentOf(scene), settled)
  })
})

test('one that is asked to stop says what it did, and the next one goes on', async () => {
  await withScene({}, async (scene) => {
    await fill(scene)
    const stop = new AbortController()
    let paces = 0
    const onPace = (): void => {
      paces += 1
      if (paces === 5) stop.abort()
    }
    const first = await prune(scene, rules, {}, { signal: stop.signal, onPace })
    assert.equal(first.report.details['isCut'], true)
    assert.notDeepEqual(await contentOf(scene), settled)
    await prune(scene, rules)
    assert.deepEqual(await contentOf(scene), settled)
  })
})

describe('a dry run', () => {
  const all = async (scene: MaintainScene): Promise<readonly string[]> =>
    scene.disk.records.reader
      .entries({ start: '', end: '~' })
      .map(({ key, value }) => `${key} ${value}`)

  test('of the job counts and changes nothing', async () => {
    await withScene({}, async (scene) => {
      await fill(scene)
      const before = await all(scene)
      const { report, deeds } = await prune(scene, rules, { dryRun: true })
      assert.deepEqual(await all(scene), before)
      assert.deepEqual(deeds, [])
      assert.equal(report.summary[0], 'would delete 4 tags and keep 2 tags')
    })
  })

  test('tells of each tag what keeps it, page by page, and changes nothing', async () => {
    await withScene({}, async (scene) => {
      await fill(scene)
      await pushImage(scene, 'c', { tag: 'x', layers: [] })
      const before = await all(scene)
      const settings = settingsOf({ a: [...rules, 'int(image.tag) > 1'], b: rules })
      const routes = previewRoutes({ ...partsOf(() => settings), parts: scene.jobParts() })
      const lines = async (query: Readonly<Record<string, string>>): Promise<readonly string[]> => {
        const told: string[] = []
        let next: Readonly<Record<string, string>> | undefined = query
        while (next !== undefined) {
          const params = new URLSearchParams({ ...next, limit: query['limit'] ?? '100' })
          const { status, body } = await routes['/prune/preview']!(params)
          assert.equal(status, 200)
          const page = body as Preview
          assert.ok(page.tags.length <= Number(query['limit'] ?? 100))
          for (const { repository, tag, by, line, error } of page.tags) {
            told.push(`${repository}:${tag} ${by} ${line ?? ''} ${error ?? ''}`.trimEnd())
          }
          next = page.next
        }
        return told
      }
      const expected = [
        'a:old failed rule 2 int() cannot convert this string',
        'a:v1 rule 1',
        'a:x failed rule 2 int() cannot convert this string',
        ...['b:old none', 'b:v1 rule 1', 'b:x none', 'c:undefined unruled'],
      ]
      for (const limit of ['1', '2', '3', '4', '100'])
        assert.deepEqual(await lines({ limit }), expected)
      assert.deepEqual(await lines({ repository: 'b', limit: '1' }), expected.slice(3, 6))
      assert.deepEqual(await lines({ repository: 'absent' }), ['absent:undefined unruled'])
      assert.deepEqual(await all(scene), before)
      for (const [query, error] of [
        ['repository=A', 'repository: expected the name of a repository'],
        ['limit=0', 'limit: expected a number from 1 to 1000000'],
        ['after=!', 'expected what next of an answer says'],
      ] as const) {
        const { status, body } = await routes['/prune/preview']!(new URLSearchParams(query))
        assert.deepEqual([status, body], [400, { error }])
      }
    })
  })

  test('looks at the ranking anew when it is asked anew', async () => {
    await withScene({}, async (scene) => {
      const settings = settingsOf(['top_pushed(1)'])
      const routes = previewRoutes({ ...partsOf(() => settings), parts: scene.jobParts() })
      const kept = async (): Promise<readonly (string | undefined)[]> => {
        const { body } = await routes['/prune/preview']!(new URLSearchParams())
        return (body as Preview).tags.filter(({ by }) => by === 'rule').map(({ tag }) => tag)
      }
      for (const tag of ['x', 'y', 'a']) {
        scene.advance(1000)
        await pushImage(scene, 'a', { tag, layers: [] })
        assert.deepEqual(await kept(), [tag])
      }
    })
  })
})

async function clear(scene: MaintainScene, repository: string): Promise<void> {
  const leaseUntilMs = scene.nowMs + scene.graceMs
  for (;;) {
    const page = await scene.metadata.listManifests(named(repository), { limit: 100 })
    if (page.length === 0) return
    for (const { digest, isListed } of page) {
      if (isListed) continue
      await scene.metadata.deleteManifest(named(repository), digest, scene.nowMs, leaseUntilMs)
    }
  }
}
