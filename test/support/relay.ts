// Answers for a free port of this host that leads to a unix socket, for programs that can take no port.
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { pipeline } from 'node:stream'

export interface Relay {
  /** `127.0.0.1:PORT`. */
  readonly host: string
  readonly url: string
  /** Takes no more connections. */
  close(): void
}

export async function startRelay(socket: string): Promise<Relay> {
  // Each way ends on its own, as half-open sockets do: what is still to be written when the other
  // side has closed must arrive, and a pipeline destroys both its ends once one of them is closed.
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ path: socket, allowHalfOpen: true })
    pipeline(near, far, noFault)
    pipeline(far, near, noFault)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const host = `127.0.0.1:${port}`
  return { host, url: `http://${host}`, close: () => server.close() }
}

function noFault(): void {
  // A client that leaves early is its own business.
}
