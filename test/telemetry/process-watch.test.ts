// Goal: delays of the event loop and the state of the clock are measured right. Method: sources and clocks
// of a test, and once the real ones.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Registry } from 'prom-client'
import { Clock } from '../../src/health/clock.ts'
import { ClockState } from '../../src/telemetry/clock-state.ts'
import { LoopDelay } from '../../src/telemetry/loop-delay.ts'
import { until } from '../support/until.ts'

async function sample(delay: LoopDelay, name: string): Promise<number> {
  const registry = new Registry()
  delay.register(registry)
  const line = (await registry.metrics()).split('\n').find((each) => each.startsWith(`${name} `))
  return Number(line?.split(' ')[1])
}

const named = 'keelson_event_loop_delay_seconds'

test('the longest delay of each second counts, less what the timer waits anyway', async () => {
  const source = { max: 0, count: 0, resets: 0 }
  const reset = (): void => {
    source.resets += 1
  }
  const delay = new LoopDelay(Object.assign(source, { reset }))
  const second = (maxMs: number): void => {
    Object.assign(source, { max: maxMs * 1e6, count: 90 })
    delay.look()
  }
  for (const maxMs of [10.1, 11, 310]) second(maxMs)
  assert.equal(source.resets, 3)
  assert.equal(await sample(delay, `${named}_count`), 3)
  assert.equal(await sample(delay, `${named}_bucket{le="0.002"}`), 2)
  assert.equal(await sample(delay, `${named}_bucket{le="0.25"}`), 2)
  assert.equal(await sample(delay, `${named}_bucket{le="0.5"}`), 3)
})

test('a second in which nothing was measured is none', async () => {
  const delay = new LoopDelay({ max: 0, count: 0, reset: () => {} })
  delay.look()
  assert.equal(await sample(delay, `${named}_count`), 0)
})

test('a loop that is blocked shows', async () => {
  const delay = new LoopDelay()
  after(() => delay.close())
  // The first turn of its timer begins the count.
  await new Promise((resolve) => setTimeout(resolve, 50))
  const until300 = performance.now() + 300
  while (performance.now() < until300);
  let seconds = 0
  await until('a delay is told', () => {
    void sample(delay, `${named}_sum`).then((sum) => {
      seconds = sum
    })
    return seconds >= 0.25
  })
})

test('drift and jumps of the wall clock are told', async () => {
  let [wallMs, elapsedMs] = [Date.UTC(2030, 0, 1), 0]
  const clocks = { now: () => wallMs, elapsed: () => elapsedMs }
  const state = new ClockState({
    ...{ ...clocks, jumps: new Clock(clocks) },
    timesyncFolder: '/nowhere',
  })
  after(() => state.close())
  wallMs += 60_010
  elapsedMs += 60_000
  const drifted = { jumps: 0, driftMs: 10, isSynchronized: undefined }
  assert.deepEqual(await state.figures(), drifted)
  wallMs -= 3_600_000
  assert.deepEqual(await state.figures(), { ...drifted, jumps: 1, driftMs: 10 - 3_600_000 })
})

test('timesyncd has set the clock once its file is there', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-timesync-'))
  after(() => rmSync(folder, { recursive: true }))
  const clocks = { now: Date.now, elapsed: () => performance.now() }
  const state = new ClockState({ ...clocks, jumps: new Clock(clocks), timesyncFolder: folder })
  after(() => state.close())
  assert.equal((await state.figures()).isSynchronized, false)
  writeFileSync(join(folder, 'synchronized'), '')
  assert.equal((await state.figures()).isSynchronized, true)
})
