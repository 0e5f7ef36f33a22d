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
  const server = createServer((near) => {
    const far = connect(socket)
    // Each way ends on its own: what is still to be written when a side closes must arrive.
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
