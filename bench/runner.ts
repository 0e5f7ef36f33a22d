// Runs one scenario on one kind of store: starts every subject fresh, interleaves their rounds so
// that a noisy minute hits all alike, and measures what each round cost the server.

import { SUBJECTS } from './catalogue.ts'
import { type Content, KIB } from './content.ts'
import type { Gauge, Round, Scenario, Server, StoreKind, SubjectName } from './contract.ts'
import type { Placement } from './machine.ts'
import type { BenchOptions } from './options.ts'
import { tlsFilesFor } from './tls-files.ts'
import { cpuSeconds, peakRssBytes } from './usage.ts'
import { freeBytes, makeDirectory, reclaim, remove, type StoreBases } from './workspace.ts'

export interface MeasuredRound extends Round {
  /** CPU time of the server's processes in this round; undefined for a gauge. */
  readonly cpuSeconds: number | undefined
}

export interface SubjectResult {
  readonly name: SubjectName
  readonly rounds: readonly (MeasuredRound | undefined)[]
  /** Over the life of the server, seeding included; undefined for a gauge. */
  readonly peakRssBytes: number | undefined
  /** Why this subject has no (or fewer) rounds. */
  readonly problem: string | undefined
}

export interface ScenarioResult {
  readonly name: string
  readonly asks: string
  readonly unit: Scenario['unit']
  readonly store: StoreKind
  readonly subjects: readonly SubjectResult[]
  readonly skipped: string | undefined
}

export interface RunContext {
  readonly options: BenchOptions
  readonly placement: Placement
  readonly bases: StoreBases
  readonly say: (line: string) => void
}

/** The problem of a subject whose program is not on this machine. */
export const NOT_INSTALLED = 'not installed'

/** A subject while its scenario runs. */
interface Entrant {
  readonly name: SubjectName
  readonly directory: string
  readonly rounds: (MeasuredRound | undefined)[]
  running: Server | Gauge | undefined
  problem: string | undefined
}

// Yardsticks of the load side need no long rounds.
const YARDSTICK_SECONDS = 1
// V8 is still compiling hot functions after one second of small pushes.
const WARM_UP_SECONDS = 2

function chooseSubjects(scenario: Scenario, options: BenchOptions): readonly SubjectName[] {
  const all: SubjectName[] = ['keelson', ...scenario.references]
  return options.subjects.length === 0 ? all : all.filter((it) => options.subjects.includes(it))
}

async function admit(
  name: SubjectName,
  scenario: Scenario,
  store: StoreKind,
  content: Content,
  run: RunContext,
): Promise<Entrant> {
  const directory = makeDirectory(run.bases, store) ?? ''
  const entrant: Entrant = { name, directory, rounds: [], running: undefined, problem: undefined }
  const subject = SUBJECTS[name]
  if (subject.version() === undefined) {
    entrant.problem = NOT_INSTALLED
    return entrant
  }
  try {
    const { serverCores } = run.placement
    const tls = await tlsFilesFor(scenario)
    entrant.running = await subject.start({ directory, serverCores, tls })
    if (entrant.running.kind === 'server') await entrant.running.load(content)
  } catch (cause) {
    await withdraw(entrant, cause)
  }
  return entrant
}

async function withdraw(entrant: Entrant, cause: unknown): Promise<void> {
  const message = cause instanceof Error ? cause.message : String(cause)
  entrant.problem = message.trim().replaceAll(/\s*\n\s*/g, ' | ')
  if (entrant.running?.kind === 'server') await entrant.running.stop()
  entrant.running = undefined
}

async function measure(
  entrant: Entrant,
  scenario: Scenario,
  content: Content,
  seconds: number,
  run: RunContext,
): Promise<MeasuredRound | undefined> {
  const { running } = entrant
  if (running === undefined) return undefined
  try {
    if (running.kind === 'gauge') {
      return { ...(await running.measure(YARDSTICK_SECONDS)), cpuSeconds: undefined }
    }
    if (scenario.writes && running.blobRoot !== undefined) await reclaim(running.blobRoot)
    const length = running.name === 'null-sink' ? YARDSTICK_SECONDS : seconds
    const { connections } = run.options
    const { loadCores } = run.placement
    const before = cpuSeconds(running.pid)
    const round = await scenario.round(running, content, {
      ...{ seconds: length, connections, loadCores },
    })
    return { ...round, cpuSeconds: cpuSeconds(running.pid) - before }
  } catch (cause) {
    await withdraw(entrant, cause)
    return undefined
  }
}

async function runRounds(
  entrants: readonly Entrant[],
  scenario: Scenario,
  content: Content,
  run: RunContext,
): Promise<void> {
  const { rounds, seconds } = run.options
  if (scenario.warmUp) {
    for (const entrant of entrants) await measure(entrant, scenario, content, WARM_UP_SECONDS, run)
  }
  for (let round = 0; round < Math.min(rounds, scenario.roundsMax); round++) {
    // Each round starts with another subject, so that none always follows the same neighbour.
    for (let place = 0; place < entrants.length; place++) {
      const entrant = entrants[(round + place) % entrants.length]
      if (entrant === undefined) continue
      const measured = await measure(entrant, scenario, content, seconds, run)
      entrant.rounds[round] = measured
      if (measured !== undefined) {
        const cpu = measured.cpuSeconds?.toFixed(2) ?? '-'
        const figure = `${Math.round(measured.figure)} ${scenario.unit}`
        run.say(`  round ${round + 1} ${entrant.name.padEnd(16)} ${figure}, ${cpu} CPU-s`)
      }
    }
  }
}

async function dismiss(entrant: Entrant): Promise<SubjectResult> {
  const { name, rounds, running, problem, directory } = entrant
  const server = running?.kind === 'server' ? running : undefined
  const peak = server === undefined ? undefined : peakRssBytes(server.pid)
  await server?.stop()
  remove(directory)
  return { name, rounds, peakRssBytes: peak, problem }
}

/** Run `scenario`; what cannot run is reported in the result, not thrown. */
export async function runScenario(
  scenario: Scenario,
  store: StoreKind,
  run: RunContext,
): Promise<ScenarioResult> {
  const { name, asks, unit } = scenario
  run.say(`${name} (${store})`)
  const names = chooseSubjects(scenario, run.options)
  const base = run.bases[store]
  const needed = scenario.storeBytesMax * names.length
  let skipped: string | undefined
  if (base === undefined) skipped = `no file system for a store in ${store}`
  else if (freeBytes(base) < needed) {
    skipped = `needs ${Math.ceil(needed / KIB ** 3)} GiB free for stores (${store})`
  }
  if (skipped !== undefined) return { name, asks, unit, store, subjects: [], skipped }

  const content = scenario.content()
  const entrants: Entrant[] = []
  for (const subject of names) entrants.push(await admit(subject, scenario, store, content, run))
  await runRounds(entrants, scenario, content, run)
  const subjects: SubjectResult[] = []
  for (const entrant of entrants) {
    if (entrant.problem !== undefined) run.say(`  ${entrant.name}: ${entrant.problem}`)
    subjects.push(await dismiss(entrant))
  }
  return { name, asks, unit, store, subjects, skipped }
}
