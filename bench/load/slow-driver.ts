// A program: many uploads at once from clients that send slowly but steadily, and a ping beside
// them. None may be cut, and each must end with 201. Its order is its one argument, in JSON.

import { createHash, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DriverResult } from '../contract.ts'
import { percentiles } from '../statistics.ts'
import { locationOf, RawConnection } from './raw-connection.ts'

export interface SlowOrder {
  readonly port: number
  readonly repository: string
  readonly uploads: number
  /** Of each upload. */
  readonly bytesPerSecond: number
  /** How long each upload takes. */
  readonly seconds: number
}

const STEPS_PER_SECOND = 4
const PING_EVERY_MS = 20

const order = JSON.parse(process.argv[2] ?? '') as SlowOrder

/** A block goes out when its time has come, however long the ones before it took. */
async function upload(connection: RawConnection): Promise<number> {
  const steps = order.seconds * STEPS_PER_SECOND
  const block = randomBytes(order.bytesPerSecond / STEPS_PER_SECOND)
  const hash = createHash('sha256')
  for (let step = 0; step < steps; step++) hash.update(block)
  const digest = `sha256:${hash.digest('hex')}`
  const path = `/v2/${order.repository}/blobs/uploads/`
  const started = await connection.exchange('POST', path, ['Content-Length: 0'])
  if (started.status !== 202) throw new Error(`POST: ${started.status}`)
  const size = block.length * steps
  const headers = ['Content-Type: application/octet-stream', `Content-Length: ${size}`]
  const begin = performance.now()
  const patched = await connection.exchange(
    ...(['PATCH', locationOf(started), headers] as const),
    Array.from({ length: steps }, () => block),
    (step) => sleep(Math.max(0, begin + (step * 1000) / STEPS_PER_SECOND - performance.now())),
  )
  if (patched.status !== 202) throw new Error(`PATCH: ${patched.status} ${patched.body}`)
  const location = locationOf(patched)
  const target = `${location}${location.includes('?') ? '&' : '?'}digest=${digest}`
  const put = await connection.exchange('PUT', target, ['Content-Length: 0'])
  if (put.status !== 201) throw new Error(`PUT: ${put.status} ${put.body}`)
  return size
}

const latenciesMs: number[] = []
let isDone = false

async function ping(connection: RawConnection): Promise<void> {
  while (!isDone) {
    const began = performance.now()
    const { status } = await connection.exchange('GET', '/v2/')
    if (status !== 200) throw new Error(`ping: ${status}`)
    latenciesMs.push(performance.now() - began)
    await sleep(PING_EVERY_MS)
  }
}

const open = (): Promise<RawConnection> =>
  RawConnection.open({ port: order.port, credentials: undefined })
const connections = await Promise.all(Array.from({ length: order.uploads }, open))
const pinger = await open()
const start = performance.now()
const pinging = ping(pinger)
const sizes = await Promise.all(connections.map(upload))
isDone = true
await pinging
const result: DriverResult = {
  requests: order.uploads,
  bytes: sizes.reduce((sum, size) => sum + size, 0),
  seconds: (performance.now() - start) / 1000,
  latencyMs: percentiles(latenciesMs),
}
for (const connection of [...connections, pinger]) connection.close()
process.stdout.write(JSON.stringify(result))
