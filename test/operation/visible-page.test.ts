// Goal: pages lead through exactly what may be seen, each item once, whatever is hidden; no page judges more
// than it may, and no cursor tells a name. Method: random lists, by seeds that a failure names.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { isCursor, openCursor, sealCursor } from '../../src/operation/list-cursor.ts'
import type { Registry } from '../../src/operation/registry.ts'
import { judge, judgedMax, visiblePage } from '../../src/operation/visible-page.ts'

interface Walk {
  readonly items: readonly string[]
  readonly pages: number
  readonly judgedMost: number
  readonly atOnceMost: number
}

interface Asked {
  readonly limit: number
  readonly isHidden: (name: string) => boolean
  readonly isAsked?: (name: string) => boolean
}

function names(count: number): readonly string[] {
  return Array.from({ length: count }, (_, i) => `r${String(i).padStart(6, '0')}`)
}

/** Every page from the first one on. */
async function walk(list: readonly string[], asked: Asked): Promise<Walk> {
  const { limit, isHidden, isAsked = () => false } = asked
  const items: string[] = []
  let [pages, judgedMost, atOnceMost, atOnce] = [0, 0, 0, 0]
  let after: string | undefined
  do {
    let judged = 0
    const found = await visiblePage({
      read: (from, count) =>
        list.filter((name) => from === undefined || name > from).slice(0, count),
      ...{ after, limit },
      sees: (name) => {
        judged += 1
        if (!isAsked(name)) return !isHidden(name)
        atOnce += 1
        atOnceMost = Math.max(atOnceMost, atOnce)
        return Promise.resolve().then(() => {
          atOnce -= 1
          return !isHidden(name)
        })
      },
    })
    assert.ok(found)
    assert.ok(found.items.length <= limit)
    if (found.next !== undefined) {
      const { item, isSeen } = found.next
      assert.equal(isSeen, !isHidden(item))
      assert.ok(after === undefined || item > after, 'it goes on')
    }
    items.push(...found.items)
    after = found.next?.item
    pages += 1
    judgedMost = Math.max(judgedMost, judged)
  } while (after !== undefined)
  return { items, pages, judgedMost, atOnceMost }
}

describe('pages', () => {
  test('lead through all that may be seen, each once and in order', async () => {
    const shape = fc.record({
      hidden: fc.array(fc.boolean(), { maxLength: 200 }),
      stretch: fc.constantFrom(1, 7, 60),
      limit: fc.integer({ min: 1, max: 300 }),
      askedEvery: fc.integer({ min: 0, max: 3 }),
    })
    await fc.assert(
      fc.asyncProperty(shape, async ({ hidden, stretch, limit, askedEvery }) => {
        const list = names(hidden.length * stretch)
        const isHidden = (name: string): boolean =>
          hidden[Math.floor(Number(name.slice(1)) / stretch)] === true
        const isAsked = (name: string): boolean =>
          askedEvery > 0 && Number(name.slice(1)) % askedEvery === 0
        const found = await walk(list, { limit, isHidden, isAsked })
        assert.deepEqual(
          found.items,
          list.filter((name) => !isHidden(name)),
        )
        assert.ok(found.judgedMost <= judgedMax + 16)
        assert.ok(found.atOnceMost <= 16)
      }),
      { numRuns: 150 },
    )
  })

  test('a page judges 1,000 at most, and is short then', async () => {
    const list = names(3_500)
    const none = await walk(list, { limit: 10, isHidden: () => true })
    assert.deepEqual([none.items.length, none.pages, none.judgedMost], [0, 4, 1_000])
    const all = await walk(list, { limit: 10_000, isHidden: () => false })
    assert.deepEqual([all.items, all.pages, all.judgedMost], [list, 4, 1_000])
  })

  test('no more than 100 of a page are asked elsewhere, 16 at a time', async () => {
    const list = names(250)
    const found = await walk(list, { limit: 1_000, isHidden: () => false, isAsked: () => true })
    assert.deepEqual([found.items, found.pages], [list, 3])
    assert.deepEqual([found.judgedMost, found.atOnceMost], [100, 16])
  })

  test('hidden items at the end make no further page', async () => {
    const list = names(900)
    const found = await walk(list, { limit: 10, isHidden: (name) => name >= 'r000010' })
    assert.deepEqual([found.items, found.pages], [list.slice(0, 10), 1])
  })

  test('a list that is none has no page', async () => {
    const read = () => undefined
    const found = await visiblePage({ read, after: undefined, limit: 1, sees: () => true })
    assert.equal(found, undefined)
  })
})

test('others are served between slow rules', async () => {
  let turns = 0
  const timer = setInterval(() => {
    turns += 1
  }, 0)
  let at = 0
  const slow = (): boolean => {
    const until = performance.now() + 1
    while (performance.now() < until);
    return true
  }
  await judge(names(100), slow, 100, 100, () => performance.now())
  clearInterval(timer)
  assert.ok(turns >= 2, `${turns}`)
  // Quick ones are not kept waiting.
  const told = judge(
    names(1_000),
    () => true,
    1_000,
    100,
    () => at++ % 2,
  )
  assert.equal((await told).answers.length, 1_000)
})

describe('a cursor', () => {
  function registry(secret = 'a secret of the store'): Registry {
    const ensureSecret = async () => secret
    return { metadata: { ensureSecret }, randomUuid: () => 'x' } as unknown as Registry
  }
  const invalid = { code: 'PAGINATION_INVALID', status: 400 }

  test('is opened for its list alone, and tells nothing of the name', async () => {
    const lengths = new Set<number>()
    for (const name of ['a', 'a/b', 'x'.repeat(255), `sha512:${'f'.repeat(128)}`, '']) {
      const cursor = await sealCursor(registry(), '/v2/_catalog', name)
      assert.ok(isCursor(cursor))
      assert.match(cursor, /^~[A-Za-z0-9_-]+$/)
      lengths.add(cursor.length)
      assert.equal(await openCursor(registry(), '/v2/_catalog', cursor), name)
      await assert.rejects(openCursor(registry(), '/v2/a/tags/list', cursor), invalid)
      await assert.rejects(openCursor(registry('another'), '/v2/_catalog', cursor), invalid)
    }
    assert.equal(lengths.size, 1)
  })

  test('of anybody’s own making is refused', async () => {
    const good = await sealCursor(registry(), 'list', 'name')
    const changed = good.slice(0, 40) + (good[40] === 'A' ? 'B' : 'A') + good.slice(41)
    for (const text of [
      '~',
      '~~',
      '~name',
      `${good}A`,
      good.slice(0, -4),
      changed,
      `~${'A'.repeat(379)}`,
    ]) {
      await assert.rejects(openCursor(registry(), 'list', text), invalid, text)
    }
    await fc.assert(
      fc.asyncProperty(fc.string({ maxLength: 500 }), async (text) => {
        await assert.rejects(openCursor(registry(), 'list', `~${text}`), invalid)
      }),
      { numRuns: 100 },
    )
  })
})
