// The admin listener: a unix socket that only the service's own user can open.

import { chmodSync, lstatSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { connect } from 'node:net'

/** An answer that is not JSON. */
export interface TextAnswer {
  readonly contentType: string
  readonly text: string
}

/** What a GET of each path answers: as JSON, or a `TextAnswer` as it is. */
export type AdminRoutes = Readonly<Record<string, () => unknown | Promise<unknown>>>

export interface AdminListener {
  readonly socket: string
  close(): Promise<void>
}

/**
 * Mode 0600. A socket left by a killed server is replaced; one that answers is not, nor is another file.
 * Errors: Error where another server listens on it or the path cannot be used. Source: DESIGN "Admin".
 */
export async function listenAdmin(socket: string, routes: AdminRoutes): Promise<AdminListener> {
  const found = lstatSync(socket, { throwIfNoEntry: false })
  if (found !== undefined && !found.isSocket()) {
    throw new Error(`admin.socket: a file that is no socket is at ${socket}`)
  }
  if (await answers(socket)) throw new Error(`admin.socket: another server listens on ${socket}`)
  rmSync(socket, { force: true })
  const server = createServer((request, response) => {
    const [path = ''] = (request.url ?? '').split('?')
    const answer = Object.hasOwn(routes, path) ? routes[path] : undefined
    if (answer === undefined || request.method !== 'GET') {
      response.writeHead(answer === undefined ? 404 : 405).end()
      return
    }
    Promise.resolve()
      .then(answer)
      .then((body) => {
        const { contentType, text } = isText(body) ? body : asJson(body)
        response.writeHead(200, { 'Content-Type': contentType }).end(text)
      })
      .catch(() => response.writeHead(503).end())
  })
  await listenPrivately(server, socket)
  return { socket, close: () => close(server) }
}

function isText(body: unknown): body is TextAnswer {
  return typeof body === 'object' && body !== null && 'contentType' in body && 'text' in body
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
