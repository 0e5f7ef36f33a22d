// Goal: a ratio is judged only when its rounds are clear, and never by one bad moment. Method: small
// lists of ratios whose answer can be counted by hand.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { intervalOf, type Reading, readingOf, standingOf } from '../../bench/gate/decision.ts'
import { pairOf } from '../../bench/gate/figure.ts'
import type { GatedFigure } from '../../bench/gate/floors.ts'
import {
  type Finding,
  findingOf,
  isSettled,
  ROUNDS_MAX,
  ROUNDS_MIN,
  verdictOf,
} from '../../bench/gate/judge.ts'
import type { MeasuredRound } from '../../bench/runner.ts'

const times = (count: number, ratio: number): readonly number[] => Array(count).fill(ratio)
const reading = (above: number, below: number): Reading =>
  readingOf([...times(above, 1.1), ...times(below, 0.8)], 1)

/** Powers of two, whose means in pairs are easily ranked. */
const powers = (count: number): readonly number[] =>
  Array.from({ length: count }, (_, index) => 2 ** index)

test('an interval has no end that its rounds cannot bear out', () => {
  // All of four ranks stay out of the sum once in 16: too often for either end.
  assert.deepEqual(intervalOf(powers(4)).low, undefined)
  assert.deepEqual(intervalOf(powers(4)).high, undefined)
  // Of five once in 32: enough for the high end, whose share may be 1 in 20.
  assert.deepEqual(intervalOf(powers(5)).low, undefined)
  assert.equal(Math.log2(intervalOf(powers(5)).high ?? 0), 4)
  // Of six once in 64. With the sums 0, 1 and 2 it is 3 in 64, the most that the high end may miss.
  assert.equal(Math.log2(intervalOf(powers(6)).low ?? 0), 0)
  assert.equal(Math.log2(intervalOf(powers(6)).high ?? 0), 4)
  // For ten ranks tables of the test have 10 as critical at 5 %: the 11th largest of the means.
  assert.equal(Math.log2(intervalOf(powers(10)).high ?? 0).toFixed(6), '6.500000')
})

test('six rounds on one side are clear, four and two are not', () => {
  assert.equal(reading(6, 0).side, 'above')
  assert.equal(reading(0, 6).side, 'below')
  assert.equal(reading(4, 2).side, 'open')
  assert.equal(reading(2, 4).side, 'open')
  assert.equal(reading(0, 0).side, 'open')
})

test('a ratio that is the bar itself is neither above nor below', () => {
  assert.equal(readingOf(times(20, 1), 1).side, 'open')
})

test('one round in ten may be absurd', () => {
  assert.equal(readingOf([...times(12, 1.1), 0.001], 1).side, 'above')
  assert.equal(readingOf([...times(12, 0.8), 1000], 1).side, 'below')
})

test('a fall needs both witnesses, and one that is well is enough', () => {
  const [well, ill, unsure] = [reading(6, 0), reading(0, 6), reading(4, 2)]
  assert.equal(standingOf('both', ill, ill, false), 'falls')
  assert.equal(standingOf('both', ill, well, true), 'holds')
  assert.equal(standingOf('both', well, ill, true), 'holds')
  assert.equal(standingOf('both', ill, unsure, true), 'open')
  assert.equal(standingOf('cpu', well, ill, false), 'falls')
  assert.equal(standingOf('cpu', ill, well, false), 'holds')
  assert.equal(standingOf('wall', ill, well, false), 'falls')
})

test('a witness that stays unsure to the end vetoes only what its median contradicts', () => {
  const [ill, leaningIll] = [reading(0, 6), reading(2, 4)]
  assert.equal(standingOf('both', leaningIll, ill, false), 'open')
  assert.equal(standingOf('both', leaningIll, ill, true), 'falls')
  assert.equal(standingOf('both', leaningIll, leaningIll, true), 'open')
})

const level = { floor: 0.8, accepted: 1 }
const figure: GatedFigure = {
  ...{ scenario: 'any', store: 'disk', reference: 'nginx-static', witness: 'both' },
  ...{ wall: level, cpu: level, taken: 'never' },
}

function finding(rounds: number, ratio: number): Finding {
  return findingOf(figure, 0.1, Array(rounds).fill({ wall: ratio, cpu: ratio, busy: 1 }))
}

test('the bar is the tolerance below what was accepted, or the floor where that is more', () => {
  assert.equal(finding(6, 1).wall.bar, 0.9)
  const high = { ...figure, wall: { floor: 0.95, accepted: 1 } }
  assert.equal(findingOf(high, 0.1, []).wall.bar, 0.95)
})

test('rounds go on until the figure is clear, and no longer than they may', () => {
  assert.equal(isSettled(finding(ROUNDS_MIN - 1, 1)), false)
  assert.equal(isSettled(finding(ROUNDS_MIN, 1)), true)
  assert.equal(isSettled(finding(ROUNDS_MIN, 1), ROUNDS_MAX), false)
  assert.equal(isSettled(finding(ROUNDS_MAX - 1, 0.9)), false)
  assert.equal(isSettled(finding(ROUNDS_MAX, 0.9)), true)
})

test('only what falls after a fresh start too has fallen', () => {
  const [holds, falls, open] = [finding(6, 1), finding(6, 0.8), finding(ROUNDS_MAX, 0.9)]
  assert.equal(verdictOf(figure, 0.1, holds, undefined), 'holds')
  assert.equal(verdictOf(figure, 0.1, falls, falls), 'fell')
  assert.equal(verdictOf(figure, 0.1, falls, holds), 'undecided')
  assert.equal(verdictOf(figure, 0.1, falls, undefined), 'undecided')
  assert.equal(verdictOf(figure, 0.1, open, undefined), 'undecided')
})

function round(part: Partial<MeasuredRound>): MeasuredRound {
  return {
    ...{ figure: 100, requests: 100, bytes: 1e8, seconds: 1, cpuSeconds: 1 },
    ...{ latencyMs: undefined, driver: 'none', ...part },
  }
}

test('a pair compares work per second and per CPU-second of the servers', () => {
  const ours = round({ figure: 150, requests: 150, cpuSeconds: 0.5 })
  assert.deepEqual(pairOf(ours, round({}), 'req/s'), { wall: 1.5, cpu: 3, busy: 0.5 })
  const push = round({ figure: 50, bytes: 5e7, requests: 1, cpuSeconds: 0.25 })
  assert.deepEqual(pairOf(push, round({}), 'MB/s'), { wall: 0.5, cpu: 2, busy: 0.25 })
})

test('a program that measures its own CPU is a witness for both', () => {
  const gauge = round({ figure: 1000, requests: 0, cpuSeconds: undefined })
  const push = round({ figure: 500, bytes: 5e8, cpuSeconds: 0.8 })
  assert.deepEqual(pairOf(push, gauge, 'MB/s'), { wall: 0.5, cpu: 0.625, busy: 0.8 })
})

test('a round of which nothing was measured makes no pair', () => {
  assert.equal(pairOf(round({ figure: 0 }), round({}), 'req/s'), undefined)
  assert.equal(pairOf(round({}), round({ figure: Number.NaN }), 'req/s'), undefined)
  assert.equal(pairOf(round({ cpuSeconds: 0 }), round({}), 'req/s')?.cpu, undefined)
})
