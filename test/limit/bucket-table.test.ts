// Goal: a key gets no more than its burst and its rate, whatever else is asked of the table, and never
// less. Method: an injected clock; a plain model beside it; seeded crowds of keys.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BucketTable, bucketsMax, openBucketTable } from '../../src/limit/bucket-table.ts'
import type { BucketRate, Buckets } from '../../src/limit/contract.ts'
import { Dice, randomFrom } from '../support/dice.ts'

class Clock {
  ms = 1_000_000_000
}

/** A table that is asked at the time of the clock. */
class ClockedTable {
  readonly #clock: Clock
  readonly #table: Buckets

  constructor(clock: Clock, rate: BucketRate, keysMax?: number) {
    this.#clock = clock
    this.#table = keysMax === undefined ? openBucketTable(rate) : new BucketTable(rate, keysMax)
  }

  get size(): number {
    return this.#table.size
  }

  take(key: string): number {
    return this.#table.take(key, this.#clock.ms)
  }

  waitMs(key: string): number {
    return this.#table.waitMs(key, this.#clock.ms)
  }

  spend(key: string, tokens: number): number {
    return this.#table.spend(key, tokens, this.#clock.ms)
  }
}

const perSecond = { capacity: 5, tokensPerMs: 1 / 1000 }

test('a bucket gives its burst at once and then one token each time it is due, to the millisecond', () => {
  const clock = new Clock()
  const table = new ClockedTable(clock, perSecond, 10)
  for (let taken = 0; taken < 5; taken += 1) assert.equal(table.take('a'), 0)
  assert.equal(table.take('a'), 1000)
  clock.ms += 999
  assert.equal(table.take('a').toFixed(6), '1.000000')
  clock.ms += 1
  assert.equal(table.waitMs('a'), 0)
  assert.equal(table.take('a'), 0)
  assert.equal(table.take('a'), 1000)
  assert.equal(table.take('b'), 0, 'another key has its own')
})

test('a rest refills the burst and not more', () => {
  const clock = new Clock()
  const table = new ClockedTable(clock, perSecond, 10)
  for (let taken = 0; taken < 5; taken += 1) table.take('a')
  clock.ms += 3_600_000
  for (let taken = 0; taken < 5; taken += 1) assert.equal(table.take('a'), 0)
  assert.equal(table.take('a'), 1000)
})

test('a refusal takes nothing', () => {
  const clock = new Clock()
  const table = new ClockedTable(clock, perSecond, 10)
  for (let asked = 0; asked < 1000; asked += 1) table.take('a')
  assert.equal(table.waitMs('a'), 1000)
})

test('great rates and bursts are exact', () => {
  const clock = new Clock()
  const table = new ClockedTable(clock, { capacity: 300_000, tokensPerMs: 1000 / 3 }, 10)
  let taken = 0
  while (table.take('a') === 0) taken += 1
  assert.equal(taken, 300_000)
  clock.ms += 3
  for (taken = 0; table.take('a') === 0; ) taken += 1
  assert.equal(taken, 1000)
})

test('a clock that goes back gives nothing', () => {
  const clock = new Clock()
  const table = new ClockedTable(clock, perSecond, 10)
  for (let taken = 0; taken < 5; taken += 1) table.take('a')
  clock.ms -= 10_000
  assert.equal(table.take('a'), 1000)
})

test('what is spent beyond the bucket is owed, and paid at its rate', () => {
  const clock = new Clock()
  const table = new ClockedTable(clock, { capacity: 1000, tokensPerMs: 1 }, 10)
  assert.equal(table.spend('a', 600), 0)
  assert.equal(table.spend('a', 600), 200)
  assert.equal(table.spend('a', 1000), 1200)
  clock.ms += 1200
  assert.equal(table.spend('a', 1), 1)
})

for (const seed of [1, 2, 3, 4, 5, 6]) {
  test(`no key gets more than burst and rate allow in any window (seed ${seed})`, () => {
    const dice = new Dice(randomFrom(seed))
    const clock = new Clock()
    const capacity = 1 + dice.below(20)
    const rate = { capacity, tokensPerMs: (1 + dice.below(50)) / (100 + dice.below(5000)) }
    const keysMax = 4 + dice.below(30)
    const table = new ClockedTable(clock, rate, keysMax)
    const granted = new Map<string, number[]>()
    for (let step = 0; step < 6000; step += 1) {
      if (dice.chance(0.3)) clock.ms += dice.below(Math.ceil(4 / rate.tokensPerMs))
      const key = `k${dice.below(keysMax)}`
      const promised = table.waitMs(key)
      assert.equal(table.take(key), promised)
      if (promised === 0) granted.set(key, [...(granted.get(key) ?? []), clock.ms])
      assert.ok(table.size <= keysMax)
    }
    for (const [key, times] of granted) {
      for (const [first, from] of times.entries()) {
        for (const [more, to] of times.slice(first).entries()) {
          const most = capacity + (to - from) * rate.tokensPerMs + 1e-3
          assert.ok(more + 1 <= most, `${key}: ${more + 1} in ${to - from} ms`)
        }
      }
    }
  })
}

test('who waits as long as it was told gets its token: nobody starves', () => {
  const dice = new Dice(randomFrom(7))
  const clock = new Clock()
  const table = new ClockedTable(clock, { capacity: 3, tokensPerMs: 0.01 }, 16)
  for (let step = 0; step < 2000; step += 1) {
    const key = `k${dice.below(16)}`
    const waitMs = table.take(key)
    if (waitMs === 0) continue
    clock.ms += waitMs
    assert.equal(table.take(key), 0)
  }
})

test('full buckets leave first, and of themselves', () => {
  const clock = new Clock()
  const table = new ClockedTable(clock, { capacity: 10, tokensPerMs: 0.001 }, 100)
  for (let taken = 0; taken < 10; taken += 1) table.take('hot')
  for (let each = 0; each < 99; each += 1) table.take(`once${each}`)
  assert.equal(table.size, 100)
  // All but the hot one are full again.
  clock.ms += 1500
  table.take('new')
  assert.equal(table.size, 99)
  for (let each = 0; each < 60; each += 1) table.take(`later${each}`)
  assert.ok(table.size <= 65, `${table.size} keys`)
  assert.ok(table.waitMs('hot') === 0)
  table.take('hot')
  assert.ok(table.waitMs('hot') > 0, 'it had one second and a half: one token')
})

test('a flood of new keys does not give a used bucket back its tokens', () => {
  const clock = new Clock()
  const table = new ClockedTable(clock, { capacity: 5, tokensPerMs: 1 / 3_600_000 })
  for (let taken = 0; taken < 5; taken += 1) table.take('hot')
  for (let each = 0; each < bucketsMax * 3; each += 1) {
    assert.equal(table.take(`flood${each}`), 0, 'who is new may ask')
    if (each % 10_000 === 0) assert.ok(table.waitMs('hot') > 3_500_000, `after ${each}`)
  }
  assert.equal(table.size, bucketsMax)
  assert.ok(table.waitMs('hot') > 3_500_000)
})

test('a bucket that had to go for busier ones comes back with one token, not with all', () => {
  const clock = new Clock()
  const table = new ClockedTable(clock, { capacity: 5, tokensPerMs: 1 / 3_600_000 }, 10)
  for (let taken = 0; taken < 4; taken += 1) table.take('used')
  for (let each = 0; each < 10; each += 1) {
    for (let taken = 0; taken < 5; taken += 1) table.take(`busy${each}`)
  }
  assert.equal(table.size, 10)
  let got = 0
  while (table.take('used') === 0) got += 1
  assert.equal(got, 1)
  assert.equal(table.take('new'), 0, 'who is new may ask, however busy the others are')
})

test('a bucket that becomes busy is no longer the next to go', () => {
  const clock = new Clock()
  const table = new ClockedTable(clock, { capacity: 5, tokensPerMs: 1 / 3_600_000 }, 10)
  for (let each = 0; each < 10; each += 1) {
    table.take(`key${each}`)
    clock.ms += 1
  }
  for (let taken = 0; taken < 4; taken += 1) table.take('key0')
  for (let each = 0; each < 20; each += 1) {
    table.take(`new${each}`)
    assert.ok(table.waitMs('key0') > 3_500_000, `after ${each}`)
  }
})
