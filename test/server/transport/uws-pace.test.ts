// The keeper of progress deadlines, on a clock of the test's own.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Moving, PaceKeeper } from '../../../src/server/transport/uws/pace.ts'
import { type EdgeCounts, newEdgeCounts } from '../../../src/telemetry/edge-counts.ts'
import { amplePace } from '../../contract/transport-scene.ts'

class Mover implements Moving {
  readonly kind: 'body' | 'reply'
  bytes: number | undefined = 0
  cuts = 0

  constructor(kind: 'body' | 'reply' = 'reply') {
    this.kind = kind
  }

  movedBytes(): number | undefined {
    return this.bytes
  }

  onTick(): void {}

  cut(): void {
    this.cuts += 1
  }
}

const pace = { ...amplePace, stallMs: 4_000, graceMs: 8_000, sendRateMin: 1_000 }

class Scene {
  readonly counts: EdgeCounts = newEdgeCounts()
  readonly keeper: PaceKeeper
  now = 0

  constructor(limits = pace) {
    this.keeper = new PaceKeeper(limits, this.counts, () => this.now)
  }

  /** Ticks of a second each, as the keeper's own timer has them; `each` runs before every one. */
  run(seconds: number, each: (second: number) => void = () => {}): void {
    for (let second = 1; second <= seconds; second++) {
      this.now += 1_000
      each(second)
      this.keeper.tick()
    }
  }
}

function watched(scene: Scene, mover = new Mover()): Mover {
  scene.keeper.watch(mover)
  return mover
}

test('what does not move for the stall’s time is cut, once, and counted', () => {
  const scene = new Scene()
  const mover = watched(scene)
  scene.run(4)
  assert.equal(mover.cuts, 0)
  scene.run(10)
  assert.equal(mover.cuts, 1)
  assert.deepEqual(scene.counts.closedSlow, { headers: 0, body: 0, reply: 1, idle: 0 })
})

test('what moves below the floor is cut after the grace time, however steadily it moves', () => {
  const scene = new Scene()
  const mover = watched(scene)
  scene.run(20, () => {
    mover.bytes = (mover.bytes ?? 0) + 999
  })
  assert.equal(mover.cuts, 1)
})

test('what moves at the floor is never cut', () => {
  const scene = new Scene()
  const mover = watched(scene)
  scene.run(3_600, () => {
    mover.bytes = (mover.bytes ?? 0) + 1_000
  })
  assert.equal(mover.cuts, 0)
  scene.keeper.forget(mover)
})

test('time in which the client waits for us is not counted', () => {
  const scene = new Scene()
  const mover = watched(scene)
  scene.run(100, (second) => {
    mover.bytes = second % 4 === 0 ? undefined : 0
  })
  assert.equal(mover.cuts, 0)
  scene.keeper.forget(mover)
})

test('time in which this process was busy is not counted', () => {
  const scene = new Scene()
  const mover = watched(scene)
  scene.run(2)
  scene.now += 60_000
  scene.keeper.tick()
  assert.equal(mover.cuts, 0)
  scene.run(4)
  assert.equal(mover.cuts, 1)
})

test('a body that the native library has cut for its slowness is counted, another abort is not', () => {
  for (const [seconds, expected] of [
    [10, 1],
    [5, 0],
  ] as const) {
    const scene = new Scene({ ...amplePace })
    const body = watched(scene, new Mover('body'))
    scene.run(seconds)
    scene.keeper.forgetAborted(body)
    assert.equal(scene.counts.closedSlow.body, expected)
  }
  const scene = new Scene({ ...amplePace })
  const steady = watched(scene, new Mover('body'))
  scene.run(20, () => {
    steady.bytes = (steady.bytes ?? 0) + 50_000
  })
  scene.keeper.forgetAborted(steady)
  assert.equal(scene.counts.closedSlow.body, 0)
})
