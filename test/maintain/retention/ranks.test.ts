// Goal: what is not known of a tag never counts against it, and every page is read. Method: a source with
// more tags than a page has, some without times.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rankTags, type TagSource, tagsPerPage } from '../../../src/maintain/retention/ranks.ts'
import { digestOfBytes } from '../../../src/oci/digest.ts'
import { parseTag } from '../../../src/oci/tag.ts'
import type { TagTimes } from '../../../src/storage/metadata/tag-times.ts'
import { named } from '../gc/scene.ts'
import { settingsOf } from './scene.ts'

const nowMs = 1_800_000_000_500
const digest = digestOfBytes('sha256', new Uint8Array(1))

function times(name: string, part: Partial<TagTimes> = {}): TagTimes {
  const tag = parseTag(name)
  assert.ok(tag)
  return { tag, digest, ...part }
}

function sourceOf(all: readonly TagTimes[]): TagSource & { readonly paces: number[] } {
  const paces: number[] = []
  const sorted = all.toSorted((a, b) => (a.tag < b.tag ? -1 : 1))
  return {
    paces,
    shared: false,
    pace: async (tags) => void paces.push(tags),
    onCorrupt: assert.fail,
    metadata: {
      listTagTimes: (_repository, { after = '', limit }) =>
        sorted.filter(({ tag }) => tag > after).slice(0, limit),
      readManifest: () => undefined,
      listManifests: assert.fail,
      refresh: assert.fail,
    },
  }
}

const rules = settingsOf(['top_pushed(3)', 'top_pulled(2)']).rules

test('a tag without a push time is pushed now, in every top, and takes no place there', async () => {
  const unknown = times('unknown')
  const known = [1, 2, 3, 4].map((i) => times(`t${i}`, { pushedAtMs: nowMs - i * 1000 }))
  const ranks = await rankTags(sourceOf([unknown, ...known]), named('a'), rules, nowMs)
  const seen = ranks.seen(unknown)
  assert.deepEqual([seen.pushedAt, seen.pulledAt, seen.now], [1_800_000_000, 0, 1_800_000_000])
  assert.deepEqual([seen.isTopPushed(1), seen.isTopPulled(2)], [true, false])
  assert.deepEqual(
    known.map((each) => ranks.seen(each).isTopPushed(3)),
    [true, true, true, false],
  )
})

test('tags with the same time are in together, of however many pages', async () => {
  const count = 2 * tagsPerPage + 1
  const all = Array.from({ length: count }, (_, i) =>
    times(`t${i}`, { pushedAtMs: nowMs - 5000, ...(i === 7 ? { pulledAtMs: nowMs - 1 } : {}) }),
  )
  const source = sourceOf(all)
  const ranks = await rankTags(source, named('a'), rules, nowMs)
  assert.ok(all.every((each) => ranks.seen(each).isTopPushed(1)))
  assert.equal(all.filter((each) => ranks.seen(each).isTopPulled(2)).length, 1)
  assert.deepEqual(source.paces, [tagsPerPage, tagsPerPage, tagsPerPage])
})

test('where no rule asks how tags rank, none is read for it', async () => {
  const source = sourceOf([times('x')])
  await rankTags(source, named('a'), settingsOf(["image.tag == 'x'"]).rules, nowMs)
  assert.deepEqual(source.paces, [])
})
