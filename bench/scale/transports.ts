// Which TLS transport costs less, by how many requests share a connection?
//
// node dist/bench/scale/transports.js [--key p256|rsa]… [--rounds N] [--ms N] [--record FILE]
// uws and node-tls, one process each on the first core; clients on the second, which resume or do not; rounds
// interleaved. Prints µs of the server's CPU for each request, what a handshake and a request cost by these,
// and up to how many requests for each connection node-tls, which always resumes, is the cheaper one.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Server, startServer } from '../../test/support/server.ts'
import { superviseChildren } from '../children.ts'
import { smallImage } from '../content.ts'
import type { TlsFiles } from '../contract.ts'
import { pushContent } from '../load/seed.ts'
import { choosePlacement, describeMachine, describeRevision, moveToLoadCore } from '../machine.ts'
import { targetHeaders, targetPath } from '../scenario-kind.ts'
import { median } from '../statistics.ts'
import { tlsFilesFor } from '../tls-files.ts'
import { cpuNanoseconds } from '../usage.ts'
import { findBases, makeDirectory } from '../workspace.ts'
import { type ConnectionCost, crossing, fitCost, mixed } from './crossing.ts'
import { visit } from './tls-client.ts'

const requestsPerConnection = [1, 4, 16, 60, 256, 1000]
const processCounts = [1, 2, 4, 16]
const clients = 16
const content = smallImage()

const { values } = parseArgs({
  options: {
    key: { type: 'string', multiple: true, default: ['p256', 'rsa'] },
    rounds: { type: 'string', default: '3' },
    ms: { type: 'string', default: '400' },
    record: { type: 'string' },
  },
})
const rounds = Number(values.rounds)
const milliseconds = Number(values.ms)
const placement = choosePlacement()
const bases = findBases(undefined)

type Transport = 'uws' | 'node'

interface Entrant {
  readonly name: string
  readonly server: Server
  readonly tls: TlsFiles
  readonly resume: boolean
  /** By number of requests, what each costs. */
  readonly costs: Map<number, number[]>
}

async function start(transport: Transport, tls: TlsFiles): Promise<Server> {
  const rootDir = join(makeDirectory(bases, 'memory') ?? '', 'store')
  mkdirSync(rootDir, { recursive: true })
  const base = `[server]
bind_address = "127.0.0.1"
port = 0
transport = "${transport}"
[server.tls]
server_certificate_bundle = ${JSON.stringify(tls.certificateFile)}
server_private_key = ${JSON.stringify(tls.keyFile)}
[blob_store.fs]
root_dir = ${JSON.stringify(rootDir)}
[global.access_policy]
default = "allow"
`
  const { serverCores } = placement
  const wrap = serverCores === undefined ? [] : ['taskset', '-c', serverCores]
  const server = await startServer({ rootDir, base, wrap })
  await pushContent({ port: server.port, credentials: tls.credentials }, content)
  return server
}

async function measure(entrant: Entrant, requests: number): Promise<number> {
  const { server, tls, resume } = entrant
  const before = cpuNanoseconds(server.pid)
  const visited = await visit({
    ...{ ports: [server.port], credentials: tls.credentials, clients, milliseconds, resume },
    ...{ path: targetPath(content, 'tag'), headers: targetHeaders('tag') },
    requestsPerConnection: requests,
  })
  // The first connection of each client has nothing to resume.
  const resumable = visited.connections - clients
  if (resume && visited.resumed < resumable) {
    throw new Error(`${entrant.name}: ${visited.resumed} of ${resumable} sessions were resumed`)
  }
  return (cpuNanoseconds(server.pid) - before) / 1000 / visited.requests
}

async function followKey(key: 'p256' | 'rsa'): Promise<readonly Entrant[]> {
  const tls = await tlsFilesFor({ edge: 'tls', ...(key === 'rsa' ? { key } : {}) })
  if (tls === undefined) throw new Error('no certificates')
  const servers = { uws: await start('uws', tls), node: await start('node', tls) }
  const entrants = (['uws', 'node'] as const).flatMap((transport) =>
    [false, true].map((resume) => ({
      ...{ name: `${key} ${transport} ${resume ? 'resumed' : 'full'}`, tls, resume },
      ...{ server: servers[transport], costs: new Map<number, number[]>() },
    })),
  )
  for (let round = 0; round <= rounds; round += 1) {
    for (const requests of requestsPerConnection) {
      for (let place = 0; place < entrants.length; place += 1) {
        const entrant = entrants[(round + place) % entrants.length]
        if (entrant === undefined) continue
        const cost = await measure(entrant, requests)
        // The first round warms up.
        if (round === 0) continue
        entrant.costs.set(requests, [...(entrant.costs.get(requests) ?? []), cost])
      }
    }
  }
  await servers.uws.stop()
  await servers.node.stop()
  return entrants
}

function costsOf({ costs }: Entrant): { readonly requests: number; readonly cost: number }[] {
  return requestsPerConnection.map((requests) => {
    return { requests, cost: median(costs.get(requests) ?? []) }
  })
}

interface KeyResult {
  readonly key: string
  readonly costs: readonly { readonly name: string; readonly microseconds: readonly number[] }[]
  readonly fitted: Readonly<Record<string, ConnectionCost>>
  readonly crossings: readonly { readonly processes: number; readonly requests: number }[]
}

function judge(key: string, entrants: readonly Entrant[]): KeyResult {
  const table = entrants.map((entrant) => ({ entrant, points: costsOf(entrant) }))
  const fitted = table.map(({ points }) => fitCost(points))
  const [uwsFull, uwsResumed, , nodeResumed] = fitted
  if (uwsFull === undefined || uwsResumed === undefined || nodeResumed === undefined) {
    throw new Error('four kinds of connection were measured')
  }
  return {
    key,
    costs: table.map(({ entrant, points }) => {
      return { name: entrant.name, microseconds: points.map(({ cost }) => cost) }
    }),
    fitted: Object.fromEntries(
      table.map(({ entrant, points }): [string, ConnectionCost] => [entrant.name, fitCost(points)]),
    ),
    // Behind one port a connection finds the process of its ticket once in as many as there are.
    crossings: processCounts.map((processes) => {
      const uws = mixed(uwsFull, uwsResumed, 1 / processes)
      return { processes, requests: crossing(nodeResumed, uws) }
    }),
  }
}

function print({ costs, fitted, crossings }: KeyResult): void {
  const head = requestsPerConnection.map((count) => String(count).padStart(9)).join('')
  process.stdout.write(`\n${'requests per connection'.padEnd(24)}${head}  handshake, request\n`)
  for (const { name, microseconds } of costs) {
    const shown = microseconds.map((cost) => cost.toFixed(1).padStart(9)).join('')
    const cost = fitted[name]
    const fit = `${cost?.handshake.toFixed(0)} + ${cost?.request.toFixed(1)} µs`
    process.stdout.write(`${name.padEnd(24)}${shown}  ${fit}\n`)
  }
  const told = crossings.map(({ processes, requests }) => `${processes}: ${requests.toFixed(1)}`)
  process.stdout.write(
    `node-tls is cheaper below, by processes behind a port: ${told.join(', ')}\n`,
  )
}

async function main(): Promise<void> {
  superviseChildren()
  moveToLoadCore(placement)
  const results: KeyResult[] = []
  for (const key of ['p256', 'rsa'] as const) {
    if (!values.key.includes(key)) continue
    const result = judge(key, await followKey(key))
    print(result)
    results.push(result)
  }
  if (values.record === undefined) return
  const about = { ...describeRevision(), machine: describeMachine(bases), note: placement.note }
  const run = { ...about, rounds, milliseconds, requestsPerConnection, results }
  writeFileSync(values.record, `${JSON.stringify(run, undefined, 1)}\n`)
}

await main()
