// Takes an address for a listener of the native library, which shares its port without a word.

import { createServer, isIP } from 'node:net'
import type { ListenSocket } from '../exchange.ts'
import { bind } from '../node/bind.ts'
import { countListening } from './peer-table.ts'

/**
 * The place with its real port, free a moment ago: the system says so, and says why not.
 * Errors: as `bind`.
 */
export async function freePlace(socket: ListenSocket): Promise<ListenSocket> {
  const probe = createServer()
  // `bind` has no sharing of ports, and looks at what is in the way of a unix socket.
  const { port } = await bind(probe, socket)
  await new Promise((resolve) => probe.close(resolve))
  return socket.kind === 'unix' ? socket : { ...socket, port }
}

/** Whether another server has begun to listen in the moment since `freePlace`. */
export function isShared(place: ListenSocket): boolean {
  if (place.kind === 'unix' || isIP(place.address) === 0) return false
  return (countListening(place.address, place.port) ?? 1) > 1
}

export function placeTaken(place: ListenSocket): Error {
  const where = place.kind === 'unix' ? place.path : `${place.address}:${place.port}`
  const message = `cannot listen on ${where}: address in use or not available`
  return Object.assign(new Error(message), { code: 'EADDRINUSE' })
}
