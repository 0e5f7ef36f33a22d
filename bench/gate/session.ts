// One start of the servers of a scenario: interleaved rounds until every figure is settled.

import { findProgram } from '../children.ts'
import type { Content } from '../content.ts'
import type { ReferenceName, Scenario, StoreKind, SubjectName } from '../contract.ts'
import { admit, dismiss, type Entrant, measure, NOT_INSTALLED, type RunContext } from '../runner.ts'
import { freeBytes } from '../workspace.ts'
import { type Pair, pairOf } from './figure.ts'
import { figureName, type GatedFigure } from './floors.ts'
import { type Finding, findingOf, isSettled } from './judge.ts'

/** The figures that come from the same rounds of ours. */
export interface Group {
  readonly scenario: Scenario
  readonly store: StoreKind
  readonly figures: readonly GatedFigure[]
}

export interface SessionOptions {
  readonly tolerance: number
  /** The fewest rounds of a figure. */
  readonly roundsMin: number
}

/** Why a figure has no finding. `absent`: this machine does not have what it takes. */
export interface Problem {
  readonly kind: 'absent' | 'failed'
  readonly text: string
}

export type Outcome = Finding | Problem

export function isProblem(outcome: Outcome): outcome is Problem {
  return 'kind' in outcome
}

// Long enough for a steady ratio, short enough that a noisy moment hits both sides of a pair.
const ROUND_SECONDS = 1
// V8 is still compiling hot functions after one second of small pushes.
const WARM_UP_SECONDS = { reads: 1, writes: 2 } as const

/** What this machine lacks that the figures of `group` would need to mean anything. */
function hindranceOf(group: Group, subjects: number, run: RunContext): Problem | undefined {
  const { scenario, store } = group
  if (run.placement.serverCores === undefined) return { kind: 'absent', text: run.placement.note }
  // What drives requests without it is slower than the servers, so that all of them look alike.
  if (scenario.unit === 'req/s' && findProgram('wrk') === undefined) {
    return { kind: 'absent', text: `wrk: ${NOT_INSTALLED}` }
  }
  const base = run.bases[store]
  if (base === undefined) return { kind: 'absent', text: `no file system for a store in ${store}` }
  const needed = scenario.storeBytesMax * subjects
  if (freeBytes(base) >= needed) return undefined
  return { kind: 'failed', text: `needs ${Math.ceil(needed / 1e9)} GB free for stores (${store})` }
}

interface Bout {
  readonly group: Group
  readonly content: Content
  readonly run: RunContext
  readonly options: SessionOptions
  readonly entrants: ReadonlyMap<SubjectName, Entrant>
  readonly pairs: ReadonlyMap<ReferenceName, Pair[]>
}

function findingIn(bout: Bout, figure: GatedFigure): Finding {
  return findingOf(figure, bout.options.tolerance, bout.pairs.get(figure.reference) ?? [])
}

/** The entrants of the next round: ours and the references that are not settled, by turns. */
function lineUp(bout: Bout, round: number): readonly Entrant[] {
  const { entrants, group, options } = bout
  const ours = entrants.get('keelson')
  if (ours === undefined || ours.problem !== undefined) return []
  const open = group.figures.flatMap((figure) => {
    const entrant = entrants.get(figure.reference)
    if (entrant === undefined || entrant.problem !== undefined) return []
    return isSettled(findingIn(bout, figure), options.roundsMin) ? [] : [entrant]
  })
  if (open.length === 0) return []
  const all = [ours, ...open]
  return all.map((_, place) => all[(round + place) % all.length] ?? ours)
}

async function playRound(bout: Bout, lined: readonly Entrant[]): Promise<void> {
  const { group, content, run } = bout
  const measured = new Map<SubjectName, Awaited<ReturnType<typeof measure>>>()
  for (const entrant of lined) {
    measured.set(entrant.name, await measure(entrant, group.scenario, content, ROUND_SECONDS, run))
  }
  const ours = measured.get('keelson')
  if (ours === undefined) return
  for (const [reference, pairs] of bout.pairs) {
    const its = measured.get(reference)
    const pair = its === undefined ? undefined : pairOf(ours, its, group.scenario.unit)
    if (pair !== undefined) pairs.push(pair)
  }
}

function outcomeIn(bout: Bout, figure: GatedFigure): Outcome {
  for (const name of ['keelson', figure.reference] as const) {
    const text = bout.entrants.get(name)?.problem
    if (text === undefined) continue
    return { kind: text === NOT_INSTALLED ? 'absent' : 'failed', text: `${name}: ${text}` }
  }
  return findingIn(bout, figure)
}

async function play(bout: Bout): Promise<void> {
  const { group, content, run, entrants } = bout
  if (group.scenario.warmUp && lineUp(bout, 0).length > 0) {
    const seconds = WARM_UP_SECONDS[group.scenario.writes ? 'writes' : 'reads']
    for (const entrant of entrants.values()) {
      await measure(entrant, group.scenario, content, seconds, run)
    }
  }
  for (let round = 0; ; round++) {
    const lined = lineUp(bout, round)
    if (lined.length === 0) return
    await playRound(bout, lined)
  }
}

/** Start everyone, play until all is settled, stop everyone. One outcome for each figure, by name. */
export async function runSession(
  group: Group,
  run: RunContext,
  options: SessionOptions,
): Promise<ReadonlyMap<string, Outcome>> {
  const references = [...new Set(group.figures.map(({ reference }) => reference))]
  const problem = hindranceOf(group, references.length + 1, run)
  if (problem !== undefined) {
    return new Map(group.figures.map((figure) => [figureName(figure), problem]))
  }
  const content = group.scenario.content()
  const entrants = new Map<SubjectName, Entrant>()
  const pairs = new Map(references.map((name) => [name, [] as Pair[]]))
  const bout: Bout = { group, content, run, options, entrants, pairs }
  try {
    for (const name of ['keelson', ...references] as const) {
      entrants.set(name, await admit(name, group.scenario, group.store, content, run))
    }
    await play(bout)
    return new Map(group.figures.map((figure) => [figureName(figure), outcomeIn(bout, figure)]))
  } finally {
    for (const entrant of entrants.values()) await dismiss(entrant)
  }
}
