// Binds a server to its TCP address or unix socket.

import { chmodSync, lstatSync, unlinkSync } from 'node:fs'
import { connect, type Server } from 'node:net'
import type { ListenerAddress, ListenSocket } from '../exchange.ts'

const backlog = 4096

/**
 * `sharesAddress`: the supervisor of this process shares its socket with others.
 * Errors: Error with `code` 'EADDRINUSE', also for a path where something else than a dead socket is,
 * or 'EACCES'; what the system said otherwise.
 */
export async function bind(
  server: Server,
  socket: ListenSocket,
  sharesAddress = false,
): Promise<ListenerAddress> {
  if (socket.kind === 'unix') {
    if (sharesAddress) return bindShared(server, socket)
    await removeDeadSocket(socket.path)
    await listening(server, () => listenWithMode(server, socket.path, socket.mode))
    return { address: socket.path, port: 0 }
  }
  const { address: host, port } = socket
  await listening(server, () => server.listen({ host, port, backlog }))
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new Error('not a TCP port')
  return { address: bound.address, port: bound.port }
}

// The supervisor makes the socket, open to nobody else, when the first process asks for it.
async function bindShared(
  server: Server,
  { path, mode }: ListenSocket & { readonly kind: 'unix' },
): Promise<ListenerAddress> {
  await listening(server, () => server.listen({ path, backlog }))
  chmodSync(path, mode)
  return { address: path, port: 0 }
}

function listening(server: Server, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void => {
      server.off('listening', onListening)
      reject(error)
    }
    const onListening = (): void => {
      server.off('error', onError)
      resolve()
    }
    server.once('error', onError)
    server.once('listening', onListening)
    listen()
  })
}

// The bind is within `listen`, so the mask holds for it alone and the socket is never open to others,
// not even for a moment. The mask can only take rights away from 0777.
function listenWithMode(server: Server, path: string, mode: number): void {
  const before = process.umask(0o777 & ~mode)
  try {
    server.listen({ path, backlog })
  } finally {
    process.umask(before)
  }
  if (server.listening) chmodSync(path, mode)
}

async function removeDeadSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return
  if (!found.isSocket()) throw inUse(path, 'a file that is no socket is there')
  const reason = await whyDead(path)
  if (reason !== 'ECONNREFUSED') throw inUse(path, 'another server may listen on it', reason)
  unlinkSync(path)
}

/** What a connection to it says: ECONNREFUSED where nobody listens; undefined where somebody does. */
function whyDead(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const probe = connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve(undefined)
    })
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code))
  })
}

function inUse(path: string, why: string, reason = 'it answers'): Error {
  return Object.assign(new Error(`cannot listen on ${path}: ${why} (${reason})`), {
    code: 'EADDRINUSE',
  })
}
