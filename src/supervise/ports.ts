// Finds out, before any process starts, whether all of them can listen where they are to.

import { createServer } from 'node:net'
import type { ListenerConfig } from '../config/schema.ts'
import { explainListenError } from '../server/listen.ts'
import { bind } from '../server/transport/node/bind.ts'

/**
 * The port of each listener, with a real one for 0; 0 for a unix socket. Processes share ports and sockets
 * without a word, so this is where another server is noticed. A socket that a dead one left is removed.
 * Errors: Error for the operator, with `code` 'EADDRINUSE' or 'EACCES'.
 */
export async function settlePorts(
  listeners: readonly ListenerConfig[],
): Promise<readonly number[]> {
  const probes = listeners.map((listener) => ({ listener, server: createServer() }))
  try {
    const ports: number[] = []
    for (const { listener, server } of probes) {
      const { port } = await bind(server, placeOf(listener)).catch((error: unknown) => {
        throw explainListenError(error, listener)
      })
      ports.push(port)
    }
    return ports
  } finally {
    await Promise.all(probes.map(({ server }) => new Promise((resolve) => server.close(resolve))))
  }
}

function placeOf(listener: ListenerConfig): Parameters<typeof bind>[1] {
  return listener.kind === 'tcp'
    ? { kind: 'tcp', address: listener.address, port: listener.port }
    : { kind: 'unix', path: listener.path, mode: listener.mode }
}
