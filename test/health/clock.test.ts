// Goal: a clock that cannot be believed is told, and believed again once it stands still. Method: both clocks are numbers.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Clock } from '../../src/health/clock.ts'

const day = 86_400_000

class Host {
  wallMs = Date.UTC(2026, 5, 1)
  elapsedMs = 5000
  readonly clock: Clock = new Clock({ now: () => this.wallMs, elapsed: () => this.elapsedMs })

  pass(ms: number, wallMs = ms): void {
    this.elapsedMs += ms
    this.wallMs += wallMs
  }

  async assertWell(): Promise<void> {
    assert.match(await this.clock.look(), /^it shows 20\d\d-/)
  }
}

test('a clock that goes at its pace, or is set right bit by bit, is believed', async () => {
  const host = new Host()
  for (const [ms, wallMs] of [
    [1000, 1000],
    [1000, 2900],
    [1000, -800],
    [day, day + 40_000],
    [day, day - 40_000],
  ] as const) {
    host.pass(ms, wallMs)
    await host.assertWell()
  }
  assert.deepEqual(host.clock.figures, { jumps: 0, lastJumpMs: 0 })
})

for (const [by, said] of [
  [3_600_000, /^it jumped by \+3600 s 0 s ago, and shows /],
  [-3_600_000, /^it jumped by -3600 s 0 s ago, and shows /],
  [30 * 365 * day, /^it jumped by \+946080000 s 0 s ago/],
] as const) {
  test(`a jump of ${by / 1000} s is told for ten seconds`, async () => {
    const host = new Host()
    host.pass(1000, 1000 + by)
    await assert.rejects(host.clock.look(), { message: said })
    host.pass(9_000)
    await assert.rejects(host.clock.look(), { message: / 9 s ago/ })
    host.pass(1_500)
    await host.assertWell()
    assert.deepEqual(host.clock.figures, { jumps: 1, lastJumpMs: by })
  })
}

test('a clock that shows a time before this version is not believed, however long it goes on', async () => {
  const host = new Host()
  const before = host.wallMs
  host.pass(1000, -before + day)
  host.pass(60_000)
  for (let i = 0; i < 3; i++) {
    host.pass(60_000)
    const message = /^it shows 1970-01-02T.*, but this version was made in 2026$/
    await assert.rejects(host.clock.look(), { message })
  }
  host.pass(1000, before)
  await assert.rejects(host.clock.look(), { message: /^it jumped by \+/ })
  host.pass(11_000)
  await host.assertWell()
})
