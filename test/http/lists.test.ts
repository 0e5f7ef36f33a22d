// Goal: tags and repositories are listed sorted, whole or page by page, each name exactly once.
// Method: names that sort oddly and names that begin alike; pages of every size; 10,000 tags.
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import {
  type Answer,
  assertRefused,
  assertStatus,
  digestOf,
  json,
} from '../support/registry-client.ts'
import { setups, useProduct } from './product.ts'
import { emptyConfig, sampleArtifact, sampleIndex } from './sample-content.ts'

const tags = [
  '1',
  '1.0',
  '1.0-rc',
  '10',
  '2',
  'A',
  'Z',
  '_',
  'a',
  'a-b',
  'a.b',
  'a_b',
  'latest',
  'z',
]
const repositories = [
  'a',
  'a-b',
  'a-b/c',
  'a.b',
  'a/b',
  'a/b/c',
  'a0',
  'a_b',
  'b',
  'prod',
  'production',
]

function sorted(names: readonly string[]): string[] {
  return [...names].sort((a, b) => (a < b ? -1 : 1))
}

for (const setup of setups('alone', 'memory')) {
  describe(`lists, ${setup.name}`, () => {
    const product = useProduct(setup)
    const get = (path: string): Promise<Answer> => product.client.get(path)

    async function namesOf(path: string): Promise<readonly string[]> {
      const answer = assertStatus(await get(path), 200)
      assert.equal(answer.headers['content-type'], 'application/json')
      const body = json<{ tags?: string[]; repositories?: string[] }>(answer)
      return body.tags ?? body.repositories ?? []
    }

    /** Follows Link from `path` to the end. */
    async function follow(path: string): Promise<readonly (readonly string[])[]> {
      const found: (readonly string[])[] = []
      for (let next: string | undefined = path; next !== undefined; ) {
        const answer = assertStatus(await get(next), 200)
        const body = json<{ tags?: string[]; repositories?: string[] }>(answer)
        found.push(body.tags ?? body.repositories ?? [])
        const link = answer.headers['link']
        next = link === undefined ? undefined : /^<([^>]+)>; rel="next"$/.exec(link)?.[1]
        assert.ok(link === undefined || next !== undefined, link)
        assert.ok(found.length < 100)
      }
      return found
    }

    before(async () => {
      const { client } = product
      for (const repository of repositories) {
        await client.pushBlob(repository, emptyConfig)
        const { answer } = await client.putManifest(repository, 'only', sampleArtifact('a/b'))
        assertStatus(answer, 201)
      }
      await client.pushBlob('tagged', emptyConfig)
      for (const tag of [...tags].reverse()) {
        const manifest = sampleArtifact('a/b', { annotations: { tag } })
        assertStatus((await client.putManifest('tagged', tag, manifest)).answer, 201)
      }
    })

    test('tags are all there, sorted by their bytes', async () => {
      const answer = assertStatus(await get('/v2/tagged/tags/list'), 200)
      assert.deepEqual(json(answer), { name: 'tagged', tags: sorted(tags) })
      assert.equal(answer.headers['link'], undefined)
    })

    for (const [list, names] of [
      ['/v2/tagged/tags/list', sorted(tags)],
      ['/v2/_catalog', sorted([...repositories, 'tagged'])],
    ] as const) {
      for (const n of [1, 2, 5, names.length - 1, names.length, 1000]) {
        test(`${list}?n=${n} leads through the whole list`, async () => {
          const found = await follow(`${list}?n=${n}`)
          assert.deepEqual(found.flat(), names)
          assert.equal(found.length, Math.ceil(names.length / n))
        })
      }

      test(`${list}?n=0 is empty and leads nowhere`, async () => {
        const answer = assertStatus(await get(`${list}?n=0`), 200)
        assert.equal(answer.headers['link'], undefined)
        assert.deepEqual(await namesOf(`${list}?n=0`), [])
      })

      test(`${list}?last= begins after it, whether or not it exists`, async () => {
        for (const last of [...names, 'a!', '', 'a-', 'zzzz', '0', '%20']) {
          const after = decodeURIComponent(last)
          const expected = names.filter((name) => name > after)
          assert.deepEqual(await namesOf(`${list}?last=${last}`), expected, last)
          assert.deepEqual(await namesOf(`${list}?last=${last}&n=2`), expected.slice(0, 2), last)
        }
      })
    }

    test('a repository of untagged manifests has an empty list of tags', async () => {
      await product.client.pushBlob('untagged', emptyConfig)
      const manifest = sampleArtifact('a/b')
      const digest = digestOf(Buffer.from(JSON.stringify(manifest)))
      assertStatus((await product.client.putManifest('untagged', digest, manifest)).answer, 201)
      const answer = assertStatus(await get('/v2/untagged/tags/list'), 200)
      assert.deepEqual(json(answer), { name: 'untagged', tags: [] })
      const path = `/v2/untagged/manifests/${digest}`
      assertStatus(await product.client.delete(path), 202)
      assertRefused(await get('/v2/untagged/tags/list'), 404, 'NAME_UNKNOWN')
      assert.ok(!(await namesOf('/v2/_catalog')).includes('untagged'))
    })

    test('a name that only begins one, and a repository of blobs alone, are unknown', async () => {
      await product.client.pushBlob('blobs-only', emptyConfig)
      for (const repository of ['pro', 'produ', 'a/b/c/d', 'tagge', 'blobs-only']) {
        assertRefused(await get(`/v2/${repository}/tags/list`), 404, 'NAME_UNKNOWN')
      }
      assert.deepEqual(await namesOf('/v2/prod/tags/list'), ['only'])
    })
  })
}

describe('lists of 10,000', () => {
  const product = useProduct({ toml: '[storage]\ndurability = "none"\n' })
  const many = Array.from({ length: 10_000 }, (_, i) => `v${String(i).padStart(5, '0')}`)

  before(async () => {
    const manifest = sampleIndex([])
    const digest = digestOf(Buffer.from(JSON.stringify(manifest)))
    // 64 tags is what one push may carry.
    for (let at = 0; at < many.length; at += 64) {
      const query = many.slice(at, at + 64).map((tag) => `tag=${tag}`)
      const reference = `${digest}?${query.join('&')}`
      assertStatus((await product.client.putManifest('many', reference, manifest)).answer, 201)
    }
  })

  test('an unpaged list of tags holds them all and has no Link', async () => {
    const answer = assertStatus(await product.client.get('/v2/many/tags/list'), 200)
    assert.deepEqual(json<{ tags: string[] }>(answer).tags, many)
    assert.equal(answer.headers['link'], undefined)
  })

  test('a list of more than 10,000 leads on by Link', async () => {
    const { answer } = await product.client.putManifest('many', 'z-one-more', sampleIndex([]))
    assertStatus(answer, 201)
    const first = assertStatus(await product.client.get('/v2/many/tags/list'), 200)
    const next = /^<([^>]+)>; rel="next"$/.exec(first.headers['link'] ?? '')?.[1]
    assert.ok(next, 'a Link')
    const second = assertStatus(await product.client.get(next), 200)
    const found = [first, second].flatMap((each) => json<{ tags: string[] }>(each).tags)
    assert.deepEqual(found, [...many, 'z-one-more'])
  })
})
