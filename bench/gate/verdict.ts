// What the gate says of every figure, and which exit code that makes.

import { figureName, type GatedFigure } from './floors.ts'
import { type Finding, type Verdict, verdictOf } from './judge.ts'
import type { Group, Outcome } from './session.ts'
import { isProblem, type Problem } from './session.ts'

/** All that is known of one figure. `final` is the finding that the verdict was made of. */
export type Judged =
  | {
      readonly figure: GatedFigure
      readonly verdict: Verdict
      readonly first: Finding
      readonly second: Finding | undefined
      readonly final: Finding
    }
  | { readonly figure: GatedFigure; readonly verdict: 'not judged'; readonly problem: Problem }

export function judgedOf(
  figure: GatedFigure,
  tolerance: number,
  first: Outcome | undefined,
  second: Outcome | undefined,
): Judged {
  if (first === undefined || isProblem(first)) {
    const problem: Problem = first ?? { kind: 'failed', text: 'never ran' }
    return { figure, verdict: 'not judged', problem }
  }
  // Servers that fell over at the second start leave the fall unconfirmed, and must not hide it.
  if (second !== undefined && isProblem(second)) {
    return { figure, verdict: 'not judged', problem: second }
  }
  const verdict = verdictOf(figure, tolerance, first, second)
  return { figure, verdict, first, second, final: second ?? first }
}

/** 1: a figure fell. 2: one could not be judged that had to be. 0: neither. */
export function exitCodeOf(judged: readonly Judged[], requireAll: boolean): 0 | 1 | 2 {
  if (judged.some(({ verdict }) => verdict === 'fell')) return 1
  const mattered = judged.some(
    (it) => it.verdict === 'not judged' && (requireAll || it.problem.kind === 'failed'),
  )
  return mattered ? 2 : 0
}

/** Figures of one scenario and store share their rounds of ours. In the order of the file. */
export function groupsOf(
  figures: readonly GatedFigure[],
  scenarioOf: (figure: GatedFigure) => Group['scenario'],
): readonly Group[] {
  const keyOf = ({ scenario, store }: GatedFigure): string => `${scenario} ${store}`
  const keys = [...new Set(figures.map(keyOf))]
  return keys.flatMap((key) => {
    const members = figures.filter((figure) => keyOf(figure) === key)
    const [first] = members
    if (first === undefined) return []
    return [{ scenario: scenarioOf(first), store: first.store, figures: members }]
  })
}

/** The outcomes of `figure` among those of sessions, by name. */
export function outcomeOf(
  outcomes: ReadonlyMap<string, Outcome> | undefined,
  figure: GatedFigure,
): Outcome | undefined {
  return outcomes?.get(figureName(figure))
}
