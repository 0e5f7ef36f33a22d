// A program: one small GET at a fixed rate, whatever the answers do, on connections that stay. A
// request that has to wait for a connection counts from its planned time, so that a server that
// stalls does not look better for being asked less. Its order is its one argument, in JSON.

import type { DriverResult } from '../contract.ts'
import { percentiles } from '../statistics.ts'
import { RawConnection } from './raw-connection.ts'

export interface PaceOrder {
  readonly port: number
  readonly path: string
  readonly headers: readonly string[]
  /** Of the body that must come. */
  readonly size: number
  readonly perSecond: number
  readonly connections: number
  readonly seconds: number
}

export interface PaceResult extends DriverResult {
  /**
   * 99th percentile of how late the client itself was with requests that had a connection. These
   * count from when they were sent. Units: ms.
   */
  readonly lagMs: number
}

const order = JSON.parse(process.argv[2] ?? '') as PaceOrder
const latenciesMs: number[] = []
const lagsMs: number[] = []
const idle = await Promise.all(
  Array.from({ length: order.connections }, () =>
    RawConnection.open({ port: order.port, credentials: undefined }),
  ),
)
/** Planned times of requests that wait for a connection. */
const waiting: number[] = []

async function ask(connection: RawConnection, sinceMs: number): Promise<void> {
  const { status, body } = await connection.exchange('GET', order.path, order.headers)
  if (status !== 200 || body.length !== order.size) {
    throw new Error(`GET ${order.path}: ${status}, ${body.length} of ${order.size} bytes`)
  }
  latenciesMs.push(performance.now() - sinceMs)
  const next = waiting.shift()
  if (next === undefined) idle.push(connection)
  else await ask(connection, next)
}

function send(plannedMs: number, asked: Promise<void>[]): void {
  const connection = idle.pop()
  if (connection === undefined) {
    waiting.push(plannedMs)
    return
  }
  const nowMs = performance.now()
  lagsMs.push(nowMs - plannedMs)
  asked.push(ask(connection, nowMs))
}

const total = order.perSecond * order.seconds
const asked: Promise<void>[] = []
const start = performance.now()
for (let sent = 0; sent < total; ) {
  const nowMs = performance.now()
  for (; sent < total; sent++) {
    const plannedMs = start + (sent * 1000) / order.perSecond
    if (plannedMs > nowMs) break
    send(plannedMs, asked)
  }
  await new Promise((resolve) => setTimeout(resolve, 1))
}
await Promise.all(asked)
if (latenciesMs.length !== total) throw new Error(`${latenciesMs.length} of ${total} answers`)
const result: PaceResult = {
  requests: total,
  bytes: total * order.size,
  seconds: (performance.now() - start) / 1000,
  latencyMs: percentiles(latenciesMs),
  lagMs: percentiles(lagsMs)?.p99 ?? 0,
}
for (const connection of idle) connection.close()
process.stdout.write(JSON.stringify(result))
