// Goal: the verdicts of the scale bench follow from what was measured. Method: costs of known growth, and
// lines that are known to cross.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crossing, fitCost, mixed } from '../../bench/scale/crossing.ts'
import { exponentOf, growthOf, type Point } from '../../bench/scale/slope.ts'

const sizes = [1000, 10_000, 100_000]

function pointsWhere(cost: (n: number) => number): readonly Point[] {
  return sizes.map((n) => ({ n, cost: cost(n) }))
}

function exponentWhere(cost: (n: number) => number): number {
  return exponentOf(pointsWhere(cost))
}

test('a constant cost has exponent 0, a linear one 1, a root one half', () => {
  assert.ok(Math.abs(exponentWhere(() => 17)) < 1e-12)
  assert.ok(Math.abs(exponentWhere((n) => 3 * n) - 1) < 1e-12)
  assert.ok(Math.abs(exponentWhere((n) => Math.sqrt(n)) - 0.5) < 1e-12)
})

test('a cost that grows as the logarithm is told from one that grows as a power', () => {
  assert.equal(growthOf(pointsWhere((n) => 2 * Math.log(n))), 'logarithmic')
  assert.equal(growthOf(pointsWhere((n) => n ** 0.25)), 'grows')
  assert.equal(growthOf(pointsWhere((n) => 20 + n / 100_000)), 'flat')
  assert.equal(growthOf(pointsWhere((n) => 20 + n / 10_000)), 'grows')
})

test('a cost that falls is flat', () => {
  assert.equal(growthOf(pointsWhere((n) => n ** -0.3)), 'flat')
})

test('handshake and request are found from the cost by requests per connection', () => {
  const points = [1, 4, 16, 60, 256].map((requests) => ({ requests, cost: 12 + 250 / requests }))
  const { handshake, request } = fitCost(points)
  assert.ok(Math.abs(handshake - 250) < 1e-6, String(handshake))
  assert.ok(Math.abs(request - 12) < 1e-6, String(request))
})

test('the crossing is where both lines cost the same', () => {
  const first = { handshake: 450, request: 40 }
  const second = { handshake: 1500, request: 12 }
  const at = crossing(first, second)
  assert.ok(Math.abs(450 / at + 40 - (1500 / at + 12)) < 1e-9, String(at))
})

test('what costs more in both never pays, and what costs less in both always does', () => {
  const dear = { handshake: 500, request: 40 }
  const cheap = { handshake: 250, request: 12 }
  assert.equal(crossing(dear, cheap), 0)
  assert.equal(crossing(cheap, dear), Number.POSITIVE_INFINITY)
})

test('a share of resumed connections costs what lies between', () => {
  const full = { handshake: 1500, request: 12 }
  const resumed = { handshake: 200, request: 13 }
  assert.deepEqual(mixed(full, resumed, 0.25), { handshake: 1175, request: 12 })
})
