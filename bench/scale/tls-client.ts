// Clients that open a TLS connection, make some requests on it one after the other, and go.

import { connect, type SecureContextOptions, type TLSSocket } from 'node:tls'
import type { Credentials } from '../contract.ts'
import { clientOptions } from '../load/get.ts'

export interface TlsVisits {
  /** Each client keeps to one of them. */
  readonly ports: readonly number[]
  readonly credentials: Credentials
  readonly path: string
  readonly headers: readonly string[]
  readonly requestsPerConnection: number
  /** Each connection offers the session of the client's last one. */
  readonly resume: boolean
  readonly clients: number
  readonly milliseconds: number
}

export interface TlsVisited {
  readonly requests: number
  readonly connections: number
  readonly resumed: number
}

const headEnd = Buffer.from('\r\n\r\n')

/** Resolves with the socket when the handshake is done. */
function open(
  port: number,
  context: SecureContextOptions,
  session: Buffer | undefined,
): Promise<TLSSocket> {
  const known = session === undefined ? {} : { session }
  const socket = connect({ host: '127.0.0.1', servername: 'localhost', port, ...context, ...known })
  socket.setNoDelay(true)
  return new Promise((resolve, reject) => {
    socket.once('secureConnect', () => resolve(socket))
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('the server closed the connection')))
  })
}

/** The same request `count` times. Errors: Error where an answer is not 200. */
function repeat(socket: TLSSocket, request: Buffer, count: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let left = count
    let held: Buffer = Buffer.alloc(0)
    socket.removeAllListeners('close')
    socket.once('close', () => reject(new Error('the server closed the connection')))
    socket.on('data', (chunk: Buffer) => {
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
      const end = held.indexOf(headEnd)
      if (end < 0) return
      const head = held.toString('latin1', 0, end)
      const length = Number(/\ncontent-length: (\d+)/i.exec(head)?.[1])
      if (!head.startsWith('HTTP/1.1 200')) return reject(new Error(head))
      if (held.length < end + headEnd.length + length) return
      held = Buffer.alloc(0)
      left -= 1
      if (left === 0) resolve()
      else socket.write(request)
    })
    socket.write(request)
  })
}

/** Errors: Error where a handshake fails or an answer is not 200. */
export async function visit(order: TlsVisits): Promise<TlsVisited> {
  const context = { ...clientOptions(order.credentials) }
  const lines = [`GET ${order.path} HTTP/1.1`, 'Host: localhost', ...order.headers, '', '']
  const request = Buffer.from(lines.join('\r\n'))
  const end = performance.now() + order.milliseconds
  let connections = 0
  let resumed = 0
  const client = async (number: number): Promise<void> => {
    const port = order.ports[number % order.ports.length] ?? 0
    let session: Buffer | undefined
    do {
      const socket = await open(port, context, session)
      connections += 1
      if (socket.isSessionReused()) resumed += 1
      if (order.resume) {
        socket.on('session', (fresh: Buffer) => {
          session = fresh
        })
      }
      await repeat(socket, request, order.requestsPerConnection)
      socket.removeAllListeners('close')
      socket.destroy()
    } while (performance.now() < end)
  }
  await Promise.all(Array.from({ length: order.clients }, (_, number) => client(number)))
  return { requests: connections * order.requestsPerConnection, connections, resumed }
}
