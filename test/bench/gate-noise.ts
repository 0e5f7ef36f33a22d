// Answers for whole gates without servers: rounds with seeded noise, through the code that judges.

import type { Pair } from '../../bench/gate/figure.ts'
import type { GatedFigure } from '../../bench/gate/floors.ts'
import {
  type Finding,
  findingOf,
  isSettled,
  needsConfirmation,
  ROUNDS_MIN,
  type Verdict,
  verdictOf,
} from '../../bench/gate/judge.ts'
import { randomFrom } from '../support/dice.ts'

/** Standard deviations of the logarithm of a ratio. */
export interface Noise {
  /** Between hosts and days; the same for all rounds of a gate. */
  readonly host: number
  /** Between starts of the servers. */
  readonly start: number
  /** Between rounds: of both witnesses alike, of work per second, and per CPU-second. */
  readonly shared: number
  readonly wall: number
  readonly cpu: number
  /** The share of rounds that something else disturbs, and by how many times more they scatter. */
  readonly disturbed: number
  readonly disturbance: number
}

export class Host {
  readonly #random: () => number
  readonly #noise: Noise

  constructor(seed: number, noise: Noise) {
    this.#random = randomFrom(seed)
    this.#noise = noise
  }

  /** What the gate says of a figure whose true ratios are `speed` × the accepted ones. */
  judge(figure: GatedFigure, tolerance: number, speed: number): Verdict {
    const here = speed * this.#factor(this.#noise.host)
    const first = this.#session(figure, tolerance, here)
    if (!needsConfirmation(first)) return verdictOf(figure, tolerance, first, undefined)
    return verdictOf(figure, tolerance, first, this.#session(figure, tolerance, here))
  }

  #session(figure: GatedFigure, tolerance: number, speed: number): Finding {
    const centre = speed * this.#factor(this.#noise.start)
    const pairs: Pair[] = []
    for (;;) {
      pairs.push(this.#round(figure, centre))
      if (pairs.length < ROUNDS_MIN) continue
      const finding = findingOf(figure, tolerance, pairs)
      if (isSettled(finding)) return finding
    }
  }

  #round(figure: GatedFigure, centre: number): Pair {
    const { shared, wall, cpu, disturbed, disturbance } = this.#noise
    const scale = this.#random() < disturbed ? disturbance : 1
    const round = centre * this.#factor(shared * scale)
    return {
      wall: figure.wall.accepted * round * this.#factor(wall * scale),
      cpu: figure.cpu.accepted * round * this.#factor(cpu * scale),
      busy: 1,
    }
  }

  #factor(deviation: number): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.#random()))
    return Math.exp(deviation * radius * Math.cos(2 * Math.PI * this.#random()))
  }
}
