// Runs one scenario against Keelson under V8's profiler or Linux perf and prints where each of its
// threads spent the time of the load, start-up and warm-up left out.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { SCENARIOS } from './catalogue.ts'
import { superviseChildren } from './children.ts'
import type { Content } from './content.ts'
import type { RoundContext, Scenario, Server, StoreKind } from './contract.ts'
import { keelsonProgram, startKeelson } from './launch.ts'
import { choosePlacement, moveToLoadCore } from './machine.ts'
import { recordPerf, summarizePerf } from './perf-summary.ts'
import { type CpuProfile, summarizeThread, timesByFrame } from './profile-summary.ts'
import { startContextOf } from './start-context.ts'
import { cpuSeconds, threadCpuSeconds } from './usage.ts'
import { findBases, makeDirectory } from './workspace.ts'

const HELP = `node dist/bench/profile.js [flags] SCENARIO
  --seconds N    length of the profiled load (5)
  --store KIND   disk or memory (disk)
  --top N        frames per table (25)
  --perf         sample with Linux perf, which sees the kernel and native code, too
Scenarios: ${SCENARIOS.map(({ name }) => name).join(', ')}
The profiles stay in a temporary directory that is named at the end.
`

const SAMPLE_US = 250

interface ProfileOptions {
  readonly scenario: Scenario
  readonly store: StoreKind
  readonly seconds: number
  readonly top: number
  readonly perf: boolean
}

interface Session {
  readonly server: Server
  readonly content: Content
  readonly context: RoundContext
  /** Where the profiles go. */
  readonly profiles: string
}

const nowUs = (): number => Number(process.hrtime.bigint() / 1000n)

async function open(options: ProfileOptions): Promise<Session> {
  const { scenario, store, seconds, perf } = options
  const placement = choosePlacement()
  moveToLoadCore(placement)
  const directory = makeDirectory(findBases(undefined), store)
  if (directory === undefined) throw new Error(`no file system for a store in ${store}`)
  const profiles = mkdtempSync(join(tmpdir(), 'keelson-profile-'))
  // perf needs the map of compiled functions; V8's profiler writes its file at the exit.
  const flags = perf
    ? ['--perf-basic-prof', '--interpreted-frames-native-stack']
    : ['--cpu-prof', `--cpu-prof-dir=${profiles}`, `--cpu-prof-interval=${SAMPLE_US}`]
  const loadCores = scenario.cores === 'all' ? undefined : placement.loadCores
  const command = [process.execPath, ...flags, keelsonProgram()]
  const server = await startKeelson(await startContextOf(scenario, placement, directory), command)
  const content = scenario.content()
  await server.load(content)
  const context: RoundContext = { seconds, connections: 32, loadCores }
  if (scenario.warmUp) await scenario.round(server, content, { ...context, seconds: 1 })
  return { server, content, context, profiles }
}

/** The load itself; says what was reached and which threads paid for it. */
async function load({ scenario }: ProfileOptions, session: Session): Promise<string> {
  const { server, content, context } = session
  const threadsBefore = threadCpuSeconds(server.pid)
  const before = cpuSeconds(server.pid)
  const round = await scenario.round(server, content, context)
  const cpu = cpuSeconds(server.pid) - before
  const threads = [...threadCpuSeconds(server.pid)]
    .map(([tid, seconds]) => ({ tid, seconds: seconds - (threadsBefore.get(tid) ?? 0) }))
    .filter(({ seconds }) => seconds > 0)
    .sort((a, b) => b.seconds - a.seconds)
    .map(({ tid, seconds }) => {
      return `${tid === server.pid ? 'main' : tid} ${seconds.toFixed(2)}`
    })
  return (
    `${scenario.name}: ${Math.round(round.figure)} ${scenario.unit} while profiled, ` +
    `${cpu.toFixed(2)} CPU-s in ${round.seconds.toFixed(2)} s\n` +
    `CPU-s by thread: ${threads.join(', ')}\n\n`
  )
}

async function profileWithV8(options: ProfileOptions): Promise<string> {
  const session = await open(options)
  const fromUs = nowUs()
  const headline = await load(options, session)
  const toUs = nowUs()
  await session.server.stop()
  // CPU.<date>.<time>.<pid>.<thread>.<sequence>.cpuprofile; the main thread is 0.
  const threadOf = (file: string): number => Number(file.split('.')[4])
  const files = readdirSync(session.profiles).sort((a, b) => threadOf(a) - threadOf(b))
  const summaries = files.map((file) => {
    const thread = threadOf(file)
    const parsed = JSON.parse(readFileSync(join(session.profiles, file), 'utf8')) as CpuProfile
    const title = thread === 0 ? 'main thread' : `worker thread ${thread}`
    return summarizeThread(title, timesByFrame(parsed, fromUs, toUs), options.top)
  })
  const idle = '(idle) is waiting or native code outside any JavaScript call: see --perf.\n'
  return `${headline}${summaries.join('\n')}\n${idle}${session.profiles}\n`
}

async function profileWithPerf(options: ProfileOptions): Promise<string> {
  const session = await open(options)
  const { server, profiles } = session
  const file = join(profiles, 'perf.data')
  const [headline] = await Promise.all([
    load(options, session),
    recordPerf(server.pid, file, options.seconds),
  ])
  await server.stop()
  const summary = await summarizePerf(server.pid, file, options.top)
  rmSync(join('/tmp', `perf-${server.pid}.map`), { force: true })
  return `${headline}${summary}\n${profiles}\n`
}

function parseProfileOptions(): ProfileOptions | undefined {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seconds: { type: 'string', default: '5' },
      store: { type: 'string', default: 'disk' },
      top: { type: 'string', default: '25' },
      perf: { type: 'boolean', default: false },
    },
  })
  const scenario = SCENARIOS.find(({ name }) => name === positionals[0])
  if (scenario === undefined) return undefined
  return {
    scenario,
    store: values.store === 'memory' ? 'memory' : 'disk',
    seconds: Number(values.seconds),
    top: Number(values.top),
    perf: values.perf,
  }
}

superviseChildren()
try {
  const options = parseProfileOptions()
  if (options === undefined) process.stdout.write(HELP)
  else {
    const profile = options.perf ? profileWithPerf : profileWithV8
    process.stdout.write(await profile(options))
  }
} catch (cause) {
  process.stderr.write(`${cause instanceof Error ? cause.message : cause}\n`)
  process.exitCode = 2
}
