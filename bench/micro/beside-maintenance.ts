// Do clients wait longer while garbage is collected and the store is scrubbed?
//
// node dist/bench/micro/beside-maintenance.js [rounds] [seconds] [job...]     (default: 5 4 gc scrub)
// A store of many ended leases, blobs to destroy and blobs to hash. The server on the first core, its clients on
// the second: four that GET a manifest, two that push an image of 100 KiB, each at a rate far below what the
// server can do. A round asks for some seconds with nothing else to do, then with both jobs at work at the
// default rates. Prints for each kind of request the 99th percentile of both, the median of the rounds, and
// whether it is within twice the idle one or 10 ms; ends with 1 where it is not.

import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Digest, digestOfBytes } from '../../src/oci/digest.ts'
import { parseRepositoryName } from '../../src/oci/name.ts'
import { openLmdbMetadataStore } from '../../src/storage/metadata/lmdb/open.ts'
import { adminCall } from '../../test/http/product.ts'
import { type Server, startServer } from '../../test/support/server.ts'
import { ask } from '../long/ask.ts'
import { median, percentiles } from '../statistics.ts'

const repository = parseRepositoryName('garbage')
const endedLeases = 60_000
const scrubbedBlobs = 48
const scrubbedBytes = 8 << 20
const atOnce = 500
const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const getClients = 4
const getPauseMs = 4
const pushClients = 2
const pushPauseMs = 40
const pushedBytes = 100 << 10

async function fill(rootDir: string): Promise<void> {
  if (repository === undefined) throw new Error('no repository')
  const store = await openLmdbMetadataStore({
    path: join(rootDir, '_keelson', 'metadata'),
    ...{ durability: 'none', sharing: 'exclusive', now: Date.now },
  })
  const link = (digest: Digest, size: number, leaseUntilMs: number): Promise<unknown> =>
    store.linkBlob({ repository, digest, size, leaseUntilMs, quotas: [] })
  for (let from = 0; from < endedLeases; from += atOnce) {
    await Promise.all(
      Array.from({ length: atOnce }, async (_, i) => {
        const bytes = Buffer.from(`garbage ${from + i}`)
        const digest = digestOfBytes('sha256', bytes)
        await writeBlob(rootDir, digest, bytes)
        await link(digest, bytes.length, Date.now() - 3_600_000)
      }),
    )
  }
  for (let i = 0; i < scrubbedBlobs; i++) {
    const bytes = randomBytes(scrubbedBytes)
    const digest = digestOfBytes('sha256', bytes)
    await writeBlob(rootDir, digest, bytes)
    await link(digest, bytes.length, Date.now() + 86_400_000)
  }
  await store.close()
}

async function writeBlob(rootDir: string, digest: Digest, bytes: Buffer): Promise<void> {
  const hex = digest.slice('sha256:'.length)
  const folder = join(rootDir, 'blobs', 'sha256', hex.slice(0, 2), hex)
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'data'), bytes)
}

async function send(
  port: number,
  method: string,
  path: string,
  body?: Buffer,
  type = 'application/octet-stream',
): Promise<void> {
  const { status } = await ask(port, method, path, body, { 'Content-Type': type })
  if (status !== 200 && status !== 201) throw new Error(`${method} ${path} answered ${status}`)
}

/** A layer and its manifest. */
async function push(port: number, tag: string, bytes: Buffer): Promise<void> {
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  await send(port, 'POST', `/v2/app/blobs/uploads/?digest=${digest}`, bytes)
  const config = { mediaType: 'application/octet-stream', digest, size: bytes.length }
  const manifest = { schemaVersion: 2, mediaType: manifestType, config, layers: [] }
  const text = Buffer.from(JSON.stringify(manifest))
  await send(port, 'PUT', `/v2/app/manifests/${tag}`, text, manifestType)
}

interface Times {
  readonly get: number
  readonly push: number
}

/** 99th percentiles of some seconds, in ms. */
async function measure(port: number, seconds: number): Promise<Times> {
  const end = performance.now() + seconds * 1000
  const times: Record<keyof Times, number[]> = { get: [], push: [] }
  const client = async (
    kind: keyof Times,
    pauseMs: number,
    act: () => Promise<void>,
  ): Promise<void> => {
    while (performance.now() < end) {
      const begin = performance.now()
      await act()
      times[kind].push(performance.now() - begin)
      await sleep(pauseMs)
    }
  }
  await Promise.all([
    ...Array.from({ length: getClients }, () =>
      client('get', getPauseMs, () => send(port, 'GET', '/v2/app/manifests/v1')),
    ),
    ...Array.from({ length: pushClients }, (_, i) =>
      client('push', pushPauseMs, () => push(port, `pushed-${i}`, randomBytes(pushedBytes))),
    ),
  ])
  const p99 = (values: readonly number[]): number => percentiles(values)?.p99 ?? Number.NaN
  return { get: p99(times.get), push: p99(times.push) }
}

class Admin {
  readonly #socket: string

  constructor({ rootDir }: Server) {
    this.#socket = join(rootDir, '_keelson', 'admin.sock')
  }

  async start(kind: string): Promise<void> {
    const text = JSON.stringify({ kind, input: {} })
    const { status, body } = await adminCall(this.#socket, '/jobs/start', 'POST', text)
    if (status !== 200 && status !== 202) throw new Error(`${kind} did not start: ${body}`)
  }

  async runs(kind: string): Promise<boolean> {
    const { body } = await adminCall(this.#socket, `/jobs?kind=${kind}`)
    return /"state": ?"running"/.test(body)
  }

  async stop(kind: string): Promise<void> {
    await adminCall(this.#socket, '/jobs/stop', 'POST', JSON.stringify({ kind }))
    while (await this.runs(kind)) await sleep(50)
  }
}

/** Errors: Error where a job was not at work all the time. */
async function round(
  server: Server,
  admin: Admin,
  seconds: number,
  jobs: readonly string[],
): Promise<[Times, Times]> {
  const idle = await measure(server.port, seconds)
  for (const kind of jobs) await admin.start(kind)
  const busy = await measure(server.port, seconds)
  for (const kind of jobs) {
    if (!(await admin.runs(kind))) process.stdout.write(`${kind} had ended before the round\n`)
    await admin.stop(kind)
  }
  return [idle, busy]
}

function verdict(kind: keyof Times, rounds: readonly [Times, Times][]): boolean {
  const idle = median(rounds.map(([each]) => each[kind]))
  const busy = median(rounds.map(([, each]) => each[kind]))
  const bound = Math.max(2 * idle, 10)
  const shown = (ms: number): string => `${ms.toFixed(2)} ms`
  const is = busy <= bound ? 'within' : 'beyond'
  process.stdout.write(
    `${kind.padEnd(5)} p99 idle ${shown(idle)}, beside maintenance ${shown(busy)}: ${is} ${shown(bound)}\n`,
  )
  return busy <= bound
}

async function main(): Promise<void> {
  const [rounds = '5', seconds = '4', ...asked] = process.argv.slice(2)
  const jobs = asked.length > 0 ? asked : ['gc', 'scrub']
  const rootDir = mkdtempSync(join(tmpdir(), 'keelson-beside-'))
  const wrap = availableParallelism() > 1 ? ['taskset', '-c', '0'] : []
  try {
    await fill(rootDir)
    const toml = '[gc]\ngrace = "1m"\nrestore_window = "0s"\nevery = "0s"\n[scrub]\nevery = "0s"\n'
    const server = await startServer({ rootDir, toml, wrap })
    await push(server.port, 'v1', randomBytes(pushedBytes))
    const admin = new Admin(server)
    await measure(server.port, 1)
    const found: [Times, Times][] = []
    for (let i = 0; i < Number(rounds); i++) {
      const [idle, busy] = await round(server, admin, Number(seconds), jobs)
      found.push([idle, busy])
      const shown = ({ get, push: put }: Times): string => `${get.toFixed(2)} ${put.toFixed(2)}`
      process.stdout.write(
        `round ${i + 1}: GET and push idle ${shown(idle)}, busy ${shown(busy)}\n`,
      )
    }
    const areWithin = (['get', 'push'] as const).map((kind) => verdict(kind, found))
    await server.stop()
    if (areWithin.includes(false)) process.exitCode = 1
  } finally {
    rmSync(rootDir, { recursive: true, force: true })
  }
}

await main()
