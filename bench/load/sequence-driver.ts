// A program: what sequence-script.ts does, for machines without wrk. Its order is its one argument,
// in JSON.

import type { DriverResult } from '../contract.ts'
import { percentiles } from '../statistics.ts'
import { RawConnection } from './raw-connection.ts'
import type { SequenceOrder } from './sequence.ts'

const order = JSON.parse(process.argv[2] ?? '') as SequenceOrder & { readonly port: number }
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
      for (const { method, path, headers, body, status } of order.steps) {
        const blocks = body === '' ? [] : [Buffer.from(body)]
        const answer = await connection.exchange(method, path, headers, blocks)
        if (answer.status !== status) {
          throw new Error(`${method} ${path}: ${answer.status}, wanted ${status}: ${answer.body}`)
        }
      }
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
