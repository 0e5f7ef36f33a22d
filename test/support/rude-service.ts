// Answers for a service that a test has under control to the byte: it answers as it should, or in one of
// the ways in which services fail.

import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'

/** An answer that is well-formed. */
export interface RudeAnswer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** Every way but one: nobody listening is `RudeService.stop`. */
export const rudeManners = [
  'never answers',
  'stops after the head',
  'drips its body',
  'ends its body early',
  'ends its chunks early',
  'closes at once',
  'resets the connection',
  'speaks another protocol',
  'has a head that never ends',
  'has a body beyond the bound',
  'answers with two lengths',
  'sends hints for ever',
] as const

export type RudeManner = (typeof rudeManners)[number]

/** What it does with a request. */
export type Behaviour = RudeAnswer | RudeManner

export interface RudeRequest {
  /** With its query. */
  readonly target: string
  readonly method: string
  /** Lower-case names; one line each, so that a header that came twice shows. */
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>
  readonly body: string
  /** Counted from 1: which of the connections it came on. */
  readonly connection: number
}

export interface RudeService {
  /** `http://127.0.0.1:PORT`, `https` with TLS. */
  readonly url: string
  /** Whole requests so far. */
  readonly requests: readonly RudeRequest[]
  readonly connections: number
  /** Requests that came and are not answered yet, and the most there were at a time. */
  readonly open: number
  readonly openMax: number
  /** Status 200 is what an allowing webhook answers; the reply that a rude answer begins with. */
  behave(how: Behaviour | ((request: RudeRequest) => Behaviour)): void
  /** Answers requests that wait because the behaviour was 'never answers'. */
  release(answer: RudeAnswer): void
  /** Nobody listens, and all connections end. */
  stop(): Promise<void>
  /** Listens again, on the same port. */
  start(): Promise<void>
  close(): Promise<void>
}

/** `agreed`: the answer that allows, which the rude ones look like as far as they go. */
export async function openRudeService(agreed: RudeAnswer, tls?: TlsOptions): Promise<RudeService> {
  const service = new Service(agreed, tls)
  await service.start()
  return service
}

class Service implements RudeService {
  readonly requests: RudeRequest[] = []
  connections = 0
  open = 0
  openMax = 0
  readonly #agreed: RudeAnswer
  readonly #tls: TlsOptions | undefined
  readonly #sockets = new Set<Socket>()
  readonly #timers = new Set<NodeJS.Timeout>()
  #held: Socket[] = []
  #server: Server | undefined
  #port = 0
  #how: (request: RudeRequest) => Behaviour

  constructor(agreed: RudeAnswer, tls: TlsOptions | undefined) {
    this.#agreed = agreed
    this.#tls = tls
    this.#how = () => agreed
  }

  get url(): string {
    return `${this.#tls === undefined ? 'http' : 'https'}://127.0.0.1:${this.#port}`
  }

  behave(how: Behaviour | ((request: RudeRequest) => Behaviour)): void {
    this.#how = typeof how === 'function' ? how : () => how
  }

  release(answer: RudeAnswer): void {
    for (const socket of this.#held) this.#reply(socket, answer)
    this.#held = []
  }

  async start(): Promise<void> {
    const onSocket = (socket: Socket): void => this.#take(socket)
    const server =
      this.#tls === undefined ? createServer(onSocket) : createTlsServer(this.#tls, onSocket)
    // Of clients that go in the middle of a handshake.
    server.on('tlsClientError', () => undefined)
    server.listen(this.#port, '127.0.0.1')
    await once(server, 'listening')
    this.#port = (server.address() as AddressInfo).port
    this.#server = server
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    this.#held = []
    const server = this.#server
    this.#server = undefined
    if (server === undefined) return
    const closed = once(server, 'close')
    server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  close(): Promise<void> {
    return this.stop()
  }

  #take(socket: Socket): void {
    this.connections += 1
    const connection = this.connections
    this.#sockets.add(socket)
    let received = Buffer.alloc(0)
    let isOpen = false
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.#sockets.delete(socket)
      if (isOpen) this.open -= 1
      isOpen = false
    })
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      const request = parse(received, connection)
      if (request === undefined) return
      received = Buffer.alloc(0)
      this.requests.push(request)
      isOpen = true
      this.open += 1
      this.openMax = Math.max(this.open, this.openMax)
      const answered = (): void => {
        if (isOpen) this.open -= 1
        isOpen = false
      }
      const how = this.#how(request)
      socket.once('answered', answered)
      if (typeof how === 'string') this.#beRude(socket, how)
      else this.#reply(socket, how)
    })
  }

  #reply(socket: Socket, answer: RudeAnswer): void {
    socket.emit('answered')
    const { body = '' } = answer
    socket.write(`${headOf(answer, Buffer.byteLength(body))}${body}`)
  }

  #beRude(socket: Socket, manner: RudeManner): void {
    const agreed = this.#agreed
    const body = agreed.body ?? 'allowed'
    const length = Buffer.byteLength(body)
    switch (manner) {
      case 'never answers':
        this.#held.push(socket)
        return
      case 'stops after the head':
        socket.write(headOf(agreed, length))
        return
      case 'drips its body':
        socket.write(headOf(agreed, 100_000))
        this.#drip(socket, ' ')
        return
      case 'ends its body early':
        socket.end(`${headOf(agreed, length + 1)}${body}`)
        return
      case 'ends its chunks early':
        socket.end(
          `${headOf(agreed, undefined)}Transfer-Encoding: chunked\r\n\r\n${length.toString(16)}\r\n${body}\r\n`,
        )
        return
      case 'closes at once':
        socket.end()
        return
      case 'resets the connection':
        socket.resetAndDestroy()
        return
      case 'speaks another protocol':
        socket.end('SSH-2.0-OpenSSH_9.2\r\n')
        return
      case 'has a head that never ends':
        socket.write(`HTTP/1.1 ${agreed.status} OK\r\n`)
        this.#drip(socket, `X-More: ${'x'.repeat(1024)}\r\n`)
        return
      case 'has a body beyond the bound':
        socket.write(headOf(agreed, 1024 * 1024))
        socket.write(body.padEnd(1024 * 1024, ' '))
        return
      case 'answers with two lengths':
        socket.write(
          `${headOf(agreed, undefined)}Content-Length: ${length}\r\nContent-Length: ${length + 1}\r\n\r\n${body}`,
        )
        return
      case 'sends hints for ever':
        this.#drip(socket, 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n')
        return
      default:
        manner satisfies never
    }
  }

  #drip(socket: Socket, text: string): void {
    const timer = setInterval(() => socket.write(text), 5)
    this.#timers.add(timer)
    socket.on('close', () => clearInterval(timer))
  }
}

/** `length` undefined: the head goes on. */
function headOf({ status, headers = {} }: RudeAnswer, length: number | undefined): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const end = length === undefined ? '' : `Content-Length: ${length}\r\n\r\n`
  return `HTTP/1.1 ${status} Status\r\n${lines.join('')}${end}`
}

function parse(received: Buffer, connection: number): RudeRequest | undefined {
  const headEnd = received.indexOf('\r\n\r\n')
  if (headEnd === -1) return undefined
  const [first = '', ...lines] = received.subarray(0, headEnd).toString('latin1').split('\r\n')
  const [method = '', target = ''] = first.split(' ')
  const headers = lines.map((line) => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const
  })
  const length = Number(headers.find(([name]) => name === 'content-length')?.[1] ?? 0)
  const body = received.subarray(headEnd + 4)
  if (body.byteLength < length) return undefined
  return { target, method, headers, body: body.toString('utf8'), connection }
}
