// Goal: jobs give way to what clients would notice, and to nothing else. Method: made-up figures, a clock that
// is moved by hand, and the real monitor once.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type DelayMonitor, JobLoad } from '../../../src/runtime/job-load.ts'
import { until } from '../../support/until.ts'
import { FakeClock } from './fake-clock.ts'

interface Made {
  readonly load: JobLoad
  readonly clock: FakeClock
  readonly figures: {
    inFlight: number
    slabs: number
    delayMs: number
    count: number
    pushes: number
  }
  readonly calls: string[]
}

function made(): Made {
  const clock = new FakeClock()
  const figures = { inFlight: 0, slabs: 0, delayMs: 0, count: 1, pushes: 7 }
  const calls: string[] = []
  const monitor: DelayMonitor = {
    get mean() {
      return (5 + figures.delayMs) * 1e6
    },
    get count() {
      return figures.count
    },
    reset: () => calls.push('reset'),
    enable: () => calls.push('enable'),
    disable: () => calls.push('disable'),
  }
  const load = new JobLoad(
    {
      elapsed: clock.elapsed,
      requestsInFlight: () => figures.inFlight,
      ingest: () => ({ slabBytesInUse: figures.slabs, slabBytesMax: 100 }),
      pushes: () => figures.pushes,
    },
    monitor,
  )
  load.begin()
  return { load, clock, figures, calls }
}

test('requests in flight slow a job to half at most', () => {
  const { load, figures } = made()
  assert.equal(load.read(), 0)
  figures.inFlight = 32
  assert.equal(load.read(), 0.25)
  figures.inFlight = 10_000
  assert.equal(load.read(), 0.5)
})

test('uploads whose memory is half full have it all', () => {
  const { load, figures } = made()
  figures.slabs = 25
  assert.equal(load.read(), 0.5)
  figures.slabs = 100
  assert.equal(load.read(), 1)
})

test('a job makes pauses for a second after each push, and none for those before it began', async () => {
  const { load, clock, figures } = made()
  assert.equal(load.read(), 0)
  figures.pushes += 1
  assert.equal(load.read(), 0.5)
  await clock.pass(999)
  assert.equal(load.read(), 0.5)
  figures.pushes += 1
  assert.equal(load.read(), 0.5)
  await clock.pass(1_000)
  assert.equal(load.read(), 0)
})

test('an event loop that is late counts after a moment, and is measured anew', async () => {
  const { load, clock, figures } = made()
  figures.delayMs = 2
  await clock.pass(200)
  assert.equal(load.read(), 0)
  figures.delayMs = 25
  assert.equal(load.read(), 0)
  await clock.pass(200)
  assert.equal(load.read(), 1)
  figures.delayMs = 0
  assert.equal(load.read(), 1)
  await clock.pass(200)
  assert.equal(load.read(), 0)
  figures.count = 0
  await clock.pass(200)
  assert.equal(load.read(), 1)
})

test('it measures only while jobs run', () => {
  const { load, calls } = made()
  load.begin()
  load.end()
  assert.deepEqual(calls, ['reset', 'enable'])
  load.end()
  assert.deepEqual(calls, ['reset', 'enable', 'disable'])
})

test('the monitor of the platform sees a loop that is held up', async () => {
  const load = new JobLoad({
    ...{ elapsed: () => performance.now(), requestsInFlight: () => 0 },
    ingest: () => ({ slabBytesInUse: 0, slabBytesMax: 0 }),
    pushes: () => 0,
  })
  load.begin()
  let isHeld = false
  const hold = (): void => {
    if (isHeld) return
    const until = performance.now() + 60
    while (performance.now() < until);
    setImmediate(hold)
  }
  hold()
  await until('it is seen', () => load.read() > 0.9).finally(() => {
    isHeld = true
  })
  load.end()
})
