// A program: connections that read nine times and push once, over and over, as a registry of a
// team sees it; prints a DriverResult. Its order is its one argument, in JSON.

import { PayloadSource } from '../content.ts'
import type { DriverResult } from '../contract.ts'
import { percentiles } from '../statistics.ts'
import { pushBlob } from './push.ts'
import { RawConnection } from './raw-connection.ts'

export interface Read {
  readonly path: string
  readonly headers: readonly string[]
  /** Of the body that must come. */
  readonly size: number
}

export interface MixedOrder {
  readonly port: number
  readonly repository: string
  /** Of one turn, in order; then comes the push. */
  readonly reads: readonly Read[]
  readonly pushBytes: number
  readonly connections: number
  readonly seconds: number
  /** When the clock has stopped, delete what was pushed: work for garbage collection. */
  readonly deletes: boolean
}

const order = JSON.parse(process.argv[2] ?? '') as MixedOrder
const source = new PayloadSource(order.pushBytes)
const latenciesMs: number[] = []
const pushed: string[] = []
let bytes = 0

async function read(connection: RawConnection, { path, headers, size }: Read): Promise<void> {
  const { status, body } = await connection.exchange('GET', path, headers)
  if (status !== 200 || body.length !== size) {
    throw new Error(`GET ${path}: ${status}, ${body.length} of ${size} bytes`)
  }
  bytes += size
}

async function timed(act: Promise<void>, began: number): Promise<number> {
  await act
  const now = performance.now()
  latenciesMs.push(now - began)
  return now
}

/** Connections start at different places of the turn, so that their pushes do not come at once. */
async function repeat(connection: RawConnection, first: number, end: number): Promise<void> {
  const { reads, repository } = order
  let now = performance.now()
  for (let place = first; now < end; place = (place + 1) % (reads.length + 1)) {
    const next = reads[place]
    if (next !== undefined) {
      now = await timed(read(connection, next), now)
      continue
    }
    const payload = source.next()
    now = await timed(pushBlob(connection, repository, payload, 'docker'), now)
    pushed.push(payload.digest)
    bytes += payload.size
  }
}

async function deletePushed(connection: RawConnection): Promise<void> {
  for (let digest = pushed.pop(); digest !== undefined; digest = pushed.pop()) {
    const path = `/v2/${order.repository}/blobs/${digest}`
    const { status } = await connection.exchange('DELETE', path)
    if (status !== 202) throw new Error(`DELETE: ${status}`)
  }
}

const connections = await Promise.all(
  Array.from({ length: order.connections }, () =>
    RawConnection.open({ port: order.port, credentials: undefined }),
  ),
)
const start = performance.now()
const end = start + order.seconds * 1000
const places = order.reads.length + 1
await Promise.all(connections.map((it, index) => repeat(it, index % places, end)))
const result: DriverResult = {
  requests: latenciesMs.length,
  bytes,
  seconds: (performance.now() - start) / 1000,
  latencyMs: percentiles(latenciesMs),
}
if (order.deletes) await Promise.all(connections.map(deletePushed))
for (const connection of connections) connection.close()
process.stdout.write(JSON.stringify(result))
