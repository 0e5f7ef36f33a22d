// Runs one scenario against Keelson under `--cpu-prof` and prints where each of its threads spent
// the time of the load, start-up and warm-up left out.

import { mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { SCENARIOS } from './catalogue.ts'
import { superviseChildren } from './children.ts'
import type { RoundContext, Scenario, StoreKind } from './contract.ts'
import { keelsonProgram, startKeelson } from './launch.ts'
import { choosePlacement, moveToLoadCore, type Placement } from './machine.ts'
import { type CpuProfile, summarizeThread, timesByFrame } from './profile-summary.ts'
import { cpuSeconds } from './usage.ts'
import { findBases, makeDirectory } from './workspace.ts'

const HELP = `node dist/bench/profile.js [flags] SCENARIO
  --seconds N    length of the profiled load (5)
  --store KIND   disk or memory (disk)
  --top N        frames per table (25)
Scenarios: ${SCENARIOS.map(({ name }) => name).join(', ')}
The profiles stay in a temporary directory that is named at the end; Chromium's developer tools
open them.
`

const SAMPLE_US = 250

interface ProfiledLoad {
  readonly fromUs: number
  readonly toUs: number
  readonly line: string
}

const nowUs = (): number => Number(process.hrtime.bigint() / 1000n)

async function load(
  scenario: Scenario,
  directory: string,
  profiles: string,
  placement: Placement,
  seconds: number,
): Promise<ProfiledLoad> {
  const flags = ['--cpu-prof', `--cpu-prof-dir=${profiles}`, `--cpu-prof-interval=${SAMPLE_US}`]
  const { serverCores, loadCores } = placement
  const command = [process.execPath, ...flags, keelsonProgram()]
  const server = await startKeelson({ directory, serverCores }, command)
  const content = scenario.content()
  await server.load(content)
  const context: RoundContext = { seconds, connections: 32, loadCores }
  if (scenario.warmUp) await scenario.round(server, content, { ...context, seconds: 1 })
  const fromUs = nowUs()
  const cpuBefore = cpuSeconds(server.pid)
  const round = await scenario.round(server, content, context)
  const cpu = cpuSeconds(server.pid) - cpuBefore
  const toUs = nowUs()
  await server.stop()
  const figure = `${Math.round(round.figure)} ${scenario.unit} while profiled`
  return { fromUs, toUs, line: `${scenario.name}: ${figure}, ${cpu.toFixed(2)} CPU-s` }
}

function threadOf(file: string): number {
  // CPU.<date>.<time>.<pid>.<thread>.<sequence>.cpuprofile; the main thread is 0.
  return Number(file.split('.')[4])
}

async function profile(scenario: Scenario, store: StoreKind, seconds: number, top: number) {
  const placement = choosePlacement()
  moveToLoadCore(placement)
  const directory = makeDirectory(findBases(undefined), store)
  if (directory === undefined) throw new Error(`no file system for a store in ${store}`)
  const profiles = mkdtempSync(join(tmpdir(), 'keelson-profile-'))
  const { fromUs, toUs, line } = await load(scenario, directory, profiles, placement, seconds)
  process.stdout.write(`${line}\n\n`)
  const files = readdirSync(profiles).sort((a, b) => threadOf(a) - threadOf(b))
  for (const file of files) {
    const thread = threadOf(file)
    const parsed = JSON.parse(readFileSync(join(profiles, file), 'utf8')) as CpuProfile
    const title = thread === 0 ? 'main thread' : `worker thread ${thread}`
    const times = timesByFrame(parsed, fromUs, toUs)
    process.stdout.write(`${summarizeThread(title, times, top)}\n`)
  }
  process.stdout.write(`${files.length} profiles in ${profiles}\n`)
}

superviseChildren()
try {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seconds: { type: 'string', default: '5' },
      store: { type: 'string', default: 'disk' },
      top: { type: 'string', default: '25' },
    },
  })
  const scenario = SCENARIOS.find(({ name }) => name === positionals[0])
  if (scenario === undefined) process.stdout.write(HELP)
  else {
    const store = values.store === 'memory' ? 'memory' : 'disk'
    await profile(scenario, store, Number(values.seconds), Number(values.top))
  }
} catch (cause) {
  process.stderr.write(`${cause instanceof Error ? cause.message : cause}\n`)
  process.exitCode = 2
}
