// Goal: clients that are slow on purpose do not slow down others, and do not fill the memory.
// Method: a process holds slow connections of every kind to the product, while a good client measures
// how long its requests take. KEELSON_SLOW_CLIENTS=full is the long form of it.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Product, setups, useProduct } from '../http/product.ts'
import { descriptor, types } from '../http/sample-content.ts'
import { type Daemon, startDaemon } from '../support/daemon.ts'
import { patternBytes } from '../support/pattern-source.ts'
import { RawConnection } from '../support/raw-http.ts'
import { assertStatus, digestOf } from '../support/registry-client.ts'

import type { AttackReport } from './slow-attacker.ts'

const isFull = process.env['KEELSON_SLOW_CLIENTS'] === 'full'
// In each round the attackers come anew; the good client measures so many times while they are there.
const plan = isFull
  ? { sockets: 1_000, rounds: 5, measures: 1, attackMs: 60_000, idleMs: 3_000 }
  : { sockets: 300, rounds: 1, measures: 5, attackMs: 700, idleMs: 300 }

const mebibyte = 1024 * 1024
// The rest of what a connection may cost, with all buffers of a body or a reply.
const residentBytesPerSocketMax = 256 * 1024
const residentBytesMax = 96 * mebibyte

const limits = [
  '[server.limits]',
  'headers_timeout = "1s"',
  'stall_timeout = "1s"',
  'rate_grace = "1s"',
  'connections_per_address_max = 0',
  'requests_per_address_max = 0',
  '',
].join('\n')

for (const { name, ...options } of setups('alone', 'node')) {
  describe(`slow clients, ${name}`, () => {
    const product = useProduct({ ...options, toml: `${options.toml ?? ''}${limits}` })

    test('a good client is served as fast as alone, and the memory stays bounded', async (t) => {
      const digest = await seed(product)
      await measure(product, plan.idleMs)
      const rounds: Round[] = []
      for (let round = 0; round < plan.rounds; round++) {
        rounds.push(await attackOnce(product, digest))
      }
      for (const round of rounds) t.diagnostic(JSON.stringify(round))
      assertServedWell(t, rounds)
      await product.untilStatus('nothing in flight', (status) => status.requestsInFlight === 0)
    })
  })
}

interface Round {
  /** Of each measure. */
  readonly idleP99Ms: readonly number[]
  readonly attackedP99Ms: readonly number[]
  readonly grownBytes: number
  readonly sockets: number
  readonly closed: number
}

async function attackOnce(product: Product, digest: string): Promise<Round> {
  const idleP99Ms = await measures(product, plan.idleMs)
  const residentBefore = residentBytes(product.server.pid)
  const attackers = await startAttackers(product.server.port, digest)
  let residentMost = residentBefore
  const watch = setInterval(() => {
    residentMost = Math.max(residentMost, residentBytes(product.server.pid))
  }, 100)
  try {
    const attackedP99Ms = await measures(product, plan.attackMs)
    // What is pushed meanwhile gets through, too.
    await product.client.pushBlob('good', Buffer.from(`bytes ${Math.random()}`))
    const { open: sockets, closed } = lastReport(attackers)
    return { idleP99Ms, attackedP99Ms, grownBytes: residentMost - residentBefore, sockets, closed }
  } finally {
    clearInterval(watch)
    attackers.kill()
    await attackers.exited
  }
}

function assertServedWell(t: TestContext, rounds: readonly Round[]): void {
  const median = (values: readonly number[]): number =>
    values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
  const idle = median(rounds.flatMap((round) => round.idleP99Ms))
  const attacked = median(rounds.flatMap((round) => round.attackedP99Ms))
  const grown = Math.max(...rounds.map((round) => round.grownBytes))
  t.diagnostic(`p99 alone ${idle} ms, attacked ${attacked} ms, grown by ${grown / mebibyte} MiB`)
  assert.ok(attacked <= Math.max(3 * idle, 10), `p99 ${attacked} ms, alone ${idle} ms`)
  assert.ok(
    rounds.some((round) => round.closed > 0),
    'nobody was cut',
  )
  assert.ok(grown <= residentBytesMax + plan.sockets * residentBytesPerSocketMax, `${grown} bytes`)
}

/** A manifest for the good client, and a blob larger than the kernel takes off our hands. */
async function seed(product: Product): Promise<string> {
  const blob = patternBytes(32 * mebibyte)
  await product.client.pushBlob('kept', blob)
  const manifest = {
    schemaVersion: 2,
    mediaType: types.image,
    config: descriptor(types.config, blob),
  }
  const { answer } = await product.client.putManifest('kept', 'v1', { ...manifest, layers: [] })
  assertStatus(answer, 201)
  return digestOf(blob)
}

async function measures(product: Product, forMs: number): Promise<readonly number[]> {
  const all: number[] = []
  for (let at = 0; at < plan.measures; at++) all.push(await measure(product, forMs))
  return all
}

/** The 99th percentile of one client's requests, one after the other. Units: ms. */
async function measure(product: Product, forMs: number): Promise<number> {
  const client = await RawConnection.open(product.server.port)
  const times: number[] = []
  const end = performance.now() + forMs
  while (performance.now() < end) {
    const start = performance.now()
    await pull(client)
    times.push(performance.now() - start)
  }
  client.close()
  return rounded(times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? Number.NaN)
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000
}

// Polling, as RawConnection's own reading does, would be what is measured.
function pull(client: RawConnection): Promise<void> {
  return new Promise((resolve, reject) => {
    client.socket.once('data', (bytes: Buffer) => {
      if (bytes.subarray(0, 12).toString() === 'HTTP/1.1 200') resolve()
      else reject(new Error(bytes.toString('latin1')))
    })
    client.write('GET /v2/kept/manifests/v1 HTTP/1.1\r\nHost: registry\r\n\r\n')
  })
}

async function startAttackers(port: number, digest: string): Promise<Daemon<AttackReport>> {
  const script = fileURLToPath(new URL('./slow-attacker.js', import.meta.url))
  const isHeld = ({ opened }: AttackReport): boolean => opened >= plan.sockets
  return startDaemon({
    command: process.execPath,
    args: [script, String(port), String(plan.sockets), digest],
    onLine: (line) => {
      const report = JSON.parse(line) as AttackReport
      return isHeld(report) ? report : undefined
    },
  })
}

function lastReport(attackers: Daemon<AttackReport>): AttackReport {
  return JSON.parse(attackers.log.at(-1) ?? '{}') as AttackReport
}

function residentBytes(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(line?.[1]) * 1024
}
