// A program: pushes unique blobs on N connections for a bounded time and prints a DriverResult.
// It runs alone on the load core; its order is its one argument, in JSON.

import { PayloadSource } from '../content.ts'
import type { DriverResult } from '../contract.ts'
import { percentiles } from '../statistics.ts'
import { type PushFlow, pushBlob } from './push.ts'
import { RawConnection } from './raw-connection.ts'

export interface PushOrder {
  readonly port: number
  readonly repository: string
  readonly size: number
  readonly flow: PushFlow
  readonly connections: number
  /** No push starts after this; each connection makes at least one. */
  readonly seconds: number
  /** No push starts once this much was sent. Units: bytes. */
  readonly bytesMax: number
  /** Hold every body open until all connections have sent all but their last block. */
  readonly allInFlight: boolean
  readonly announce: boolean
}

function barrier(parties: number): () => Promise<void> {
  let missing = parties
  let open: () => void = () => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return () => {
    missing -= 1
    if (missing === 0) open()
    return opened
  }
}

async function drive(order: PushOrder): Promise<DriverResult> {
  const source = new PayloadSource(order.size)
  const connections = await Promise.all(
    Array.from({ length: order.connections }, () =>
      RawConnection.open({ port: order.port, credentials: undefined }),
    ),
  )
  const hold = order.allInFlight ? barrier(order.connections) : undefined
  const latenciesMs: number[] = []
  let bytes = 0
  const start = performance.now()
  const end = start + order.seconds * 1000
  const work = connections.map(async (connection) => {
    do {
      const payload = source.next()
      const began = performance.now()
      bytes += payload.size
      await pushBlob(connection, order.repository, payload, order.flow, order.announce, hold)
      latenciesMs.push(performance.now() - began)
    } while (!order.allInFlight && performance.now() < end && bytes < order.bytesMax)
  })
  await Promise.all(work)
  const seconds = (performance.now() - start) / 1000
  for (const connection of connections) connection.close()
  return { requests: latenciesMs.length, bytes, seconds, latencyMs: percentiles(latenciesMs) }
}

const order = JSON.parse(process.argv[2] ?? '') as PushOrder
process.stdout.write(JSON.stringify(await drive(order)))
