// What does one setting do? Compares settings of one build on one scenario: a server for each, their rounds
// interleaved. tuning.md quotes what it prints and records.
//
// node dist/bench/micro/tuning.js SCENARIO SETTING... [--store memory] [--rounds N] [--seconds N]
//   [--unpinned] [--record FILE]
// The first setting is what the others are compared with.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { SCENARIOS } from '../catalogue.ts'
import { superviseChildren } from '../children.ts'
import type { Scenario, Server, StoreKind } from '../contract.ts'
import { keelsonProgram, startKeelson } from '../launch.ts'
import { choosePlacement, describeMachine, describeRevision, moveToLoadCore } from '../machine.ts'
import { startContextOf } from '../start-context.ts'
import { median } from '../statistics.ts'
import { cpuSeconds } from '../usage.ts'
import { findBases, makeDirectory, reclaim } from '../workspace.ts'
import { coldBlobs } from './cold-blobs.ts'
import { SETTINGS } from './tuning-settings.ts'

interface Entrant {
  readonly name: string
  readonly server: Server
  readonly figures: number[]
  /** Of the server, for each request that the round made. Units: µs. */
  readonly costs: number[]
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    store: { type: 'string', default: 'disk' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '1' },
    unpinned: { type: 'boolean', default: false },
    record: { type: 'string' },
  },
})
const store: StoreKind = values.store === 'memory' ? 'memory' : 'disk'
const bases = findBases(undefined)
const placement = values.unpinned
  ? { serverCores: undefined, loadCores: undefined, note: 'not pinned' }
  : choosePlacement()

function scenarioNamed(name: string | undefined): Scenario {
  const scenario = [...SCENARIOS, coldBlobs].find((each) => each.name === name)
  if (scenario === undefined) throw new Error(`there is no scenario ${name}`)
  return scenario
}

function commandFor(name: string, directory: string): readonly string[] {
  const setting = SETTINGS[name]
  if (setting === undefined) throw new Error(`there is no setting ${name}`)
  const { env = {}, node = [], toml = '' } = setting
  const file = join(directory, 'setting.toml')
  writeFileSync(file, toml)
  const variables = Object.entries(env).map(([key, value]) => `${key}=${value}`)
  const program = [process.execPath, ...node, keelsonProgram()]
  return ['env', ...variables, ...program, ...(toml === '' ? [] : ['-c', file])]
}

async function admit(name: string, scenario: Scenario): Promise<Entrant> {
  const directory = makeDirectory(bases, store)
  if (directory === undefined) throw new Error(`there is no file system for ${store}`)
  mkdirSync(directory, { recursive: true })
  const context = await startContextOf(scenario, placement, directory)
  const server = await startKeelson(context, commandFor(name, directory))
  await server.load(contentOf(scenario))
  return { name, server, figures: [], costs: [] }
}

async function measure({ server, figures, costs }: Entrant, scenario: Scenario): Promise<void> {
  if (scenario.writes && server.blobRoot !== undefined) await reclaim(server.blobRoot)
  const before = cpuSeconds(server.pid)
  const { loadCores } = placement
  const context = { seconds: Number(values.seconds), connections: 32, loadCores }
  const { figure, requests } = await scenario.round(server, contentOf(scenario), context)
  figures.push(figure)
  costs.push(((cpuSeconds(server.pid) - before) * 1e6) / requests)
}

const contents = new Map<Scenario, ReturnType<Scenario['content']>>()

/** Made once, so that all servers hold, and all rounds ask for, the same. */
function contentOf(scenario: Scenario): ReturnType<Scenario['content']> {
  const content = contents.get(scenario) ?? scenario.content()
  contents.set(scenario, content)
  return content
}

async function main(): Promise<void> {
  superviseChildren()
  moveToLoadCore(placement)
  const [scenarioName, ...names] = positionals
  const scenario = scenarioNamed(scenarioName)
  contentOf(scenario)
  const machine = describeMachine(bases)
  const entrants: Entrant[] = []
  for (const name of names) {
    entrants.push(await admit(name, { ...scenario, content: () => contentOf(scenario) }))
  }
  for (let round = 0; round <= Number(values.rounds); round += 1) {
    for (let place = 0; place < entrants.length; place += 1) {
      // Each round starts with another one, so that none always follows the same neighbour.
      const entrant = entrants[(round + place) % entrants.length]
      if (entrant !== undefined) await measure(entrant, scenario)
    }
    // The first warms up.
    if (round === 0) for (const each of entrants) each.figures.length = each.costs.length = 0
  }
  const results = entrants.map((entrant) => summary(entrant, entrants[0]))
  for (const { setting, median: figure, ratio, cpuMicroseconds } of results) {
    const cpu = `${cpuMicroseconds} µs of CPU each`
    process.stdout.write(`${setting.padEnd(16)} ${figure} ${scenario.unit}, ${ratio} ×, ${cpu}\n`)
  }
  for (const { server } of entrants) await server.stop()
  const { name, asks, unit } = scenario
  const run = { rounds: Number(values.rounds), seconds: Number(values.seconds), store }
  record({
    name,
    asks,
    unit,
    ...run,
    note: placement.note,
    ...describeRevision(),
    machine,
    results,
  })
}

interface Summary {
  readonly setting: string
  readonly median: number
  /** The median of the rounds' own ratios to the first setting. */
  readonly ratio: number
  readonly cpuMicroseconds: number
  readonly figures: readonly number[]
}

function summary({ name, figures, costs }: Entrant, reference: Entrant | undefined): Summary {
  const ratios = figures.map((figure, round) => figure / (reference?.figures[round] ?? Number.NaN))
  return {
    setting: name,
    median: Number(median(figures).toPrecision(4)),
    ratio: Number(median(ratios).toFixed(2)),
    cpuMicroseconds: Number(median(costs).toPrecision(3)),
    figures: figures.map((figure) => Number(figure.toPrecision(4))),
  }
}

/** Adds to the list in the file, or begins one. */
function record(entry: Readonly<Record<string, unknown>>): void {
  const file = values.record
  if (file === undefined) return
  const known: unknown = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : []
  const list = Array.isArray(known) ? known : []
  writeFileSync(file, `${JSON.stringify([...list, entry], undefined, 1)}\n`)
}

await main()
