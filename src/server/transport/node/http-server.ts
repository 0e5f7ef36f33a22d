// The server of node:http: its limits, and its events put in terms of our connections.

import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { Socket } from 'node:net'
import type { Connection } from './connection.ts'

const headBytesMax = 16 * 1024

/** Takes a connection; node's own way in, as a function. */
export type HttpEntrance = (socket: Socket) => void

export interface HttpFront {
  readonly server: Server
  readonly enter: HttpEntrance
}

/** `onConnection` sees each accepted connection first, and lets it `enter` when it may. */
export function createHttpFront(
  onConnection: (raw: Socket) => void,
  connectionOf: (socket: Socket) => Connection | undefined,
): HttpFront {
  const server = createServer({
    insecureHTTPParser: false,
    maxHeaderSize: headBytesMax,
    // Refused by framingFault instead, so that the answer has our form.
    requireHostHeader: false,
    // Time is counted in progress.ts: node's clocks run also while it is this server that is slow.
    headersTimeout: 0,
    requestTimeout: 0,
    keepAliveTimeout: 0,
    highWaterMark: 64 * 1024,
    noDelay: true,
  })
  // Beyond a number node hides headers from us that its parser has acted upon. Their bytes are bounded.
  server.maxHeadersCount = 0
  const entrances = server.listeners('connection')
  server.removeAllListeners('connection')
  server.on('connection', onConnection)
  onRequests(server, connectionOf)
  onErrors(server, connectionOf)
  return {
    server,
    enter: (socket) => {
      for (const entrance of entrances) entrance.call(server, socket)
    },
  }
}

function onRequests(
  server: Server,
  connectionOf: (socket: Socket) => Connection | undefined,
): void {
  const onRequest: RequestListener = (request, response): void =>
    connectionOf(request.socket)?.onRequest(request, response, false)
  server.on('request', onRequest)
  // RFC 9110 10.1.1 lets a server ignore expectations that it does not know.
  server.on('checkExpectation', onRequest)
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) =>
    connectionOf(request.socket)?.onRequest(request, response, true),
  )
  server.on('connect', (_request: IncomingMessage, socket: Socket) => {
    // From here on node leaves the socket to us, its errors included.
    socket.on('error', () => socket.destroy()).resume()
    connectionOf(socket)?.onGarbage('CONNECT is for proxies', 400)
  })
}

interface ParserFault {
  readonly status: number
  readonly reason: string
}

const malformed: ParserFault = { status: 400, reason: 'malformed request' }
const parserFaults: Readonly<Record<string, ParserFault>> = {
  HPE_HEADER_OVERFLOW: { status: 431, reason: 'headers are too large' },
}

function onErrors(server: Server, connectionOf: (socket: Socket) => Connection | undefined): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    const { code = '' } = error
    const fault = parserFaults[code] ?? (code.startsWith('HPE_') ? malformed : undefined)
    // What is wrong is the socket, or else what came over it.
    if (fault === undefined) socket.destroy()
    else connectionOf(socket)?.onGarbage(fault.reason, fault.status)
  })
}
