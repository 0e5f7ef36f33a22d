// Goal: a service that fails is left alone and tried again by one call. Method: a clock of the test's own,
// and random histories against a model that remembers everything.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CircuitBreaker, type Pass } from '../../src/outbound/circuit-breaker.ts'
import type { BreakerState } from '../../src/outbound/contract.ts'

const options = { failures: 3, cooldownMs: 100 }

class Scene {
  nowMs = 0
  readonly states: BreakerState[] = []
  readonly breaker = new CircuitBreaker(
    options,
    () => this.nowMs,
    (state) => this.states.push(state),
  )

  enter(): Pass {
    const pass = this.breaker.enter()
    assert.notEqual(pass, undefined)
    return pass as Pass
  }

  break(): void {
    for (let i = 0; i < options.failures; i += 1) this.breaker.fail(this.enter())
  }
}

test('a call that is given up proves nothing, and lets the next one try', () => {
  const scene = new Scene()
  const { breaker } = scene
  for (let i = 0; i < options.failures; i += 1) breaker.leave(scene.enter())
  assert.equal(breaker.state, 'closed')
  scene.break()
  scene.nowMs = options.cooldownMs
  const trying = scene.enter()
  assert.equal(breaker.enter(), undefined)
  breaker.leave(trying)
  breaker.succeed(trying)
  assert.equal(breaker.state, 'open')
  breaker.succeed(scene.enter())
  assert.equal(breaker.state, 'closed')
})

test('it opens after so many failures in a row, and a success begins the count anew', () => {
  const { breaker, states, ...scene } = new Scene()
  assert.equal(scene.nowMs, 0)
  const call = (isGood: boolean): void => {
    const pass = breaker.enter() as Pass
    if (isGood) breaker.succeed(pass)
    else breaker.fail(pass)
  }
  call(false)
  call(false)
  call(true)
  call(false)
  call(false)
  assert.equal(breaker.state, 'closed')
  assert.equal(breaker.refuses, false)
  call(false)
  assert.equal(breaker.state, 'open')
  assert.equal(breaker.refuses, true)
  assert.equal(breaker.enter(), undefined)
  assert.deepEqual(states, ['open'])
})

test('after the cooldown one call tries, and the others are refused until it has ended', () => {
  const scene = new Scene()
  scene.break()
  scene.nowMs = 99
  assert.equal(scene.breaker.enter(), undefined)
  scene.nowMs = 100
  assert.equal(scene.breaker.refuses, false)
  const probe = scene.enter()
  assert.equal(scene.breaker.state, 'half-open')
  assert.equal(scene.breaker.refuses, true)
  assert.equal(scene.breaker.enter(), undefined)
  scene.breaker.succeed(probe)
  assert.equal(scene.breaker.state, 'closed')
  scene.enter()
  assert.deepEqual(scene.states, ['open', 'half-open', 'closed'])
})

test('one that tries and fails opens it for another cooldown, at once', () => {
  const scene = new Scene()
  scene.break()
  scene.nowMs = 250
  scene.breaker.fail(scene.enter())
  assert.equal(scene.breaker.state, 'open')
  scene.nowMs = 349
  assert.equal(scene.breaker.enter(), undefined)
  scene.nowMs = 350
  scene.breaker.succeed(scene.enter())
  assert.equal(scene.breaker.state, 'closed')
})

test('what began before it opened says nothing after', () => {
  const scene = new Scene()
  const early = scene.enter()
  const other = scene.enter()
  scene.break()
  scene.breaker.succeed(early)
  assert.equal(scene.breaker.state, 'open')
  scene.nowMs = 100
  const probe = scene.enter()
  scene.breaker.succeed(other)
  scene.breaker.fail(early)
  assert.equal(scene.breaker.state, 'half-open')
  scene.breaker.succeed(probe)
  assert.equal(scene.breaker.state, 'closed')
})

test('no history lets two try at a time, or any call through while it is open', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 60 }) }),
    fc.record({ do: fc.constant('enter' as const) }),
    fc.record({ do: fc.constantFrom('succeed' as const, 'fail' as const), index: fc.nat(8) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const scene = new Scene()
      let openedAtMs = Number.NEGATIVE_INFINITY
      let probe: Pass | undefined
      const passes: Pass[] = []
      for (const one of steps) {
        const before = scene.breaker.state
        if (one.do === 'wait') scene.nowMs += one.ms
        else if (one.do === 'enter') {
          const pass = scene.breaker.enter()
          if (pass === undefined) {
            const isCooling = scene.nowMs < openedAtMs + options.cooldownMs
            assert.ok(probe !== undefined || isCooling, 'refused for no reason')
            continue
          }
          assert.equal(probe, undefined, 'two try at a time')
          if (before === 'open') {
            assert.ok(scene.nowMs >= openedAtMs + options.cooldownMs, 'too early')
            probe = pass
          }
          passes.push(pass)
        } else {
          const [pass] = passes.splice(one.index % Math.max(passes.length, 1), 1)
          if (pass === undefined) continue
          scene.breaker[one.do](pass)
          if (pass === probe) probe = undefined
        }
        if (before !== 'open' && scene.breaker.state === 'open') openedAtMs = scene.nowMs
      }
    }),
  )
})
