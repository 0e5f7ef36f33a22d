// Goal: floors.json says what it must, nothing else, and asks less only with a reason. Method: the
// file itself against the catalogue and against its history, and planted slips.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import {
  FLOORS_FILE,
  type Floors,
  figureName,
  type GatedFigure,
  parseFloors,
  readFloors,
  renderFloors,
  scenarioOf,
} from '../../bench/gate/floors.ts'
import { committedEditions, type Edition, unexcused } from '../../bench/gate/ratchet.ts'

const figure: GatedFigure = {
  ...{ scenario: 'manifest-get-by-tag', store: 'disk', reference: 'nginx-static' },
  ...{ witness: 'both', goal: 1.15, taken: '2026-11-22, abc' },
  wall: { floor: 0.9, accepted: 1.1 },
  cpu: { floor: 0.8, accepted: 1 },
}
const floors: Floors = { format: 1, tolerance: 0.1, figures: [figure] }

function withFigure(part: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({ ...floors, figures: [{ ...figure, ...part }] })
}

test('the floors of this project are right, and name what the catalogue runs', () => {
  const { figures } = readFloors(FLOORS_FILE)
  assert.ok(figures.length > 0)
})

test('the file is as the program writes it, so that a change of one figure is a change of its lines', () => {
  const text = readFileSync(FLOORS_FILE, 'utf8')
  assert.equal(renderFloors(parseFloors(text)), text)
})

test('what is written is what is read', () => {
  assert.deepEqual(parseFloors(renderFloors(floors)), floors)
})

const slips: readonly (readonly [what: string, text: string, complaint: RegExp])[] = [
  ['another format', JSON.stringify({ ...floors, format: 2 }), /format is not 1/],
  ['an unknown key', JSON.stringify({ ...floors, note: '' }), /unknown key note/],
  ['no figures', JSON.stringify({ ...floors, figures: [] }), /figures is not a list/],
  ['a tolerance of more than all', JSON.stringify({ ...floors, tolerance: 10 }), /tolerance/],
  ['an unknown key of a figure', withFigure({ ceiling: 2 }), /figures\[0\]: has the unknown key/],
  ['an unknown witness', withFigure({ witness: 'none' }), /witness: is not one of wall, cpu, both/],
  ['no witness', withFigure({ witness: undefined }), /witness: is not one of/],
  ['a floor that is no number', withFigure({ cpu: { floor: '1', accepted: 1 } }), /cpu\.floor/],
  ['no accepted ratio', withFigure({ wall: { floor: 1 } }), /wall\.accepted/],
  ['accepting less than the floor', withFigure({ wall: { floor: 2, accepted: 1 } }), /less than/],
  ['a ratio of nothing', withFigure({ wall: { floor: 0, accepted: 1 } }), /from 0\.01/],
  ['an empty reason', withFigure({ reason: ' ' }), /reason: is not a text/],
  ['a figure twice', JSON.stringify({ ...floors, figures: [figure, figure] }), /there twice/],
]

for (const [what, text, complaint] of slips) {
  test(`${what} is refused`, () => {
    assert.throws(() => parseFloors(text), complaint)
  })
}

test('a figure must be one that the bench measures', () => {
  assert.throws(() => scenarioOf({ ...figure, scenario: 'manifest-gte' }), /no such scenario/)
  assert.throws(() => scenarioOf({ ...figure, store: 'memory' }), /never runs on memory/)
  assert.throws(() => scenarioOf({ ...figure, reference: 'openssl-sha256' }), /never compared/)
  const peak = { ...figure, scenario: 'uploads-in-flight', reference: 'docker-registry' } as const
  assert.throws(() => scenarioOf(peak), /is no rate/)
})

function edition(part: Partial<GatedFigure>, changelog = '# Changelog\n'): Edition {
  return { floors: { ...floors, figures: [{ ...figure, ...part }] }, changelog }
}

const told = '# Changelog\n- manifest-get-by-tag: a header more costs a tenth.\n'
const before = edition({})
const lowerFloor = { wall: { floor: 0.7, accepted: 1.1 } }
const lowerAccepted = { cpu: { floor: 0.8, accepted: 0.9 } }

test('what rises or stays needs no reason', () => {
  assert.deepEqual(unexcused(before, before), [])
  assert.deepEqual(unexcused(before, edition({ wall: { floor: 1, accepted: 1.2 } })), [])
  const more: Floors = { ...floors, figures: [figure, { ...figure, reference: 'bare-uws' }] }
  assert.deepEqual(unexcused(before, { floors: more, changelog: '' }), [])
})

test('a lower floor needs a reason and a line of the changelog', () => {
  const reason = 'a header more'
  assert.match(unexcused(before, edition(lowerFloor)).join(), /a reason of its own and a new line/)
  assert.match(unexcused(before, edition({ ...lowerFloor, reason })).join(), /needs a new line/)
  assert.match(unexcused(before, edition(lowerFloor, told)).join(), /needs a reason/)
  assert.deepEqual(unexcused(before, edition({ ...lowerFloor, reason }, told)), [])
})

test('the reason and the line of an earlier change are none for this one', () => {
  const reason = 'a header more'
  const earlier = edition({ reason }, told)
  const more = `${told}- manifest-get-by-tag: and another.\n`
  const again = unexcused(earlier, edition({ ...lowerFloor, reason }, more))
  assert.match(again.join(), /which needs a reason of its own$/)
  const other = { ...lowerFloor, reason: 'another header' }
  assert.match(unexcused(earlier, edition(other, told)).join(), /which needs a new line/)
  assert.deepEqual(unexcused(earlier, edition(other, more)), [])
})

test('a lower accepted ratio and another witness need a reason alone', () => {
  assert.equal(unexcused(before, edition(lowerAccepted)).length, 1)
  assert.equal(unexcused(before, edition({ witness: 'cpu' })).length, 1)
  const reason = 'a header more'
  assert.deepEqual(unexcused(before, edition({ ...lowerAccepted, witness: 'cpu', reason })), [])
})

test('a figure that is gone and a wider tolerance need a line of the changelog', () => {
  const gone: Floors = { ...floors, figures: [{ ...figure, scenario: 'blob-get-8kib' }] }
  assert.match(unexcused(before, { floors: gone, changelog: '' }).join(), /gated no more/)
  assert.deepEqual(unexcused(before, { floors: gone, changelog: told }), [])
  const wider: Floors = { ...floors, tolerance: 0.2 }
  assert.match(unexcused(before, { floors: wider, changelog: '' }).join(), /tolerance rose/)
  assert.deepEqual(unexcused(before, { floors: wider, changelog: '- the tolerance is wider' }), [])
})

test('the floors of this project only ever moved up, or said why', (t) => {
  const now: Edition = {
    floors: readFloors(FLOORS_FILE),
    changelog: existsSync('CHANGELOG.md') ? readFileSync('CHANGELOG.md', 'utf8') : '',
  }
  const editions = [now, ...committedEditions(30)]
  t.diagnostic(`${editions.length - 1} committed editions`)
  for (const [index, newer] of editions.entries()) {
    const older = editions[index + 1]
    if (older !== undefined) assert.deepEqual(unexcused(older, newer), [])
  }
})

test('every figure has a name of its own', () => {
  assert.equal(figureName(figure), 'manifest-get-by-tag ÷ nginx-static')
  assert.notEqual(figureName(figure), figureName({ ...figure, store: 'memory' }))
})
