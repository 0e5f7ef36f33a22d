// Does the cost of a request grow with what is stored or configured?
//
// node dist/bench/scale/growth.js [--dimension NAME]… [--work NAME]… [--rounds N] [--ms N] [--record FILE]
// For each dimension three servers, ten times apart in size, on the first core; the same requests from the
// second, rounds interleaved. Prints µs of the server's CPU for each unit of work, the exponent of its growth
// and what follows from it. Ends with code 1 where something grows.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { randomFrom } from '../../test/support/dice.ts'
import { type Server, startServer } from '../../test/support/server.ts'
import { superviseChildren } from '../children.ts'
import { choosePlacement, describeMachine, describeRevision, moveToLoadCore } from '../machine.ts'
import { median } from '../statistics.ts'
import { findBases, makeDirectory } from '../workspace.ts'
import { closeLanes, costOf, type Lanes, openLanes } from './ask-many.ts'
import { DIMENSIONS, type Dimension, type Grown } from './dimension.ts'
import { fill } from './fill.ts'
import { exponentOf, type Growth, growthOf } from './slope.ts'
import { WORK, type WorkKind } from './work.ts'

interface Entrant {
  readonly grown: Grown
  readonly server: Server
  readonly lanes: Lanes
}

interface Row {
  readonly work: string
  /** µs of CPU for each unit, at each size. */
  readonly costs: readonly number[]
  readonly exponent: number
  readonly growth: Growth
}

const atOnce = 16

const { values } = parseArgs({
  options: {
    dimension: { type: 'string', multiple: true, default: [] },
    work: { type: 'string', multiple: true, default: [] },
    rounds: { type: 'string', default: '5' },
    ms: { type: 'string', default: '300' },
    record: { type: 'string' },
    /** Where stores are kept from run to run; a temporary directory otherwise. */
    stores: { type: 'string' },
    'fill-only': { type: 'boolean', default: false },
  },
})
const rounds = Number(values.rounds)
const milliseconds = Number(values.ms)
const placement = choosePlacement()
const bases = findBases(undefined)

async function storeOf(dimension: Dimension, { store }: Grown): Promise<string> {
  const name = `${store.tags}-${store.repositories}-${store.blobs}`
  const suffix = store.tags + store.repositories + store.blobs === 3000 ? dimension.name : ''
  const base = values.stores ?? makeDirectory(bases, 'memory') ?? makeDirectory(bases, 'disk')
  if (base === undefined) throw new Error('there is no file system for the stores')
  const rootDir = join(base, `${name}${suffix.replaceAll(' ', '-')}`)
  if (existsSync(join(rootDir, 'filled'))) return rootDir
  mkdirSync(rootDir, { recursive: true })
  await fill(rootDir, store)
  writeFileSync(join(rootDir, 'filled'), '')
  return rootDir
}

async function admit(dimension: Dimension, n: number): Promise<Entrant> {
  const grown = dimension.at(n)
  const filled = await storeOf(dimension, grown)
  // Sizes of a configuration share the size of their store, and each server needs one of its own.
  const shares = dimension.at(dimension.sizes[0]).store === grown.store
  const rootDir = shares ? await copyOf(filled, n) : filled
  const base = `[server]\nbind_address = "127.0.0.1"\nport = 0\n[blob_store.fs]\nroot_dir = ${JSON.stringify(rootDir)}\n${grown.toml}`
  const { serverCores } = placement
  const wrap = serverCores === undefined ? [] : ['taskset', '-c', serverCores]
  const server = await startServer({ rootDir, base, wrap, readyTimeoutMs: 60_000 })
  const lanes = await openLanes(server.port, grown.connections, atOnce)
  return { grown, server, lanes }
}

async function copyOf(filled: string, n: number): Promise<string> {
  const copy = `${filled}-${n}`
  await cp(filled, copy, { recursive: true })
  return copy
}

function isWanted({ name }: WorkKind): boolean {
  return values.work.length === 0 || values.work.includes(name)
}

async function follow(entrants: readonly Entrant[], kind: WorkKind): Promise<Row> {
  const costs: number[][] = entrants.map(() => [])
  for (let round = 0; round <= rounds; round += 1) {
    for (let place = 0; place < entrants.length; place += 1) {
      // Each round begins with another size, so that none always follows the same neighbour.
      const index = (round + place) % entrants.length
      const entrant = entrants[index]
      if (entrant === undefined) continue
      const { grown, server, lanes } = entrant
      const work = kind.of(grown.store, grown.headers, randomFrom(round + 1))
      const cost = await costOf(server.pid, lanes, work, milliseconds)
      // The first warms up.
      if (round > 0) costs[index]?.push(cost)
    }
  }
  const medians = costs.map((list) => median(list))
  const points = medians.map((cost, at) => ({ n: entrants[at]?.grown.n ?? Number.NaN, cost }))
  const exponent = exponentOf(points)
  return { work: kind.name, costs: medians, exponent, growth: growthOf(points) }
}

function print(dimension: Dimension, rows: readonly Row[]): void {
  const sizes = dimension.sizes.map((n) => String(n).padStart(9)).join('')
  process.stdout.write(`\n${dimension.name.padEnd(26)}${sizes}  exponent\n`)
  for (const { work, costs, exponent, growth } of rows) {
    const shown = costs.map((cost) => cost.toFixed(1).padStart(9)).join('')
    process.stdout.write(
      `${work.padEnd(26)}${shown}  ${exponent.toFixed(2).padStart(8)} ${growth}\n`,
    )
  }
}

async function main(): Promise<void> {
  superviseChildren()
  const wanted = DIMENSIONS.filter(
    ({ name }) => values.dimension.length === 0 || values.dimension.includes(name),
  )
  let doesGrow = false
  moveToLoadCore(placement)
  for (const dimension of wanted) {
    if (values['fill-only']) {
      for (const n of dimension.sizes) await storeOf(dimension, dimension.at(n))
      continue
    }
    const entrants: Entrant[] = []
    for (const n of dimension.sizes) entrants.push(await admit(dimension, n))
    const rows: Row[] = []
    for (const kind of WORK.filter(isWanted)) rows.push(await follow(entrants, kind))
    print(dimension, rows)
    doesGrow ||= rows.some(({ growth }) => growth === 'grows')
    const { name, sizes } = dimension
    if (values.record !== undefined) record(values.record, { name, sizes, rows })
    for (const { server, lanes } of entrants) {
      closeLanes(lanes)
      await server.stop()
    }
  }
  process.exitCode = doesGrow ? 1 : 0
}

interface Followed {
  readonly name: string
  readonly sizes: readonly number[]
  readonly rows: readonly Row[]
}

/** Takes the place of what the file has of the same dimension. */
function record(file: string, result: Followed): void {
  const known: unknown = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : []
  const list = (Array.isArray(known) ? known : []) as readonly Followed[]
  const others = list.filter(({ name }) => name !== result.name)
  const about = { ...describeRevision(), machine: describeMachine(bases), note: placement.note }
  const fresh = { ...result, rounds, milliseconds, ...about }
  writeFileSync(file, `${JSON.stringify([...others, fresh], undefined, 1)}\n`)
}

await main()
