// Goal: prune deletes the tags that no rule keeps, and what only they held, and nothing else: not what came
// meanwhile, not what may not go, not what it cannot judge. Method: a registry in memory whose clock stands.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createPruneJob } from '../../../src/maintain/retention/prune.ts'
import { type Digest, digestOfBytes } from '../../../src/oci/digest.ts'
import { StorageError } from '../../../src/storage/error.ts'
import { type MaintainScene, withScene } from '../../support/maintain.ts'
import { dayMs, hourMs, manifestStatus, named, pushImage, pushIndex } from '../gc/scene.ts'
import { partsOf, prune, pulled, type Rules, settingsOf, tagsOf } from './scene.ts'

const indexType = 'application/vnd.oci.image.index.v1+json'

function check(title: string, body: (scene: MaintainScene) => Promise<void>): void {
  test(title, () => withScene({}, body))
}

/** One image each, an hour apart; the last one an hour ago. */
async function pushTags(
  scene: MaintainScene,
  repository: string,
  ...tags: readonly string[]
): Promise<Digest[]> {
  const digests: Digest[] = []
  for (const tag of tags) {
    digests.push((await pushImage(scene, repository, { tag, layers: [] })).digest)
    scene.advance(hourMs)
  }
  return digests
}

describe('rules', () => {
  for (const [title, rules, kept] of [
    ['none at all keep everything', [], ['a', 'b', 'c', 'd']],
    ['the last pushed', ['top_pushed(2)'], ['c', 'd']],
    ['those of some time', ['image.pushed_at > now() - hours(3)'], ['c', 'd']],
    ['the last pulled', ['top_pulled(1)'], ['a']],
    ['those that were pulled', ['image.last_pulled_at > 0'], ['a', 'b']],
    ['names, or the last pushed', ["image.tag == 'a'", 'top_pushed(1)'], ['a', 'd']],
    [
      'a rule that fails for some',
      ["int('1' + image.tag) > 0 || image.tag == 'c'"],
      ['a', 'b', 'c', 'd'],
    ],
    ['none that ever holds', ['image.pushed_at < 0'], []],
    ['of another repository keep everything', { other: ['false'] }, ['a', 'b', 'c', 'd']],
    ['of a name that is no component keep everything', { tea: ['false'] }, ['a', 'b', 'c', 'd']],
    [
      'of the prefix add to the global ones',
      { '': ['top_pushed(1)'], team: ["image.tag == 'b'"] },
      ['b', 'd'],
    ],
  ] as readonly (readonly [string, Rules, readonly string[]])[]) {
    check(title, async (scene) => {
      await pushTags(scene, 'team/app', 'a', 'b', 'c', 'd')
      await pulled(scene, 'team/app', 'b')
      scene.advance(1)
      await pulled(scene, 'team/app', 'a')
      const { report } = await prune(scene, rules)
      assert.deepEqual(await tagsOf(scene, 'team/app'), kept)
      assert.equal(report.ok, true)
    })
  }

  check('a rule that fails is told of, once for all of its tags', async (scene) => {
    await pushTags(scene, 'a', 'x', 'y')
    const { report } = await prune(scene, ['int(image.tag) > 0', 'false'])
    assert.deepEqual(report.details['failingRules'], [
      {
        ...{ policy: 'global', rule: 'int(image.tag) > 0', file: 'c.toml', line: 1 },
        ...{ error: 'int() cannot convert this string', tags: 2 },
      },
    ])
    assert.ok(
      report.summary.some((line) => line.startsWith('c.toml:1: the rule failed for 2 tags')),
    )
  })

  check(
    'each repository has a ranking of its own, and one alone can be asked for',
    async (scene) => {
      await pushTags(scene, 'one', 'a', 'b')
      await pushTags(scene, 'two', 'c', 'd')
      await prune(scene, ['top_pushed(1)'], { repository: 'two' })
      assert.deepEqual(
        [await tagsOf(scene, 'one'), await tagsOf(scene, 'two')],
        [['a', 'b'], ['d']],
      )
      await prune(scene, ['top_pushed(1)'])
      assert.deepEqual([await tagsOf(scene, 'one'), await tagsOf(scene, 'two')], [['b'], ['d']])
    },
  )

  check('a push of what is there already counts', async (scene) => {
    const image = {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [],
    }
    await scene.pushManifest('a', image, 'old')
    await pushTags(scene, 'a', 'b', 'c')
    await scene.pushManifest('a', image, 'old')
    await prune(scene, ['top_pushed(1)'])
    assert.deepEqual(await tagsOf(scene, 'a'), ['old'])
  })

  check('rules that cannot be applied delete nothing', async (scene) => {
    await pushTags(scene, 'a', 'x')
    const { report } = await prune(scene, ['false'], {}, { settings: { refusal: 'no pull times' } })
    assert.deepEqual([report.ok, report.summary], [false, ['no pull times']])
    assert.deepEqual(await tagsOf(scene, 'a'), ['x'])
  })
})

describe('what goes', () => {
  check('goes with its manifest, is told of, and stays to be restored', async (scene) => {
    const [gone, kept] = await pushTags(scene, 'a', 'old', 'new')
    const { report, deeds } = await prune(scene, ['top_pushed(1)'])
    assert.deepEqual(
      deeds.map(({ deed, repository, tag, digest }) => [deed, repository, tag, digest]),
      [
        ['delete-tag', 'a', 'old', gone],
        ['delete-manifest', 'a', undefined, gone],
      ],
    )
    assert.equal(report.summary[0], 'deleted 1 tag and 1 manifest, kept 1 tag')
    assert.equal(await manifestStatus(scene, 'a', gone ?? ''), 404)
    assert.equal(await manifestStatus(scene, 'a', kept ?? ''), 200)
    const removed = await scene.metadata.findRemovedManifest(named('a'), gone!)
    assert.deepEqual([removed?.tags, removed?.run], [['old'], String(report.details['run'])])
  })

  check('a manifest with another tag stays, and goes with the last of them', async (scene) => {
    const image = {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [],
    }
    const digest = await scene.pushManifest('a', image, 'x1')
    for (const tag of ['x2', 'v1']) await scene.pushManifest('a', image, tag)
    await prune(scene, ["image.tag.startsWith('v')"])
    assert.deepEqual(await tagsOf(scene, 'a'), ['v1'])
    assert.equal(await manifestStatus(scene, 'a', digest), 200)
    for (const tag of ['x1', 'x2']) await scene.pushManifest('a', image, tag)
    await prune(scene, ['image.pushed_at < 0'])
    assert.equal(await manifestStatus(scene, 'a', digest), 404)
    const removed = await scene.metadata.findRemovedManifest(named('a'), digest)
    assert.deepEqual(removed?.tags, ['v1', 'x1', 'x2'])
  })

  check('children go with their index, but for those that something else uses', async (scene) => {
    const repository = 'a'
    const image = async (tag?: string): Promise<Digest> =>
      (await pushImage(scene, repository, { layers: [], ...(tag === undefined ? {} : { tag }) }))
        .digest
    const [alone, shared, tagged, deep] = [
      await image(),
      await image(),
      await image('v1'),
      await image(),
    ]
    const inner = await pushIndex(scene, repository, [deep])
    const subject = await image('v2')
    const referrer = (await pushImage(scene, repository, { layers: [], subject })).digest
    const gone = await pushIndex(scene, repository, [alone, shared, tagged, inner, referrer], 'old')
    const stays = await pushIndex(scene, repository, [shared], 'v3')
    const untagged = await image()
    await prune(scene, ["image.tag.startsWith('v')"])
    for (const digest of [gone, alone, inner, deep]) {
      assert.equal(await manifestStatus(scene, repository, digest), 404)
    }
    for (const digest of [shared, tagged, stays, subject, referrer, untagged]) {
      assert.equal(await manifestStatus(scene, repository, digest), 200)
    }
  })

  check('an index that another one lists loses its tag alone', async (scene) => {
    const inner = await pushIndex(scene, 'a', [], 'inner')
    await pushIndex(scene, 'a', [inner], 'v1')
    await prune(scene, ["image.tag == 'v1'"])
    assert.deepEqual(await tagsOf(scene, 'a'), ['v1'])
    assert.equal(await manifestStatus(scene, 'a', inner), 200)
  })

  check(
    'indexes 8 deep that list the same ones many times are looked at once each',
    async (scene) => {
      let level: Digest[] = []
      for (let depth = 0; depth < 8; depth += 1) {
        const next: Digest[] = []
        for (let i = 0; i < 6; i += 1) next.push(await pushIndex(scene, 'a', level))
        level = next
      }
      await pushIndex(scene, 'a', level, 'old')
      const { report } = await prune(scene, ['image.pushed_at < 0'])
      assert.equal(report.details['manifests'], 49)
      assert.deepEqual(await scene.metadata.listManifests(named('a'), { limit: 1 }), [])
    },
  )

  check('referrers of what goes stay', async (scene) => {
    const [digest] = await pushTags(scene, 'a', 'old')
    const referrer = (await pushImage(scene, 'a', { layers: [], subject: digest! })).digest
    await prune(scene, ['image.pushed_at < 0'])
    assert.equal(await manifestStatus(scene, 'a', digest!), 404)
    assert.equal(await manifestStatus(scene, 'a', referrer), 200)
  })
})

describe('what stays', () => {
  check('immutable tags', async (scene) => {
    await pushTags(scene, 'a', 'v1', 'x')
    const settings = { isImmutable: () => (tag: string) => tag.startsWith('v') }
    const { report } = await prune(scene, ['image.pushed_at < 0'], {}, { settings })
    assert.deepEqual(await tagsOf(scene, 'a'), ['v1'])
    assert.equal(report.details['immutable'], 1)
  })

  check(
    'signatures under tags of their own, while their image does; they take no place',
    async (scene) => {
      const [old, kept] = await pushTags(scene, 'a', 'old', 'v1')
      const signature = (digest: Digest): string => `${digest.replace(':', '-')}.sig`
      const absent = `sha256-${'0'.repeat(64)}.sig`
      const referrers = kept!.replace(':', '-')
      await pushTags(scene, 'a', signature(old!), signature(kept!), absent, referrers)
      await prune(scene, ['top_pushed(1)'])
      const tags = await tagsOf(scene, 'a')
      // That of the old image goes with the next run, since its image has gone with this one.
      assert.ok(tags.includes('v1') && !tags.includes('old') && !tags.includes(absent))
      await prune(scene, ['top_pushed(1)'])
      assert.deepEqual(await tagsOf(scene, 'a'), [referrers, signature(kept!), 'v1'].toSorted())
    },
  )

  check('lists of referrers under cut SHA-512 digests, while their image does', async (scene) => {
    const image = { schemaVersion: 2, mediaType: indexType, manifests: [], annotations: { a: 'b' } }
    const bytes = Buffer.from(JSON.stringify(image))
    const digest = digestOfBytes('sha512', bytes)
    const target = `/v2/a/manifests/${digest}`
    const headers = { 'content-type': indexType }
    assert.equal((await scene.send('PUT', target, { body: bytes, headers })).status, 201)
    const fallback = digest.replace(':', '-').slice(0, 'sha512-'.length + 64)
    const absent = `sha512-${'0'.repeat(64)}`
    await pushTags(scene, 'a', fallback, absent)
    await prune(scene, ['image.pushed_at < 0'])
    assert.deepEqual(await tagsOf(scene, 'a'), [fallback])
    assert.equal((await scene.send('DELETE', target)).status, 202)
    await prune(scene, ['image.pushed_at < 0'])
    assert.deepEqual(await tagsOf(scene, 'a'), [])
  })

  for (const [title, act, rest] of [
    ['a tag that is pushed anew', (scene, image) => scene.pushManifest('a', image, 'x'), ['x']],
    ['a tag that moves', (scene) => pushImage(scene, 'a', { tag: 'x', layers: [] }), ['x']],
    ['a tag that is pulled', (scene) => pulled(scene, 'a', 'x'), ['x']],
    ['another tag of the manifest', (scene, image) => scene.pushManifest('a', image, 'y'), ['y']],
  ] as readonly (readonly [
    string,
    (scene: MaintainScene, image: object) => Promise<unknown>,
    readonly string[],
  ])[]) {
    check(`${title} while prune is about to delete it`, async (scene) => {
      const image = {
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.index.v1+json',
        manifests: [],
      }
      const digest = await scene.pushManifest('a', image, 'x')
      scene.advance(dayMs)
      let begun = 0
      const onPace = async ({ items }: { readonly items: number }): Promise<void> => {
        // Pages of tags ask for more: this is the list of repositories, and then the deletion.
        if (items === 1) begun += 1
        if (items === 1 && begun === 2) await act(scene, image)
      }
      const { report } = await prune(scene, ['image.pushed_at < 0'], {}, { onPace })
      assert.equal(begun, 2)
      assert.deepEqual(await tagsOf(scene, 'a'), rest)
      const isFirst = rest[0] === 'x'
      assert.equal(report.details['changed'], isFirst ? 1 : 0)
      if (!title.includes('moves')) assert.equal(await manifestStatus(scene, 'a', digest), 200)
    })
  }

  check('what cannot be read, and everything beside it goes on', async (scene) => {
    await pushTags(scene, 'a', 'x', 'y')
    await pushTags(scene, 'b', 'x')
    await scene.disk.records.write('visible', (transaction) => {
      transaction.put('r!a!t!x', 'no digest')
    })
    const { report } = await prune(scene, ['image.pushed_at < 0'])
    assert.equal(report.ok, false)
    assert.equal(report.details['faults'], 1)
    assert.deepEqual(await tagsOf(scene, 'b'), [])
    assert.deepEqual(await tagsOf(scene, 'a'), ['x'])
  })

  check('everything, while the store cannot be used', async (scene) => {
    await pushTags(scene, 'a', 'x')
    const away = new StorageError('unavailable', 'away')
    const settings = settingsOf(['image.pushed_at < 0'])
    const job = createPruneJob({
      ...partsOf(() => settings),
      flushPulls: () => Promise.reject(away),
    })
    await assert.rejects(scene.run(job), away)
    assert.deepEqual(await tagsOf(scene, 'a'), ['x'])
  })
})
