// Goal: a clock that was set is noticed by those who delete by it, and nothing else is taken for that.
// Method: a clock that is moved by hand.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ClockGuard, readStamp } from '../../../src/maintain/job/clock-guard.ts'
import { FakeClock } from './fake-clock.ts'

const hour = 3_600_000
const day = 24 * hour

function guard(clock: FakeClock, bootId = 'boot', settleMs = day): ClockGuard {
  return new ClockGuard({ clock, bootId, settleMs: () => settleMs })
}

describe('while a process runs', () => {
  test('time that goes by is believed, also while the host sleeps', async () => {
    const clock = new FakeClock()
    const guarded = guard(clock)
    await clock.pass(30 * day)
    assert.equal(guarded.problem(), undefined)
    clock.sleptMs += 3 * day
    assert.equal(guarded.problem(), undefined)
  })

  test('a clock that is set right bit by bit is believed', async () => {
    const clock = new FakeClock()
    const guarded = guard(clock, 'boot', 60_000)
    for (let hours = 0; hours < 100; hours += 1) {
      await clock.pass(hour)
      clock.aheadMs += hour * 0.0005
      assert.equal(guarded.problem(), undefined)
    }
  })

  for (const [name, byMs, shown] of [
    ['forwards', 3 * day, /set forwards by 3 d 0 h 0 s ago/],
    ['back', -3 * day, /set back by 3 d 0 h 0 s ago/],
    ['by half an hour', hour / 2, /set forwards by 30 min/],
  ] as const) {
    test(`one that was set ${name} is not believed until what was given before has ended`, async () => {
      const clock = new FakeClock()
      const guarded = guard(clock)
      await clock.pass(hour)
      clock.aheadMs += byMs
      const problem = guarded.problem()
      assert.match(problem ?? '', shown)
      assert.match(problem ?? '', /--trust-clock, or wait for 24 h 00 min$/)
      await clock.pass(day - 1_000)
      assert.match(guarded.problem() ?? '', /was set/)
      await clock.pass(2_000)
      assert.equal(guarded.problem(), undefined)
    })
  }

  test('a step that is nothing beside a lease is none, and many of them are', () => {
    const clock = new FakeClock()
    const guarded = guard(clock)
    clock.aheadMs += 10 * 60_000
    assert.equal(guarded.problem(), undefined)
    clock.aheadMs += 10 * 60_000
    assert.match(guarded.problem() ?? '', /was set forwards by 20 min/)
  })

  test('an operator can say that it is right', () => {
    const clock = new FakeClock()
    const guarded = guard(clock)
    clock.aheadMs += day
    assert.notEqual(guarded.problem(), undefined)
    guarded.trust()
    assert.equal(guarded.problem(), undefined)
    clock.aheadMs += day
    assert.notEqual(guarded.problem(), undefined)
  })

  test('a process that was held up between two looks at clocks sees no jump', () => {
    const clock = new FakeClock()
    let holds = 0
    const held = {
      now: clock.now,
      sinceBoot: () => {
        // Others have the processor for a minute.
        if (holds > 0) clock.hold(60_000)
        holds -= 1
        return clock.sinceBoot()
      },
    }
    const guarded = new ClockGuard({ clock: held, bootId: 'boot', settleMs: () => 60_000 })
    holds = 4
    assert.equal(guarded.problem(), undefined)
  })
})

describe('since the last run', () => {
  test('the same boot tells how long it was', async () => {
    const clock = new FakeClock()
    const stamp = guard(clock).stamp()
    await clock.pass(5 * day)
    const ended = { endedAtMs: stamp.wallMs, stamp }
    assert.equal(guard(clock).problemSince(ended), undefined)
    clock.aheadMs += 2 * day
    assert.match(guard(clock).problemSince(ended) ?? '', /set forwards by 2 d 0 h/)
    assert.equal(guard(clock, 'another boot').problemSince(ended), undefined)
    assert.equal(
      guard(clock, '').problemSince({ ...ended, stamp: { ...stamp, bootId: '' } }),
      undefined,
    )
  })

  test('what was found at the start of a process counts for as long as what is found later', async () => {
    const clock = new FakeClock()
    const stamp = guard(clock).stamp()
    clock.aheadMs += 2 * day
    await clock.pass(1_000)
    const guarded = guard(clock)
    await clock.pass(day - 2_000)
    const ended = { endedAtMs: stamp.wallMs, stamp }
    assert.match(guarded.problemSince(ended) ?? '', /set forwards/)
    await clock.pass(3_000)
    assert.equal(guarded.problemSince(ended), undefined)
  })

  test('an end that lies in the future is told of, with what to do', async () => {
    const clock = new FakeClock()
    const guarded = guard(clock)
    await clock.pass(hour)
    const ended = { endedAtMs: clock.now() + 3 * day, stamp: undefined }
    assert.match(
      guarded.problemSince(ended) ?? '',
      /^the clock shows 2026-06-01T01:00:00\.000Z, but the last run ended at 2026-06-04T.*: set it right .*--trust-clock$/,
    )
    assert.equal(guarded.problemSince({ ...ended, endedAtMs: clock.now() + 1_000 }), undefined)
  })
})

test('a stamp is read back, and nothing else is', () => {
  const stamp = guard(new FakeClock()).stamp()
  assert.deepEqual(readStamp(JSON.parse(JSON.stringify(stamp))), stamp)
  for (const other of [undefined, null, 5, {}, { ...stamp, wallMs: 'now' }]) {
    assert.equal(readStamp(other), undefined)
  }
})
