// A program: N clients that each ask for a blob, or for its end from a random place on, read a part
// and drop the connection, over and over. Its order is its one argument, in JSON.

import { connect } from 'node:net'
import type { DriverResult } from '../contract.ts'
import { percentiles } from '../statistics.ts'

export interface AbortOrder {
  readonly port: number
  readonly path: string
  /** Of the whole blob. */
  readonly size: number
  /** What a client reads before it drops the connection. Units: bytes. */
  readonly readBytes: number
  /** `Range: bytes=N-` with another N each time; without it the whole blob is asked for. */
  readonly ranges: boolean
  readonly clients: number
  readonly seconds: number
}

// One buffer for all clients: nobody looks at the bytes, and it stays in the cache.
const buffer = Buffer.alloc(512 * 1024)

/** Where the body starts, once the head is there. Errors: Error where the answer is another. */
function bodyStart(received: Buffer, order: AbortOrder, from: number): number | undefined {
  const end = received.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const head = received.toString('latin1', 0, end).toLowerCase()
  const length = Number(/\ncontent-length: (\d+)/.exec(head)?.[1])
  const range = /\ncontent-range: (.*)/.exec(head)?.[1]?.trim()
  const wanted = `bytes ${from}-${order.size - 1}/${order.size}`
  const isRight = order.ranges
    ? head.startsWith('http/1.1 206') && range === wanted
    : head.startsWith('http/1.1 200')
  if (!isRight || length !== order.size - from) throw new Error(`unexpected answer: ${head}`)
  return end + 4
}

/** Resolves with the body bytes that came until the client had enough. */
function ask(order: AbortOrder): Promise<number> {
  const from = order.ranges ? Math.floor(Math.random() * (order.size - order.readBytes)) : 0
  const range = order.ranges ? `Range: bytes=${from}-\r\n` : ''
  const request = `GET ${order.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${range}\r\n`
  return new Promise((resolve, reject) => {
    let head: Buffer | undefined = Buffer.alloc(0)
    let body = 0
    const onBytes = (count: number): void => {
      if (head !== undefined) {
        head = Buffer.concat([head, buffer.subarray(0, count)])
        const start = bodyStart(head, order, from)
        if (start === undefined) return
        body = head.length - start
        head = undefined
      } else {
        body += count
      }
      if (body < order.readBytes) return
      resolve(body)
      // With bytes still unread in the kernel, this is a reset: what the server meets.
      socket.destroy()
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
            socket.destroy()
          }
          return true
        },
      },
    })
    socket.setNoDelay(true)
    socket.once('connect', () => socket.write(request))
    socket.once('error', reject)
    socket.once('close', () => reject(new Error(`the server closed after ${body} bytes`)))
  })
}

const order = JSON.parse(process.argv[2] ?? '') as AbortOrder
const latenciesMs: number[] = []
let bytes = 0
const start = performance.now()
const end = start + order.seconds * 1000
await Promise.all(
  Array.from({ length: order.clients }, async () => {
    for (let began = start; began < end; ) {
      const came = await ask(order)
      bytes += came
      const now = performance.now()
      latenciesMs.push(now - began)
      began = now
    }
  }),
)
const result: DriverResult = {
  requests: latenciesMs.length,
  bytes,
  seconds: (performance.now() - start) / 1000,
  latencyMs: percentiles(latenciesMs),
}
process.stdout.write(JSON.stringify(result))
