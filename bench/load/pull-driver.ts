// A program: downloads one large blob over and over on N connections, discarding the bytes, and
// prints a DriverResult. Its order is its one argument, in JSON.

import { connect } from 'node:net'
import type { DriverResult } from '../contract.ts'
import { percentiles } from '../statistics.ts'

export interface PullOrder {
  readonly port: number
  readonly path: string
  readonly size: number
  readonly connections: number
  /** No download starts after this; each connection makes at least one. */
  readonly seconds: number
}

// One buffer for all connections: nobody looks at the bytes, and it stays in the cache.
const buffer = Buffer.alloc(512 * 1024)

function bodyStart(received: Buffer, size: number): number | undefined {
  const end = received.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const head = received.toString('latin1', 0, end)
  const length = /\ncontent-length: (\d+)/i.exec(head)?.[1]
  if (!head.startsWith('HTTP/1.1 200') || Number(length) !== size) {
    throw new Error(`unexpected answer: ${head}`)
  }
  return end + 4
}

/** Download until `end`; the n-th latency goes to `latenciesMs`. */
function download(order: PullOrder, end: number, latenciesMs: number[]): Promise<void> {
  const request = `GET ${order.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`
  return new Promise((resolve, reject) => {
    let head = Buffer.alloc(0)
    let left = -1
    let began = performance.now()
    const onBytes = (count: number): void => {
      let body = count
      if (left < 0) {
        head = Buffer.concat([head, buffer.subarray(0, count)])
        const start = bodyStart(head, order.size)
        if (start === undefined) return
        left = order.size
        body = head.length - start
        head = Buffer.alloc(0)
      }
      left -= body
      if (left > 0) return
      const now = performance.now()
      latenciesMs.push(now - began)
      if (now >= end) {
        resolve()
        socket.destroy()
        return
      }
      left = -1
      began = now
      socket.write(request)
    }
    const socket = connect({
      host: '127.0.0.1',
      port: order.port,
      onread: {
        buffer,
        callback: (count) => {
          try {
            onBytes(count)
          } catch (cause) {
            reject(cause)
          }
          return true
        },
      },
    })
    socket.once('connect', () => socket.write(request))
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('the server closed the connection')))
  })
}

const order = JSON.parse(process.argv[2] ?? '') as PullOrder
const latenciesMs: number[] = []
const start = performance.now()
const end = start + order.seconds * 1000
await Promise.all(
  Array.from({ length: order.connections }, () => download(order, end, latenciesMs)),
)
const result: DriverResult = {
  requests: latenciesMs.length,
  bytes: latenciesMs.length * order.size,
  seconds: (performance.now() - start) / 1000,
  latencyMs: percentiles(latenciesMs),
}
process.stdout.write(JSON.stringify(result))
