// Goal: a job is as fast as its rates allow and no faster, gives way to requests, always gets on, and never
// holds the event loop. Method: a clock that is moved by hand, made-up loads, and random work.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { array, asyncProperty, assert as holds, integer, record } from 'fast-check'
import { type PaceOptions, Pacer } from '../../../src/maintain/job/pace.ts'
import { FakeClock, settled } from './fake-clock.ts'

function pacer(clock: FakeClock, options: Partial<PaceOptions> = {}): Pacer {
  return new Pacer({
    clock,
    rates: () => ({ itemsPerSecond: 0, bytesPerSecond: 0 }),
    load: () => 0,
    hasRoom: () => true,
    check: () => {},
    signal: new AbortController().signal,
    ...options,
  })
}

const one = { items: 1, bytes: 0 }

test('without rates and load nothing waits', async () => {
  const clock = new FakeClock()
  const pace = pacer(clock)
  for (let times = 0; times < 100; times += 1) await pace.wait({ items: 5, bytes: 1e9 })
  assert.deepEqual(clock.slept, [])
})

test('no more is done than the rates allow, and no less', async () => {
  const works = array(
    record({ items: integer({ min: 0, max: 40 }), bytes: integer({ min: 0, max: 5000 }) }),
    {
      minLength: 50,
      maxLength: 120,
    },
  )
  const rate = integer({ min: 1, max: 500 })
  await holds(
    asyncProperty(works, rate, rate, async (list, itemsPerSecond, bytesRate) => {
      const clock = new FakeClock()
      const bytesPerSecond = bytesRate * 100
      const pace = pacer(clock, { rates: () => ({ itemsPerSecond, bytesPerSecond }) })
      const done = { items: 0, bytes: 0 }
      let isOver = false
      const job = (async () => {
        for (const work of list) {
          await pace.wait(work)
          // What was let go before has been paid for, but for a twentieth of a second.
          const seconds = clock.elapsed() / 1000 + 0.05
          assert.ok(done.items <= itemsPerSecond * seconds + 40 + 1e-6)
          assert.ok(done.bytes <= bytesPerSecond * seconds + 5000 + 1e-6)
          done.items += work.items
          done.bytes += work.bytes
        }
        isOver = true
      })()
      const neededMs = Math.max(
        (1000 * list.reduce((sum, { items }) => sum + items, 0)) / itemsPerSecond,
        (1000 * list.reduce((sum, { bytes }) => sum + bytes, 0)) / bytesPerSecond,
      )
      await clock.pass(neededMs * 2 + 1000)
      assert.ok(isOver, `not done in twice the time`)
      await job
    }),
    { numRuns: 40 },
  )
})

test('what was not used of a rate is good for a twentieth of a second', async () => {
  const clock = new FakeClock()
  const rates = { itemsPerSecond: 100, bytesPerSecond: 0 }
  const pace = pacer(clock, { rates: () => rates })
  await clock.pass(3_600_000)
  const before = clock.elapsed()
  let tookMs = 0
  const job = (async () => {
    for (let times = 0; times < 200; times += 1) await pace.wait(one)
    tookMs = clock.elapsed() - before
  })()
  await clock.pass(10_000)
  await job
  assert.ok(tookMs >= 1_900 && tookMs <= 2_000, `${tookMs} ms`)
})

test('a rate that is changed counts within a second', async () => {
  const clock = new FakeClock()
  let itemsPerSecond = 1
  const pace = pacer(clock, { rates: () => ({ itemsPerSecond, bytesPerSecond: 0 }) })
  await pace.wait({ items: 1000, bytes: 0 })
  let isLetGo = false
  const next = pace.wait(one).then(() => {
    isLetGo = true
  })
  await clock.pass(5_000)
  assert.equal(isLetGo, false)
  itemsPerSecond = 100_000
  await clock.pass(1_100)
  assert.equal(isLetGo, true)
  await next
})

test('under load a job works a tenth of the time', async () => {
  const clock = new FakeClock()
  const pace = pacer(clock, { load: () => 1 })
  await pace.wait(one)
  let activeMs = 0
  let isOver = false
  const job = (async () => {
    for (let times = 0; times < 20; times += 1) {
      clock.hold(10)
      activeMs += 10
      await pace.wait(one)
    }
    isOver = true
  })()
  await clock.pass(5_000)
  assert.ok(isOver)
  await job
  const pausedMs = clock.slept.reduce((sum, ms) => sum + ms, 0)
  assert.equal(Math.round(pausedMs / activeMs), 9)
})

test('half of the load is half of the pause', async () => {
  const clock = new FakeClock()
  const pace = pacer(clock, { load: () => 0.5 })
  await pace.wait(one)
  clock.hold(10)
  const waits = pace.wait(one)
  await clock.pass(100)
  await waits
  assert.deepEqual(clock.slept, [45])
})

test('however great the load and however long the work, the next begins within half a second', async () => {
  const clock = new FakeClock()
  const pace = pacer(clock, { load: () => 1_000 })
  await pace.wait(one)
  clock.hold(60_000)
  const before = clock.elapsed()
  const waits = pace.wait(one)
  await clock.pass(500)
  await waits
  assert.ok(clock.elapsed() - before <= 500)
  assert.deepEqual(clock.slept, [500])
})

test('a wait for the rates counts as a pause', async () => {
  const clock = new FakeClock()
  const pace = pacer(clock, {
    load: () => 1,
    rates: () => ({ itemsPerSecond: 10, bytesPerSecond: 0 }),
  })
  await pace.wait({ items: 5, bytes: 0 })
  clock.hold(10)
  const waits = pace.wait(one)
  await clock.pass(1_000)
  await waits
  assert.equal(clock.slept.length, 1)
})

test('a turn of the event loop is given after four milliseconds', async () => {
  const clock = new FakeClock()
  const pace = pacer(clock)
  for (let times = 0; times < 10; times += 1) await pace.wait(one)
  assert.equal(clock.yields, 0)
  for (let times = 0; times < 10; times += 1) {
    clock.hold(1)
    await pace.wait(one)
  }
  assert.equal(clock.yields, 2)
})

test('without room to tell of what is done nothing is done', async () => {
  const clock = new FakeClock()
  let hasRoom = false
  const pace = pacer(clock, { hasRoom: () => hasRoom })
  let isLetGo = false
  const waits = pace.wait(one).then(() => {
    isLetGo = true
  })
  await clock.pass(60_000)
  assert.equal(isLetGo, false)
  hasRoom = true
  await clock.pass(100)
  await waits
})

test('those who ask together get their turns in order, and one that fails does not hold the next', async () => {
  const clock = new FakeClock()
  let faults = 0
  const pace = pacer(clock, {
    rates: () => ({ itemsPerSecond: 10, bytesPerSecond: 0 }),
    check: () => {
      faults += 1
      if (faults === 2) throw new Error('not now')
    },
  })
  const order: string[] = []
  const ask = (name: string): Promise<unknown> =>
    pace.wait(one).then(
      () => order.push(name),
      (error: Error) => order.push(`${name}: ${error.message}`),
    )
  const all = Promise.all(['a', 'b', 'c', 'd'].map(ask))
  await clock.pass(2_000)
  await all
  assert.deepEqual(order, ['a', 'b: not now', 'c', 'd'])
})

test('a stop ends every wait', async () => {
  const clock = new FakeClock()
  const stop = new AbortController()
  const pace = pacer(clock, {
    signal: stop.signal,
    rates: () => ({ itemsPerSecond: 1, bytesPerSecond: 0 }),
  })
  await pace.wait({ items: 100, bytes: 0 })
  const waits = [pace.wait(one), pace.wait(one)].map((each) =>
    assert.rejects(each, { message: 'enough' }),
  )
  await settled()
  stop.abort(new Error('enough'))
  await Promise.all(waits)
  await assert.rejects(pace.wait(one), { message: 'enough' })
  assert.equal(clock.waiting, 0)
})
