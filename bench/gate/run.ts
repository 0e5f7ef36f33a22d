// `npm run bench -- --gate`: every gated figure judged, a table, one JSON, and the exit code.

import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { findProgram } from '../children.ts'
import { describeMachine, describeRevision, type Machine, type Revision } from '../machine.ts'
import type { BenchOptions } from '../options.ts'
import { writeResult } from '../report/record.ts'
import type { RunContext } from '../runner.ts'
import { accept } from './accept.ts'
import {
  type Floors,
  figureName,
  type GatedFigure,
  readFloors,
  renderFloors,
  scenarioOf,
} from './floors.ts'
import { needsConfirmation, ROUNDS_MIN } from './judge.ts'
import type { GateOptions } from './options.ts'
import { type Group, isProblem, type Outcome, runSession, type SessionOptions } from './session.ts'
import { gateTable } from './table.ts'
import { exitCodeOf, groupsOf, type Judged, judgedOf } from './verdict.ts'

/** What a gate leaves in bench/result; no part of the history. */
export interface GateRecord {
  readonly format: 1
  /** ISO 8601, UTC, when the gate began. */
  readonly date: string
  readonly seconds: number
  readonly revision: Revision
  readonly machine: Machine
  readonly tolerance: number
  readonly judged: readonly Judged[]
  readonly exitCode: 0 | 1 | 2
}

type Outcomes = ReadonlyMap<string, Outcome>

function chosenFigures(floors: Floors, { only, subjects, stores }: BenchOptions): GatedFigure[] {
  return floors.figures.filter(
    ({ scenario, reference, store }) =>
      (only.length === 0 || only.includes(scenario)) &&
      (subjects.length === 0 || subjects.includes(reference)) &&
      (stores.length === 0 || stores.includes(store)),
  )
}

/** A server or a load that stumbled gets a second chance; what is wrong stays wrong. */
async function runSteadily(
  group: Group,
  run: RunContext,
  options: SessionOptions,
): Promise<Outcomes> {
  const outcomes = await runSession(group, run, options)
  const stumbled = [...outcomes.values()].some((it) => isProblem(it) && it.kind === 'failed')
  if (!stumbled) return outcomes
  run.say(`${group.scenario.name}: once more, since something failed`)
  return runSession(group, run, options)
}

async function judgeGroup(
  group: Group,
  run: RunContext,
  options: SessionOptions,
): Promise<readonly Judged[]> {
  run.say(`${group.scenario.name} (${group.store})`)
  const first = await runSteadily(group, run, options)
  const doubted = group.figures.filter((figure) => {
    const outcome = first.get(figureName(figure))
    return outcome !== undefined && !isProblem(outcome) && needsConfirmation(outcome)
  })
  let second: Outcomes = new Map()
  if (doubted.length > 0) {
    run.say(`${group.scenario.name}: below its bar, so once more with fresh servers`)
    second = await runSteadily({ ...group, figures: doubted }, run, options)
  }
  return group.figures.map((figure) => {
    const name = figureName(figure)
    return judgedOf(figure, options.tolerance, first.get(name), second.get(name))
  })
}

/** Why instructions are no third witness here. */
function instructionNote(): string {
  if (findProgram('perf') === undefined) return 'instructions: not counted, perf is not installed'
  const args = ['stat', '-x', ',', '-e', 'instructions:u', 'true']
  const { stderr, status } = spawnSync('perf', args, { encoding: 'utf8' })
  const counts = status === 0 && /^\d+,/m.test(stderr)
  return `instructions: ${counts ? 'countable here, but not judged' : 'not counted, this host has no such counters'}`
}

function acceptInto(gate: GateOptions, floors: Floors, judged: readonly Judged[]): string {
  const { commit, dirty } = describeRevision()
  const taken = `${new Date().toISOString().slice(0, 10)}, ${commit}${dirty ? ' and changes' : ''}`
  const moved = accept(floors, judged, { taken, reason: gate.reason })
  writeFileSync(gate.floorsFile, renderFloors(moved))
  const count = moved.figures.filter((figure, index) => figure !== floors.figures[index]).length
  return `${gate.floorsFile}: ${count} of ${floors.figures.length} figures moved\n`
}

/** Judge what `options` choose. Errors: Error where floors.json is wrong or nothing is chosen. */
export async function runGate(
  options: BenchOptions,
  gate: GateOptions,
  run: RunContext,
): Promise<0 | 1 | 2> {
  const began = performance.now()
  const date = new Date().toISOString()
  const floors = readFloors(gate.floorsFile)
  const figures = chosenFigures(floors, options)
  if (figures.length === 0) throw new Error(`${gate.floorsFile} has no such figure`)
  // What is accepted must be narrow, not merely clear.
  const roundsMin = gate.accept ? Math.max(ROUNDS_MIN, options.rounds) : ROUNDS_MIN
  const session: SessionOptions = { tolerance: floors.tolerance, roundsMin }
  const judged: Judged[] = []
  for (const group of groupsOf(figures, scenarioOf)) {
    judged.push(...(await judgeGroup(group, run, session)))
  }
  const exitCode = exitCodeOf(judged, gate.requireAll)
  const seconds = Math.round((performance.now() - began) / 1000)
  const record: GateRecord = {
    ...{ format: 1, date, seconds, revision: describeRevision() },
    ...{ machine: describeMachine(run.bases), tolerance: floors.tolerance, judged, exitCode },
  }
  process.stdout.write(`\n${gateTable(judged)}${instructionNote()}\n${run.placement.note}\n`)
  if (gate.accept) process.stdout.write(acceptInto(gate, floors, judged))
  const file = writeResult('gate-latest.json', `${JSON.stringify(record, undefined, 1)}\n`)
  process.stdout.write(`${seconds} s; ${file}\n`)
  return exitCode
}
