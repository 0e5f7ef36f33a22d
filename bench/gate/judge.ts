// The state of one figure while its rounds come in, and what is said of it in the end.

import { type Reading, readingOf, type Standing, standingOf } from './decision.ts'
import type { Pair } from './figure.ts'
import { barOf, type GatedFigure } from './floors.ts'

/** Rounds of one start of the servers: six are the fewest that can be clear. */
export const ROUNDS_MIN: number = 6
export const ROUNDS_MAX: number = 40

/** What the rounds of one start of the servers say of a figure. */
export interface Finding {
  readonly wall: Reading
  readonly cpu: Reading
  readonly standing: Standing
  readonly pairs: readonly Pair[]
}

/**
 * `fell` only where a second, fresh start of the servers bears it out: where code and data lie in
 * memory differs between starts, and rounds of one start cannot see that.
 */
export type Verdict = 'holds' | 'fell' | 'undecided'

export function findingOf(figure: GatedFigure, tolerance: number, pairs: readonly Pair[]): Finding {
  const wall = readingOf(
    pairs.map((pair) => pair.wall),
    barOf(figure.wall, tolerance),
  )
  const cpu = readingOf(
    pairs.flatMap((pair) => pair.cpu ?? []),
    barOf(figure.cpu, tolerance),
  )
  const isLast = pairs.length >= ROUNDS_MAX
  return { wall, cpu, standing: standingOf(figure.witness, wall, cpu, isLast), pairs }
}

/** Whether more rounds of this start can change anything. */
export function isSettled({ standing, pairs }: Finding, roundsMin: number = ROUNDS_MIN): boolean {
  if (pairs.length >= ROUNDS_MAX) return true
  return pairs.length >= roundsMin && standing !== 'open'
}

/** Whether `first` must be heard again from fresh servers. */
export function needsConfirmation(first: Finding): boolean {
  return first.standing === 'falls'
}

/**
 * `second` is of fresh servers, and there where `needsConfirmation(first)`. Where it is not sure, what
 * both starts say together counts.
 */
export function verdictOf(
  figure: GatedFigure,
  tolerance: number,
  first: Finding,
  second: Finding | undefined,
): Verdict {
  if (first.standing === 'holds') return 'holds'
  if (first.standing === 'open' || second === undefined) return 'undecided'
  if (second.standing === 'falls') return 'fell'
  if (second.standing === 'holds') return 'undecided'
  const together = findingOf(figure, tolerance, [...first.pairs, ...second.pairs])
  return together.standing === 'falls' ? 'fell' : 'undecided'
}
