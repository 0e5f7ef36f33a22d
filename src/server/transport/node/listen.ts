// The transport on node:http and node:tls: client certificates, and hosts without uWebSockets.js.

import { Server as NetServer, type Socket } from 'node:net'
import type { TlsMaterial } from '../../tls/contract.ts'
import type { Listener, ListenerAddress, Transport, TransportOptions } from '../exchange.ts'
import { bind } from './bind.ts'
import { Connection } from './connection.ts'
import { Door } from './door.ts'
import { createHttpFront, type HttpFront } from './http-server.ts'
import { KernelQueues } from './kernel-queues.ts'
import { lookEveryMs } from './progress.ts'
import { SimpleFront } from './simple-front.ts'
import { isPassing } from './tls-front.ts'

/** Source: DESIGN "Transports". Errors: as `Transport`. */
export const listenNode: Transport = async (options) => {
  const listener = new NodeListener(options)
  await listener.bind()
  return listener
}

class NodeListener implements Listener {
  readonly #options: TransportOptions
  readonly #connections = new Map<Socket, Connection>()
  readonly #queues = new KernelQueues()
  readonly #door: Door
  readonly #http: HttpFront
  #local: ListenerAddress = { address: '', port: 0 }
  #paceTimer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(options: TransportOptions) {
    this.#options = options
    this.#door = new Door(options, (socket, origin) => {
      const connection = new Connection(socket, origin, options, this.#queues)
      this.#connections.set(socket, connection)
      socket.once('close', () => this.#connections.delete(socket))
      new SimpleFront(socket, connection, this.#http.enter).start()
      if (this.#isStopped) connection.drain()
    })
    this.#http = createHttpFront(
      (raw) => this.#door.onConnection(raw),
      (socket) => this.#connections.get(socket),
    )
  }

  get local(): ListenerAddress {
    return this.#local
  }

  async bind(): Promise<void> {
    const { server } = this.#http
    this.#local = await bind(server, this.#options.socket, this.#options.sharesAddress)
    server.on('error', this.#options.onFault)
    this.#paceTimer = this.#startPace()
  }

  async renewTls(material: TlsMaterial): Promise<void> {
    const { tls } = this.#door
    if (tls === undefined) throw new Error('this listener has no TLS')
    const before = tls.clientAuth
    tls.renew(material)
    const { clientAuth } = material
    if (clientAuth === undefined || isSameTrust(before, clientAuth)) return
    let checked = 0
    for (const connection of [...this.#connections.values()]) {
      if (!isPassing(connection.origin.x509, clientAuth)) {
        this.#options.counts.certificatesRefused += 1
        connection.cut()
      }
      checked += 1
      // A signature takes a tenth of a millisecond to check, and there may be thousands.
      if (checked % 32 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
  }

  inFlight(): number {
    let sum = 0
    for (const connection of this.#connections.values()) sum += connection.unfinished
    return sum
  }

  stopAccepting(): void {
    if (this.#isStopped) return
    this.#isStopped = true
    // The close of http.Server also cuts connections whose last reply is still being sent.
    NetServer.prototype.close.call(this.#http.server)
    for (const connection of this.#connections.values()) connection.drain()
  }

  close(): void {
    this.stopAccepting()
    clearInterval(this.#paceTimer)
    for (const connection of this.#connections.values()) connection.cut()
    this.#door.close()
  }

  #startPace(): NodeJS.Timeout {
    const everyMs = lookEveryMs(this.#options.pace)
    let last = performance.now()
    const look = (): void => {
      const now = performance.now()
      // Where a look is late, it is this process that is slow, or did not run.
      const elapsedMs = Math.min(now - last, everyMs)
      last = now
      this.#door.checkPace(elapsedMs)
      for (const connection of this.#connections.values()) connection.checkPace(elapsedMs)
      this.#queues.refresh()
    }
    // Behind the reading of sockets, so that what has come in is seen.
    return setInterval(() => setImmediate(look), everyMs).unref()
  }
}

function isSameTrust(
  before: TlsMaterial['clientAuth'],
  after: NonNullable<TlsMaterial['clientAuth']>,
): boolean {
  return (
    before !== undefined &&
    before.mode === after.mode &&
    before.caBundle === after.caBundle &&
    before.crls.join('') === after.crls.join('')
  )
}
