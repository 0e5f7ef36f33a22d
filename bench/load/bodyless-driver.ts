// A program: repeats one request that is answered without a body, for machines without wrk
// (autocannon, too, waits for the body of a HEAD). Its order is its one argument, in JSON.

import type { DriverResult } from '../contract.ts'
import { percentiles } from '../statistics.ts'
import { RawConnection } from './raw-connection.ts'

export interface BodylessOrder {
  readonly port: number
  readonly method: 'GET' | 'HEAD'
  readonly path: string
  readonly status: number
  readonly headers: readonly string[]
  readonly connections: number
  readonly seconds: number
}

const order = JSON.parse(process.argv[2] ?? '') as BodylessOrder
const connections = await Promise.all(
  Array.from({ length: order.connections }, () =>
    RawConnection.open({ port: order.port, credentials: undefined }),
  ),
)
const latenciesMs: number[] = []
const start = performance.now()
const end = start + order.seconds * 1000
await Promise.all(
  connections.map(async (connection) => {
    for (let began = start; began < end; ) {
      const { status } = await connection.exchange(order.method, order.path, order.headers)
      if (status !== order.status) throw new Error(`status ${status}`)
      const now = performance.now()
      latenciesMs.push(now - began)
      began = now
    }
    connection.close()
  }),
)
const result: DriverResult = {
  requests: latenciesMs.length,
  bytes: 0,
  seconds: (performance.now() - start) / 1000,
  latencyMs: percentiles(latenciesMs),
}
process.stdout.write(JSON.stringify(result))
