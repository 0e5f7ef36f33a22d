// Goal: a wall clock that jumps is told once for each jump. Method: two clocks turned by hand.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ClockWatch } from '../../../src/authenticate/oidc/clock-watch.ts'
import { oidcConfig, oidcScene, refusalOf } from './scene.ts'

test('jumps forth and back are counted once each, and slow corrections are not', () => {
  let wallMs = 1e12
  let elapsedMs = 500
  const logged: object[] = []
  const watch = new ClockWatch({
    now: () => wallMs,
    elapsed: () => elapsedMs,
    toleranceMs: 60_000,
    log: { info: () => assert.fail(), warn: (fields) => logged.push(fields) },
  })
  const pass = (ms: number, wall = ms): void => {
    elapsedMs += ms
    wallMs += wall
    watch.observe()
  }
  for (let i = 0; i < 1000; i++) pass(10_000)
  // Half a per mille, for days: more than the tolerance in all.
  for (let i = 0; i < 50_000; i++) pass(10_000, 10_005)
  pass(10_000, 70_000)
  assert.equal(watch.jumps, 0)
  pass(10_000, 70_001)
  pass(10_000)
  assert.equal(watch.jumps, 1)
  pass(10_000, -3_600_000)
  pass(10_000)
  watch.observe()
  assert.equal(watch.jumps, 2)
  assert.deepEqual(logged, [{ stepMs: 60_001 }, { stepMs: -3_610_000 }])
})

test('verifying a token looks at the clock', async () => {
  // Nobody listens there.
  const { providers, warnings, jump } = oidcScene([oidcConfig('https://127.0.0.1:1')])
  assert.equal(providers.status().clockJumps, 0)
  jump(-120_000)
  for (let i = 0; i < 3; i++) assert.equal(await refusalOf(providers.verify('a.b.c')), 'malformed')
  assert.equal(providers.status().clockJumps, 1)
  assert.equal(warnings.filter(({ message }) => message.includes('jumped')).length, 1)
})

test('without a provider nothing is watched and every token is refused', async () => {
  const { providers } = oidcScene([])
  assert.deepEqual(providers.status(), { providers: [], clockJumps: 0 })
  assert.equal(providers.names.size, 0)
  assert.equal(await refusalOf(providers.verify('a.b.c')), 'malformed')
})
