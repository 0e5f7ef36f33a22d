// The admin listener: a unix socket that only the service's own user can open.

import { chmodSync, lstatSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { connect } from 'node:net'

/** An answer that is not JSON. */
export interface TextAnswer {
  readonly contentType: string
  readonly text: string
}

/** An answer that may be a refusal; its body is sent as JSON. */
export interface StatusAnswer {
  readonly status: number
  readonly body: object
}

/** What a GET of each path answers to its query: as JSON, or one of the answers above as it is. */
export type AdminRoutes = Readonly<
  Record<string, (query: URLSearchParams) => unknown | Promise<unknown>>
>

/** What a POST of each path answers to its body, parsed as JSON. */
export type AdminCalls = Readonly<Record<string, (input: unknown) => Promise<StatusAnswer>>>

export interface AdminListener {
  readonly socket: string
  close(): Promise<void>
}

/**
 * Mode 0600. A socket left by a killed server is replaced; one that answers is not, nor is another file.
 * Errors: Error where another server listens on it or the path cannot be used. Source: DESIGN "Admin".
 */
export async function listenAdmin(
  socket: string,
  routes: AdminRoutes,
  calls: AdminCalls = {},
): Promise<AdminListener> {
  const found = lstatSync(socket, { throwIfNoEntry: false })
  if (found !== undefined && !found.isSocket()) {
    throw new Error(`admin.socket: a file that is no socket is at ${socket}`)
  }
  if (await answers(socket)) throw new Error(`admin.socket: another server listens on ${socket}`)
  rmSync(socket, { force: true })
  const server = createServer((request, response) => {
    const [path = '', query = ''] = (request.url ?? '').split('?')
    const call = Object.hasOwn(calls, path) ? calls[path] : undefined
    if (call !== undefined) {
      if (request.method !== 'POST') response.writeHead(405, { Allow: 'POST' }).end()
      else void receiveCall(call, request, response)
      return
    }
    const answer = Object.hasOwn(routes, path) ? routes[path] : undefined
    if (answer === undefined || request.method !== 'GET') {
      response.writeHead(answer === undefined ? 404 : 405).end()
      return
    }
    void answerRoute(answer, new URLSearchParams(query)).then(({ status, contentType, text }) => {
      response.writeHead(status, text === '' ? {} : { 'Content-Type': contentType }).end(text)
    })
  })
  await listenPrivately(server, socket)
  return { socket, close: () => close(server) }
}

/** An answer as it is sent. */
export interface SentAnswer extends TextAnswer {
  readonly status: number
}

/** What a GET is answered with: 503 where its answer fails. */
export async function answerRoute(
  route: AdminRoutes[string],
  query: URLSearchParams,
): Promise<SentAnswer> {
  try {
    const told = await route(query)
    const { status, body } = isStatus(told) ? told : { status: 200, body: told }
    return { status, ...(isText(body) ? body : asJson(body)) }
  } catch {
    return { status: 503, contentType: 'text/plain', text: '' }
  }
}

/** What a POST is answered with: 503 where its call fails. */
export async function answerCall(call: AdminCalls[string], input: unknown): Promise<SentAnswer> {
  try {
    const { status, body } = await call(input)
    return { status, ...asJson(body) }
  } catch {
    return { status: 503, ...asJson({ error: 'the store cannot be used at the moment' }) }
  }
}

const callBytesMax = 64 * 1024

async function receiveCall(
  call: AdminCalls[string],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const send = (status: number, { contentType, text }: TextAnswer): void => {
    response.writeHead(status, { 'Content-Type': contentType }).end(text)
  }
  const refuse = (status: number, error: string): void => send(status, asJson({ error }))
  try {
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of request as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > callBytesMax) return refuse(413, 'the body is too long')
      chunks.push(chunk)
    }
    let input: unknown
    try {
      input = JSON.parse(Buffer.concat(chunks).toString('utf8'))
    } catch {
      return refuse(400, 'expected JSON')
    }
    const { status, ...answer } = await answerCall(call, input)
    send(status, answer)
  } catch {
    // The caller has gone before it had said what it wants.
    response.destroy()
  }
}

function isText(body: unknown): body is TextAnswer {
  return typeof body === 'object' && body !== null && 'contentType' in body && 'text' in body
}

function isStatus(told: unknown): told is StatusAnswer {
  const isObject = typeof told === 'object' && told !== null
  return isObject && 'body' in told && 'status' in told && typeof told.status === 'number'
}

function asJson(body: unknown): TextAnswer {
  return { contentType: 'application/json', text: `${JSON.stringify(body)}\n` }
}

// The mask is set around the bind, so that the socket is never open to others, not even for a moment.
async function listenPrivately(server: Server, socket: string): Promise<void> {
  const before = process.umask(0o177)
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(socket, resolve)
    })
  } finally {
    process.umask(before)
  }
  chmodSync(socket, 0o600)
}

function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', () => resolve(false))
  })
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
