// Answers for clients behind many addresses, as a program, since it runs in a network namespace: from
// each address full and resumed connections, and which server answered them. Prints JSON.
import { connect, type TLSSocket } from 'node:tls'

export interface SteeredOrder {
  readonly host: string
  readonly port: number
  /** PEM. */
  readonly ca: string
  readonly servername: string
  readonly addresses: readonly string[]
  /** Resumptions tried from each address. */
  readonly resumptions: number
}

export interface Steered {
  readonly address: string
  /** Serial of the server's certificate in two full handshakes, first and last. */
  readonly serials: readonly [string, string]
  /** For each resumption that was tried, whether the server took the ticket. */
  readonly resumed: readonly boolean[]
}

interface Visit {
  readonly serial: string
  readonly isResumed: boolean
  readonly ticket: Buffer | undefined
}

/** One connection with one request: BoringSSL sends its tickets with the first answer. */
function visit(order: SteeredOrder, localAddress: string, session?: Buffer): Promise<Visit> {
  const { host, port, ca, servername } = order
  return new Promise((resolve, reject) => {
    let ticket: Buffer | undefined
    let answer = ''
    const resuming = session === undefined ? {} : { session }
    // The types of node:tls do not know that net's options pass through.
    const options = { host, port, ca, servername, localAddress, ...resuming }
    const socket: TLSSocket = connect(options)
    socket.setTimeout(10_000, () => socket.destroy(new Error(`${localAddress}: no answer`)))
    socket.on('session', (bytes: Buffer) => {
      ticket = bytes
    })
    socket.once('secureConnect', () =>
      socket.write(`GET /v2/ HTTP/1.1\r\nHost: ${servername}\r\nConnection: close\r\n\r\n`),
    )
    socket.on('data', (bytes: Buffer) => {
      answer += bytes.toString('latin1')
      if (!answer.includes('\r\n\r\n')) return
      if (!answer.startsWith('HTTP/1.1 200')) return reject(new Error(answer))
      const isResumed = socket.isSessionReused()
      resolve({ serial: socket.getPeerCertificate().serialNumber, isResumed, ticket })
      socket.end()
    })
    socket.once('error', reject)
    socket.once('close', () => reject(new Error(`${localAddress}: closed without an answer`)))
  })
}

async function visitFrom(order: SteeredOrder, address: string): Promise<Steered> {
  const first = await visit(order, address)
  if (first.ticket === undefined) throw new Error(`${address}: no ticket`)
  const resumed: boolean[] = []
  for (let count = 0; count < order.resumptions; count += 1) {
    resumed.push((await visit(order, address, first.ticket)).isResumed)
  }
  const last = await visit(order, address)
  return { address, serials: [first.serial, last.serial], resumed }
}

const order = JSON.parse(process.argv[2] ?? '') as SteeredOrder
const results: Steered[] = []
for (const address of order.addresses) results.push(await visitFrom(order, address))
process.stdout.write(JSON.stringify(results))
