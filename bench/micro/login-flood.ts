// What does a flood of wrong passwords cost a user who pulls cold blobs?
//
// node dist/bench/micro/login-flood.js [seconds] [rounds] [guessesPerSecond] [uws|node]
// For each transport: the user alone, then with guesses from one address, then with guesses from a new
// address and for a new user each, which nothing holds up. The server has the first core and the
// clients the second. Prints one JSON line for each transport.

import { type ChildProcess, execFileSync, fork } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { setPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { RegistryClient } from '../../test/support/registry-client.ts'
import { type Server, startServer } from '../../test/support/server.ts'
import { hashPassword } from '../../workers/credentials.ts'
import { median, percentiles } from '../statistics.ts'

type Flood = 'none' | 'oneAddress' | 'manyAddresses'

const pullsPerSecond = 100
const blobBytes = 64 << 10
const password = 'tuesday-fjord-lemon'
const repository = 'bench/app'

function basic(username: string, secret: string): string {
  return `Basic ${Buffer.from(`${username}:${secret}`).toString('base64')}`
}

const headers = { authorization: basic('ci', password) }

/** Resolves at the end of the answer. */
function get(url: string, options: object): Promise<number> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, options, (answer) => {
      answer.resume().once('end', () => resolve(answer.statusCode ?? 0))
    })
    outgoing.once('error', reject).end()
  })
}

/** Calls `perSecond` times a second, without waiting for what was called before. */
async function atRate(perSecond: number, total: number, call: (i: number) => void): Promise<void> {
  const start = performance.now()
  for (let i = 0; i < total; ) {
    const due = Math.min(total, Math.floor(((performance.now() - start) / 1000) * perSecond) + 1)
    for (; i < due; i += 1) call(i)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

/** In a process of its own, so that it does not delay what measures. */
async function guess(url: string, flood: Flood, perSecond: number, total: number): Promise<void> {
  const statuses: Record<string, number> = {}
  const asked: Promise<void>[] = []
  await atRate(perSecond, total, (i) => {
    const isFromMany = flood === 'manyAddresses'
    const localAddress = isFromMany
      ? `127.${2 + (i >> 15)}.${(i >> 8) & 127}.${i & 255}`
      : '127.2.0.1'
    const user = isFromMany ? randomBytes(6).toString('hex') : 'admin'
    const authorization = basic(user, randomBytes(9).toString('hex'))
    asked.push(
      get(`${url}/v2/`, { localAddress, agent: false, headers: { authorization } })
        .catch(() => 0)
        .then((status) => {
          statuses[status] = (statuses[status] ?? 0) + 1
        }),
    )
  })
  await Promise.all(asked)
  process.send?.(statuses)
}

function startGuessing(url: string, flood: Flood, perSecond: number, total: number): ChildProcess {
  const args = ['guess', url, flood, String(perSecond), String(total)]
  return fork(fileURLToPath(import.meta.url), args)
}

async function pushBlobs(server: Server, total: number): Promise<string[]> {
  const client = new RegistryClient(server.url)
  const digests: string[] = []
  for (let i = 0; i < total; i += 1) {
    const body = randomBytes(blobBytes)
    const digest = `sha256:${createHash('sha256').update(body).digest('hex')}`
    const target = `/v2/${repository}/blobs/uploads/?digest=${digest}`
    const { status } = await client.call('POST', target, { headers, body })
    if (status !== 201) throw new Error(`push: ${status}`)
    digests.push(digest)
  }
  client.close()
  return digests
}

/** Tells the kernel to forget what it has of the files below `dir`. */
async function makeCold(dir: string): Promise<void> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile() && entry.name === 'data')
  for (const { parentPath, name } of files) {
    execFileSync('dd', [`if=${join(parentPath, name)}`, 'iflag=nocache', 'count=0', 'status=none'])
  }
}

async function pull(server: Server, digests: readonly string[]): Promise<number[]> {
  const agent = new Agent({ keepAlive: true })
  const times: number[] = []
  const asked: Promise<void>[] = []
  await atRate(pullsPerSecond, digests.length, (i) => {
    const before = performance.now()
    asked.push(
      get(`${server.url}/v2/${repository}/blobs/${digests[i]}`, { agent, headers }).then(
        (status) => {
          if (status !== 200) throw new Error(`pull: ${status}`)
          times.push(performance.now() - before)
        },
      ),
    )
  })
  await Promise.all(asked)
  agent.destroy()
  return times
}

/** How long the process's first thread, which has the event loop, was ready and had no core so far. */
function waitedForCoreMs(pid: number): number {
  const [, waitedNs] = readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')
  return Number(waitedNs) / 1e6
}

async function measure(transport: 'uws' | 'node', seconds: number, rounds: number): Promise<void> {
  const rootDir = await mkdtemp(join(tmpdir(), 'keelson-bench-'))
  const server = await startServer({
    wrap: ['taskset', '-c', '0'],
    base: `
[server]
port = 0
transport = "${transport}"
[blob_store.fs]
root_dir = ${JSON.stringify(rootDir)}
[auth.identity.build]
username = "ci"
password = ${JSON.stringify(hashPassword(password))}
[global.access_policy]
default = "deny"
rules = ["identity.username != null"]
`,
  })
  const digests = await pushBlobs(server, seconds * pullsPerSecond)
  // What is compiled and opened at first is no business of the flood.
  await pull(server, digests.slice(0, 2 * pullsPerSecond))
  const p99: Record<Flood, number[]> = { none: [], oneAddress: [], manyAddresses: [] }
  const p50: Record<Flood, number[]> = { none: [], oneAddress: [], manyAddresses: [] }
  const waited: Record<'server' | 'client', Record<Flood, number[]>> = {
    server: { none: [], oneAddress: [], manyAddresses: [] },
    client: { none: [], oneAddress: [], manyAddresses: [] },
  }
  const pids = [
    ['server', server.pid],
    ['client', process.pid],
  ] as const
  const answers: Partial<Record<Flood, unknown>> = {}
  for (let round = 0; round < rounds; round += 1) {
    for (const flood of ['none', 'oneAddress', 'manyAddresses'] as const) {
      await makeCold(rootDir)
      const guessing =
        flood === 'none'
          ? undefined
          : startGuessing(server.url, flood, guessesPerSecond, seconds * guessesPerSecond)
      const before = pids.map(([, pid]) => waitedForCoreMs(pid))
      const told = guessing && once(guessing, 'message')
      const times = percentiles(await pull(server, digests))
      if (times === undefined) throw new Error('nothing was pulled')
      for (const [i, [who, pid]] of pids.entries()) {
        const waitedMs = waitedForCoreMs(pid) - (before[i] ?? 0)
        waited[who][flood].push(waitedMs / digests.length)
      }
      p99[flood].push(times.p99)
      p50[flood].push(times.p50)
      if (told !== undefined) [answers[flood]] = await told
    }
  }
  await server.stop()
  await rm(rootDir, { recursive: true })
  const medians = (of: Record<Flood, number[]>): object =>
    Object.fromEntries(Object.entries(of).map(([flood, list]) => [flood, rounded(median(list))]))
  const bound = Math.max(3 * median(p99.none), 10)
  const isWithin = median(p99.manyAddresses) <= bound && median(p99.oneAddress) <= bound
  const load = { seconds, rounds, guessesPerSecond, pullsPerSecond, blobBytes }
  const result = { transport, ...load, p50Ms: medians(p50), p99Ms: medians(p99) }
  const waitedForCoreMsPerPull = {
    server: medians(waited.server),
    client: medians(waited.client),
  }
  const verdict = { boundMs: rounded(bound), isWithin, waitedForCoreMsPerPull }
  const line = { ...result, ...verdict, statusesOfGuesses: answers }
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100
}

const [first, ...others] = process.argv.slice(2)
const guessesPerSecond = Number(others[1] ?? 200)
if (first === 'guess') {
  const [url = '', flood, perSecond, total] = others
  // It shares its core with what measures.
  setPriority(19)
  await guess(url, flood as Flood, Number(perSecond), Number(total))
  process.disconnect?.()
} else {
  execFileSync('taskset', ['-p', '-c', '1', String(process.pid)])
  for (const transport of ['uws', 'node'] as const) {
    if ((others[2] ?? transport) !== transport) continue
    await measure(transport, Number(first ?? 10), Number(others[0] ?? 1))
  }
}
