// The transport on node:http, for hosts where no uWebSockets.js binary loads.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Server as NetServer, type Socket } from 'node:net'
import type { Listener, Transport, TransportOptions } from '../exchange.ts'
import { Connection } from './connection.ts'

/** How long a silent client is borne, in ms. Nothing limits a transfer that makes progress. */
export interface NodeLimits {
  /** From the first byte of a request (or the connection's opening) to the end of its headers. */
  readonly headersMs: number
  /** Within a request or a reply, without a byte moved. */
  readonly stallMs: number
  /** Between requests. */
  readonly keepAliveMs: number
  /** For what a refused client still sends, so that it can read the refusal. */
  readonly lingerMs: number
}

const productLimits: NodeLimits = {
  headersMs: 15_000,
  stallMs: 30_000,
  // Longer than the 60 s of common load balancers, which must not find the connection just closed.
  keepAliveMs: 65_000,
  lingerMs: 5_000,
}

const headBytesMax = 16 * 1024

export const listenNode: Transport = (options) => listenNodeWithin(options, productLimits)

/** As `listenNode`, with other limits. */
export async function listenNodeWithin(
  options: TransportOptions,
  limits: NodeLimits,
): Promise<Listener> {
  const server = createHttpServer(limits)
  const connectionOptions = { ...options, lingerMs: limits.lingerMs }
  const connections = new Map<Socket, Connection>()
  let isStopped = false
  const connectionOf = (socket: Socket): Connection | undefined => connections.get(socket)
  server.on('connection', (socket: Socket) => {
    const connection = new Connection(socket, connectionOptions)
    connections.set(socket, connection)
    socket.once('close', () => connections.delete(socket))
    if (isStopped) connection.drain()
  })
  const onRequest = (request: IncomingMessage, response: ServerResponse): void =>
    connectionOf(request.socket)?.onRequest(request, response, false)
  server.on('request', onRequest)
  // RFC 9110 10.1.1 lets a server ignore expectations that it does not know.
  server.on('checkExpectation', onRequest)
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) =>
    connectionOf(request.socket)?.onRequest(request, response, true),
  )
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) =>
    onClientError(error, socket, connectionOf(socket)),
  )
  server.on('connect', (_request: IncomingMessage, socket: Socket) => {
    // From here on node leaves the socket to us, its errors included.
    socket.on('error', () => socket.destroy()).resume()
    connectionOf(socket)?.onGarbage('CONNECT is for proxies', 400)
  })
  server.on('timeout', (socket: Socket) => {
    if (connectionOf(socket)?.awaitsClient ?? true) socket.destroy()
    // It is this server that is slow, and only the timer must go on.
    else socket.setTimeout(limits.stallMs)
  })
  const local = await listenOn(server, options)
  const stopAccepting = (): void => {
    if (isStopped) return
    isStopped = true
    // The close of http.Server also cuts connections whose last reply is still being sent.
    NetServer.prototype.close.call(server)
    for (const connection of connections.values()) connection.drain()
  }
  return {
    local,
    stopAccepting,
    inFlight: () => [...connections.values()].reduce((sum, each) => sum + each.unfinished, 0),
    close: () => {
      stopAccepting()
      for (const connection of connections.values()) connection.cut()
    },
  }
}

function createHttpServer(limits: NodeLimits): Server {
  const server = createServer({
    insecureHTTPParser: false,
    maxHeaderSize: headBytesMax,
    // Refused by framingFault instead, so that the answer has our form.
    requireHostHeader: false,
    headersTimeout: limits.headersMs,
    // A whole request may take hours: a layer is as large as it is.
    requestTimeout: 0,
    connectionsCheckingInterval: Math.min(limits.headersMs, 5_000),
    keepAliveTimeout: limits.keepAliveMs,
    highWaterMark: 64 * 1024,
    noDelay: true,
  })
  server.setTimeout(limits.stallMs)
  return server
}

function listenOn(server: Server, options: TransportOptions): Promise<Listener['local']> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: options.address, port: options.port, backlog: 4096 }, () => {
      server.off('error', reject)
      server.on('error', options.onFault)
      const bound = server.address()
      if (bound === null || typeof bound === 'string') return reject(new Error('not a TCP port'))
      resolve({ address: bound.address, port: bound.port })
    })
  })
}

interface ParserFault {
  readonly status: number
  readonly reason: string
}

const malformed: ParserFault = { status: 400, reason: 'malformed request' }
const parserFaults: Readonly<Record<string, ParserFault>> = {
  HPE_HEADER_OVERFLOW: { status: 431, reason: 'headers are too large' },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, reason: 'headers took too long' },
}

function onClientError(
  error: NodeJS.ErrnoException,
  socket: Socket,
  connection: Connection | undefined,
): void {
  const { code = '' } = error
  const fault = parserFaults[code] ?? (code.startsWith('HPE_') ? malformed : undefined)
  // What is wrong is the socket, or else what came over it.
  if (fault === undefined) socket.destroy()
  else connection?.onGarbage(fault.reason, fault.status)
}
