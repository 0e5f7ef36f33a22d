// Runs one scenario on one kind of store: starts every subject fresh, interleaves their rounds so
// that a noisy minute hits all alike, and measures what each round cost the server.

import { SUBJECTS } from './catalogue.ts'
import { type Content, KIB } from './content.ts'
import type {
  Cores,
  Gauge,
  Guard,
  Round,
  Scenario,
  Server,
  StoreKind,
  SubjectName,
} from './contract.ts'
import { bytesToFill, fillFreeMemory, hostTakesMemoryBack } from './host-memory.ts'
import type { Placement } from './machine.ts'
import type { BenchOptions } from './options.ts'
import { type RuntimeFlags, runtimeFlags } from './runtime-flags.ts'
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
  /** Of servers that are programs of Node. */
  readonly flags?: RuntimeFlags
}

export interface ScenarioResult {
  readonly name: string
  readonly asks: string
  readonly unit: Scenario['unit']
  readonly store: StoreKind
  readonly subjects: readonly SubjectResult[]
  readonly skipped: string | undefined
  /** How Keelson ran, beyond its defaults. */
  readonly setUp?: Readonly<{ guard: Guard; cores: Cores; processes: number; settings: string }>
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
export interface Entrant {
  readonly name: SubjectName
  readonly directory: string
  readonly rounds: (MeasuredRound | undefined)[]
  running: Server | Gauge | undefined
  problem: string | undefined
  flags?: RuntimeFlags | undefined
}

// Yardsticks of the load side need no long rounds.
const YARDSTICK_SECONDS = 1
// In the first seconds of small pushes V8 spends a quarter of its time on compiling.
const WARM_UP_SECONDS = { reads: 2, writes: 5 } as const

function chooseSubjects(scenario: Scenario, options: BenchOptions): readonly SubjectName[] {
  const all: SubjectName[] = ['keelson', ...scenario.references]
  return options.subjects.length === 0 ? all : all.filter((it) => options.subjects.includes(it))
}

/** Start a subject and load it; what fails is its `problem`. */
export async function admit(
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
    const { cores = 'one', guard = 'open', processes = 1, settings = '' } = scenario
    const serverCores = cores === 'one' ? run.placement.serverCores : undefined
    const tls = await tlsFilesFor(scenario)
    const context = { directory, serverCores, tls, guard, processes, settings }
    entrant.running = await subject.start(context)
    if (entrant.running.kind === 'server') {
      entrant.flags = runtimeFlags(entrant.running.pid)
      await entrant.running.load(content)
    }
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

/** One round of `seconds`; undefined, and a `problem`, where it fails. */
export async function measure(
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
    if (scenario.writes && running.blobRoot !== undefined)
      await reclaim(running.blobRoot, running.isBlob)
    const length = running.name === 'null-sink' ? YARDSTICK_SECONDS : seconds
    if (scenario.writes && hostTakesMemoryBack()) {
      fillFreeMemory(bytesToFill(length), entrant.directory, run.placement.loadCores)
    }
    const { connections } = run.options
    const loadCores = scenario.cores === 'all' ? undefined : run.placement.loadCores
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
    const warmUpSeconds = WARM_UP_SECONDS[scenario.writes ? 'writes' : 'reads']
    for (const entrant of entrants) await measure(entrant, scenario, content, warmUpSeconds, run)
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

/** Stop the subject and remove what it stored. */
export async function dismiss(entrant: Entrant): Promise<SubjectResult> {
  const { name, rounds, running, problem, directory, flags } = entrant
  const server = running?.kind === 'server' ? running : undefined
  const peak = server === undefined ? undefined : peakRssBytes(server.pid)
  await server?.stop()
  remove(directory)
  return { name, rounds, peakRssBytes: peak, problem, ...(flags === undefined ? {} : { flags }) }
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
  const { guard = 'open', cores = 'one', processes = 1, settings = '' } = scenario
  const setUp = { guard, cores, processes, settings }
  return { name, asks, unit, store, subjects, skipped, setUp }
}
