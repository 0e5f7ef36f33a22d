// What do several processes on one port cost and bring, as far as two cores can tell?
//
// node dist/bench/scale/processes.js [plain] [shared-cores] [tls] [--rounds N] [--seconds N] [--record FILE]
// plain: 1, 2 and 4 processes on one core, the load on another: what one more process costs each request.
// shared-cores: the same with server and load on both cores: whether a second process finds a second core.
// tls: connections of one request to two processes: uws behind one port, uws on a port of its own for each
// client, node-tls behind one port: how many sessions are resumed, and what a connection costs.

import { mkdirSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Server, startServer } from '../../test/support/server.ts'
import { superviseChildren } from '../children.ts'
import { smallImage } from '../content.ts'
import type { Server as BenchServer, Origin, TlsFiles } from '../contract.ts'
import { requestRate } from '../load/request-rate.ts'
import { pushContent } from '../load/seed.ts'
import { choosePlacement, describeMachine, describeRevision, moveToLoadCore } from '../machine.ts'
import { targetHeaders, targetPath } from '../scenario-kind.ts'
import { median } from '../statistics.ts'
import { tlsFilesFor } from '../tls-files.ts'
import { cpuNanoseconds, family } from '../usage.ts'
import { findBases, makeDirectory } from '../workspace.ts'
import { visit } from './tls-client.ts'

interface Entrant {
  readonly name: string
  readonly servers: readonly Server[]
  readonly tls: TlsFiles | undefined
  readonly rates: number[]
  readonly costs: number[]
  /** Of the sessions that were offered. */
  readonly resumed: number[]
  /** Most connections of a process, by the mean of all. */
  readonly crowding: number[]
}

interface Wanted {
  readonly name: string
  /** TOML of each server; all of them serve one store. */
  readonly servers: readonly string[]
  readonly tls?: TlsFiles
}

const connections = 64
const clients = 16
const content = smallImage()

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '1' },
    record: { type: 'string' },
  },
})
const rounds = Number(values.rounds)
const seconds = Number(values.seconds)
const placement = choosePlacement()
const bases = findBases(undefined)
const shared = '[storage]\nsharing = "shared"\n'

async function start(wanted: Wanted, cores: string | undefined): Promise<Entrant> {
  const folder = makeDirectory(bases, 'memory') ?? makeDirectory(bases, 'disk') ?? ''
  const rootDir = join(folder, 'store')
  mkdirSync(rootDir, { recursive: true })
  const servers: Server[] = []
  for (const [index, toml] of wanted.servers.entries()) {
    const base = `[blob_store.fs]
root_dir = ${JSON.stringify(rootDir)}
[admin]
socket = ${JSON.stringify(join(folder, `${index}.sock`))}
[global.access_policy]
default = "allow"
${toml}`
    const wrap = cores === undefined ? [] : ['taskset', '-c', cores]
    servers.push(await startServer({ rootDir, base, wrap, readyTimeoutMs: 60_000 }))
  }
  const [first] = servers
  if (first === undefined) throw new Error(`${wanted.name} has no server`)
  const origin: Origin = { port: first.port, credentials: wanted.tls?.credentials }
  await pushContent(origin, content)
  const { name, tls } = wanted
  return { name, tls, servers, rates: [], costs: [], resumed: [], crowding: [] }
}

function socketsOf(pid: number): number {
  try {
    const base = `/proc/${pid}/fd`
    return readdirSync(base).filter((fd) => {
      try {
        return readlinkSync(`${base}/${fd}`).startsWith('socket:')
      } catch {
        // Closed since it was listed.
        return false
      }
    }).length
  } catch {
    // Ended since it was listed.
    return 0
  }
}

/** How many sockets more than now each process has, in the middle of what `during` does. */
async function spreadOf(pid: number, during: () => Promise<void>): Promise<number> {
  const pids = family(pid)
  const before = pids.map(socketsOf)
  const running = during()
  await new Promise((resolve) => setTimeout(resolve, 500))
  const more = pids.map((one, at) => Math.max(0, socketsOf(one) - (before[at] ?? 0)))
  await running
  // The supervisor and the process in reserve take no connections.
  const serving = more.filter((count) => count > 0)
  const mean = serving.reduce((sum, count) => sum + count, 0) / serving.length
  return Math.max(...serving) / mean
}

async function load(entrant: Entrant, loadCores: string | undefined): Promise<void> {
  const [server] = entrant.servers
  if (server === undefined) return
  const before = cpuNanoseconds(server.pid)
  const request = {
    ...{ method: 'GET' as const, status: 200 },
    ...{ path: targetPath(content, 'tag'), headers: targetHeaders('tag') },
  }
  const origin: Origin = { port: server.port, credentials: undefined }
  const asked: BenchServer = {
    ...{ kind: 'server', name: 'keelson', ...origin, pid: server.pid, blobRoot: undefined },
    ...{ load: () => Promise.resolve(), stop: () => Promise.resolve() },
  }
  const context = { seconds, connections, loadCores }
  let requests = 0
  const crowding = await spreadOf(server.pid, async () => {
    const round = await requestRate(asked, request, context)
    requests = round.requests
    entrant.rates.push(round.figure)
  })
  entrant.crowding.push(crowding)
  entrant.costs.push((cpuNanoseconds(server.pid) - before) / 1000 / requests)
}

async function visitAll(entrant: Entrant): Promise<void> {
  const { tls, servers } = entrant
  if (tls === undefined) return
  const before = servers.map(({ pid }) => cpuNanoseconds(pid))
  const visited = await visit({
    ...{ ports: servers.map(({ port }) => port), credentials: tls.credentials },
    ...{ path: targetPath(content, 'tag'), headers: targetHeaders('tag') },
    ...{ requestsPerConnection: 1, resume: true, clients, milliseconds: seconds * 1000 },
  })
  const spent = servers.reduce((sum, { pid }, at) => {
    return sum + cpuNanoseconds(pid) - (before[at] ?? 0)
  }, 0)
  entrant.costs.push(spent / 1000 / visited.connections)
  entrant.rates.push(visited.connections / seconds)
  entrant.resumed.push(visited.resumed / (visited.connections - clients))
}

function plainServer(processes: number, more = ''): string {
  return `[server]\nbind_address = "127.0.0.1"\nport = 0\nprocesses = ${processes}\n${more}`
}

function plainEntrants(): Wanted[] {
  return [
    { name: '1 process, exclusive', servers: [plainServer(1)] },
    { name: '1 process, shared', servers: [plainServer(1, shared)] },
    { name: '2 processes', servers: [plainServer(2)] },
    { name: '4 processes', servers: [plainServer(4)] },
  ]
}

async function tlsEntrants(): Promise<Wanted[]> {
  const tls = await tlsFilesFor({ edge: 'tls' })
  if (tls === undefined) throw new Error('no certificates')
  const files = `[server.tls]
server_certificate_bundle = ${JSON.stringify(tls.certificateFile)}
server_private_key = ${JSON.stringify(tls.keyFile)}
`
  const server = (processes: number, transport: string, more: string): string =>
    `[server]\nbind_address = "127.0.0.1"\nport = 0\nprocesses = ${processes}\ntransport = "${transport}"\n${files}${more}`
  return [
    { name: 'uws, one process', servers: [server(1, 'uws', shared)], tls },
    { name: 'uws, two behind a port', servers: [server(2, 'uws', '')], tls },
    {
      name: 'uws, a port for each client',
      servers: [server(1, 'uws', shared), server(1, 'uws', shared)],
      tls,
    },
    { name: 'node, two behind a port', servers: [server(2, 'node', '')], tls },
  ]
}

function summary({ name, rates, costs, resumed, crowding }: Entrant): Readonly<object> {
  const told = {
    name,
    rate: Math.round(median(rates)),
    cpuMicroseconds: Number(median(costs).toPrecision(4)),
  }
  if (resumed.length > 0) return { ...told, resumed: Number(median(resumed).toFixed(2)) }
  return { ...told, crowding: Number(median(crowding).toFixed(2)) }
}

async function compare(kind: string): Promise<Readonly<object>[]> {
  const cores = kind === 'shared-cores' ? undefined : placement.serverCores
  const loadCores = kind === 'shared-cores' ? undefined : placement.loadCores
  const wanted = kind === 'tls' ? await tlsEntrants() : plainEntrants()
  const entrants: Entrant[] = []
  for (const one of wanted) entrants.push(await start(one, cores))
  for (let round = 0; round <= rounds; round += 1) {
    for (let place = 0; place < entrants.length; place += 1) {
      const entrant = entrants[(round + place) % entrants.length]
      if (entrant === undefined) continue
      if (kind === 'tls') await visitAll(entrant)
      else await load(entrant, loadCores)
    }
    // The first warms up.
    if (round > 0) continue
    for (const { rates, costs, resumed, crowding } of entrants) {
      rates.length = costs.length = resumed.length = crowding.length = 0
    }
  }
  for (const { servers } of entrants) for (const server of servers) await server.stop()
  return entrants.map(summary)
}

async function main(): Promise<void> {
  superviseChildren()
  const kinds = positionals.length === 0 ? ['shared-cores', 'plain', 'tls'] : positionals
  const results: Record<string, Readonly<object>[]> = {}
  // The kind that uses both cores comes first: children inherit the core that this process has moved to.
  for (const kind of kinds) {
    if (kind !== 'shared-cores') moveToLoadCore(placement)
    const rows = await compare(kind)
    results[kind] = rows
    process.stdout.write(`\n${kind}\n`)
    for (const row of rows) process.stdout.write(`${JSON.stringify(row)}\n`)
  }
  if (values.record === undefined) return
  const about = { ...describeRevision(), machine: describeMachine(bases), note: placement.note }
  const run = { ...about, rounds, seconds, results }
  writeFileSync(values.record, `${JSON.stringify(run, undefined, 1)}\n`)
}

await main()
