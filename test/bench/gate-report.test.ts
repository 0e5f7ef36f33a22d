// Goal: what was judged is told right, decides the exit code, and is accepted only upwards. Method:
// findings made of ratios, without servers.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { accept } from '../../bench/gate/accept.ts'
import type { Floors, GatedFigure } from '../../bench/gate/floors.ts'
import { type Finding, findingOf, ROUNDS_MAX } from '../../bench/gate/judge.ts'
import { gateTable } from '../../bench/gate/table.ts'
import { exitCodeOf, groupsOf, type Judged, judgedOf } from '../../bench/gate/verdict.ts'

const figure: GatedFigure = {
  ...{ scenario: 'manifest-get-by-tag', store: 'disk', reference: 'nginx-static' },
  ...{ witness: 'both', goal: 1.15, taken: '2026-11-22, abc' },
  wall: { floor: 0.85, accepted: 1 },
  cpu: { floor: 0.85, accepted: 1 },
}
const floors: Floors = { format: 1, tolerance: 0.1, figures: [figure] }

/** Rounds that all have these ratios. */
function found(wall: number, cpu: number, rounds = 10): Finding {
  return findingOf(figure, 0.1, Array(rounds).fill({ wall, cpu, busy: 0.97 }))
}

const holds = judgedOf(figure, 0.1, found(1.2, 1.2), undefined)
const fell = judgedOf(figure, 0.1, found(0.8, 0.8), found(0.7, 0.7))
const undecided = judgedOf(figure, 0.1, found(0.9, 0.9, ROUNDS_MAX), undefined)
const absent = judgedOf(
  figure,
  0.1,
  { kind: 'absent', text: 'nginx-static: not installed' },
  undefined,
)
const failed = judgedOf(figure, 0.1, { kind: 'failed', text: 'keelson: exit 1' }, undefined)

test('the exit code tells falls, failures and absent references apart', () => {
  assert.equal(exitCodeOf([holds, undecided], true), 0)
  assert.equal(exitCodeOf([holds, fell], false), 1)
  assert.equal(exitCodeOf([holds, absent], false), 0)
  assert.equal(exitCodeOf([holds, absent], true), 2)
  assert.equal(exitCodeOf([holds, failed], false), 2)
  assert.equal(exitCodeOf([failed, fell], false), 1)
})

test('servers that fail at the second start leave a fall unjudged, and not forgiven', () => {
  const judged = judgedOf(figure, 0.1, found(0.8, 0.8), { kind: 'failed', text: 'keelson: exit 1' })
  assert.equal(judged.verdict, 'not judged')
  assert.equal(exitCodeOf([judged], false), 2)
})

test('the table shows floor, accepted, measured, interval, rounds, goal and verdict', () => {
  const text = gateTable([holds])
  assert.match(text, /manifest-get-by-tag ÷ nginx-static +per second: above +0\.850 +1\.00 +0\.900/)
  assert.match(text, /1\.20 +1\.20 to 1\.20 +97 % +10 +1\.15 met +holds/)
  assert.doesNotMatch(text, /WARNING/)
  assert.match(gateTable([fell]), /10 \+ 10 +1\.15 missed +FELL/)
})

test('what passes unproved is a loud warning', () => {
  assert.match(gateTable([undecided]), /WARNING: .* is UNDECIDED and passes unproved: 40 rounds/)
  const forgiven = judgedOf(figure, 0.1, found(0.8, 0.8), found(1, 1))
  assert.match(gateTable([forgiven]), /WARNING: .* UNDECIDED .* after a fresh start/)
  assert.match(gateTable([absent]), /not judged: nginx-static: not installed/)
  assert.match(gateTable([absent]), /WARNING: .* was not judged/)
})

test('a figure that holds by one witness alone is a warning', () => {
  const slow = judgedOf(figure, 0.1, found(0.8, 1), undefined)
  assert.equal(slow.verdict, 'holds')
  assert.match(gateTable([slow]), /WARNING: .* holds, but per second it is below its bar/)
})

test('figures of one scenario and store share their rounds', () => {
  const others: GatedFigure[] = [
    { ...figure, reference: 'bare-uws' },
    { ...figure, scenario: 'push-256mib-x1', reference: 'openssl-sha256' },
    { ...figure, scenario: 'push-256mib-x1', reference: 'openssl-sha256', store: 'memory' },
  ]
  const scenario = (() => undefined) as never
  const groups = groupsOf([figure, ...others], scenario)
  assert.deepEqual(
    groups.map(({ figures }) => figures.length),
    [2, 1, 1],
  )
})

function accepted(judged: Judged, reason?: string): GatedFigure {
  const [only] = accept(floors, [judged], { taken: 'now', reason }).figures
  return only!
}

test('what is better is accepted, and its floor rises with it', () => {
  const { wall, cpu, taken, reason } = accepted(holds, 'never needed')
  assert.deepEqual(wall, { accepted: 1.2, floor: 1.02 })
  assert.deepEqual(cpu, wall)
  assert.equal(taken, 'now')
  assert.equal(reason, undefined)
})

test('a floor that was set by hand is not pulled down by what is better', () => {
  const high = { ...figure, wall: { floor: 0.99, accepted: 1 } }
  const judged = judgedOf(high, 0.1, found(1.1, 1), undefined)
  const [raised] = accept({ ...floors, figures: [high] }, [judged], {
    ...{ taken: 'now', reason: undefined },
  }).figures
  assert.deepEqual(raised?.wall, { accepted: 1.1, floor: 0.99 })
})

test('what is worse is never accepted without a reason', () => {
  assert.equal(accepted(fell), figure)
  assert.equal(accepted(undecided), figure)
  assert.equal(accepted(absent, 'a header more'), figure)
})

test('with a reason the accepted ratio falls, and the floor no further than it must', () => {
  const lower = accepted(undecided, 'a header more')
  assert.deepEqual(lower.wall, { accepted: 0.9, floor: 0.76 })
  assert.equal(lower.reason, 'a header more')
  const slightly = judgedOf(figure, 0.1, found(0.96, 1), undefined)
  assert.deepEqual(accepted(slightly, 'a header more').wall, { accepted: 0.96, floor: 0.85 })
  assert.deepEqual(accepted(slightly, 'a header more').cpu, { accepted: 1, floor: 0.85 })
})

test('of wide intervals no more than a twentieth below the median is accepted', () => {
  const pairs = [1.2, 1.8, 1.25, 1.75, 1.3, 1.7, 1.4].map((it) => ({ wall: it, cpu: it, busy: 1 }))
  const judged = judgedOf(figure, 0.1, findingOf(figure, 0.1, pairs), undefined)
  assert.equal(accepted(judged).wall.accepted, 1.33)
})

test('noise around the accepted ratio lowers nothing, whatever the reason', () => {
  const pairs = [0.9, 1.1, 0.95, 1.05, 1.02, 1.1, 1.0].map((it) => ({ wall: it, cpu: it, busy: 1 }))
  const judged = judgedOf(figure, 0.1, findingOf(figure, 0.1, pairs), undefined)
  assert.equal(accepted(judged, 'a header more'), figure)
})
