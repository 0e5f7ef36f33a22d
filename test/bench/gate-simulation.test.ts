// Goal: the gate does not fail by chance and finds a slowdown of a fifth. Method: whole gates over
// rounds with seeded noise, at least as strong as that of a busy virtual machine with two cores.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Witness } from '../../bench/gate/decision.ts'
import { type GatedFigure, readFloors } from '../../bench/gate/floors.ts'
import type { Verdict } from '../../bench/gate/judge.ts'
import { Host, type Noise } from './gate-noise.ts'

// Nothing else runs; tests of others run (standard deviations of 0.11 and 0.12 were seen); compilers
// run on both cores (0.23 and 0.15 were seen).
const quiet: Noise = {
  host: 0,
  start: 0.01,
  shared: 0.01,
  wall: 0.03,
  cpu: 0.02,
  disturbed: 0.02,
  disturbance: 4,
}
const busy: Noise = {
  host: 0.02,
  start: 0.02,
  shared: 0.03,
  wall: 0.1,
  cpu: 0.11,
  disturbed: 0.05,
  disturbance: 2,
}
const wild: Noise = {
  host: 0.02,
  start: 0.02,
  shared: 0.1,
  wall: 0.2,
  cpu: 0.11,
  disturbed: 0.1,
  disturbance: 2,
}
const { figures, tolerance } = readFloors('bench/floors.json')
// As many figures as the file may come to have, so that the answer does not change with each.
const FIGURES = 12

function tally(noise: Noise, trials: number, play: (host: Host) => Verdict): Map<Verdict, number> {
  const counts = new Map<Verdict, number>([
    ['holds', 0],
    ['fell', 0],
    ['undecided', 0],
  ])
  const host = new Host(8, noise)
  for (let trial = 0; trial < trials; trial++) {
    const verdict = play(host)
    counts.set(verdict, (counts.get(verdict) ?? 0) + 1)
  }
  return counts
}

/** One that stands exactly where it was accepted, which leaves nothing but the tolerance. */
function figureWith(witness: Witness): GatedFigure {
  const level = { floor: 0.85, accepted: 1 }
  return {
    ...{ scenario: 'any', store: 'disk', reference: 'nginx-static', witness },
    ...{ wall: level, cpu: level, taken: 'never' },
  }
}

// Work per second alone is for machines where nothing else runs: on the busy one it misses one
// slowdown of eight, and says so (undecided).
const machines = [
  { name: 'quiet', noise: quiet, witnesses: ['both', 'wall', 'cpu'], found: 0.999, gates: 2000 },
  { name: 'busy', noise: busy, witnesses: ['both', 'cpu'], found: 0.99, gates: 2000 },
  { name: 'wildly disturbed', noise: wild, witnesses: ['both', 'cpu'], found: 0.9, gates: 500 },
] as const

const whole = Array.from({ length: FIGURES }, (_, index) => {
  return figureWith(index % 4 === 0 ? 'cpu' : 'both')
})

test('the file has no more figures than a whole gate has here', () => {
  assert.ok(figures.length <= FIGURES)
})

for (const { name, noise, witnesses, found, gates } of machines) {
  describe(`on a ${name} machine`, () => {
    test('fewer than 1 in 1,000 whole gates fail by chance', (t) => {
      const counts = tally(noise, gates, (host) => {
        const verdicts = whole.map((figure) => host.judge(figure, tolerance, 1))
        if (verdicts.includes('fell')) return 'fell'
        return verdicts.includes('undecided') ? 'undecided' : 'holds'
      })
      t.diagnostic(`${gates} gates of ${whole.length} figures: ${JSON.stringify([...counts])}`)
      assert.ok((counts.get('fell') ?? 0) / gates < 1 / 1000)
    })

    for (const witness of witnesses) {
      test(`a slowdown of a fifth is found in ${found * 100} % of gates (${witness})`, (t) => {
        const trials = 1000
        const counts = tally(noise, trials, (host) =>
          host.judge(figureWith(witness), tolerance, 0.8),
        )
        t.diagnostic(`${trials} slowed figures: ${JSON.stringify([...counts])}`)
        assert.ok((counts.get('fell') ?? 0) / trials >= found)
      })
    }
  })
}
