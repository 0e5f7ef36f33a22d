// A keep-alive HTTP/1.1 client on one raw socket: cheap enough that the server is the limit.
// It knows just what registries answer to pushes: statuses, headers, bodies with a length.

import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Origin } from '../contract.ts'
import { authorizationLines, clientOptions } from './get.ts'

export interface Answer {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
}

interface Waiting {
  readonly resolve: (answer: Answer) => void
  readonly reject: (cause: Error) => void
}

const HEAD_END = Buffer.from('\r\n\r\n')

function parseHead(text: string): { status: number; headers: Map<string, string> } {
  const [statusLine = '', ...lines] = text.split('\r\n')
  const headers = new Map<string, string>()
  for (const line of lines) {
    const colon = line.indexOf(':')
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim())
  }
  return { status: Number(statusLine.slice(9, 12)), headers }
}

/** The path and query of a Location header, which may be absolute or relative. */
export function locationOf(answer: Answer): string {
  const location = answer.headers.get('location')
  if (location === undefined) throw new Error(`${answer.status} without Location`)
  return location.replace(/^https?:\/\/[^/]+/, '')
}

export class RawConnection {
  readonly #socket: Socket
  readonly #host: string
  readonly #authorization: string | undefined
  #received: Buffer = Buffer.alloc(0)
  #bodyless = false
  #waiting: Waiting | undefined
  #drained: (() => void) | undefined
  #failure: Error | undefined

  private constructor(socket: Socket, { port, authorization }: Origin) {
    this.#socket = socket
    this.#host = `127.0.0.1:${port}`
    this.#authorization = authorization
    socket.setNoDelay(true)
    socket.on('data', (chunk) => this.#take(chunk))
    socket.on('drain', () => this.#releaseWriter())
    socket.on('error', (cause) => this.#fail(cause))
    socket.on('close', () => this.#fail(new Error('the server closed the connection')))
  }

  /** Every request on it shows `origin.authorization`. */
  static async open(origin: Origin): Promise<RawConnection> {
    const { port, credentials } = origin
    const where = { host: '127.0.0.1', port }
    const socket =
      credentials === undefined
        ? connect(where)
        : connectTls({ ...where, ...clientOptions(credentials) })
    await new Promise<void>((resolve, reject) => {
      socket.once(credentials === undefined ? 'connect' : 'secureConnect', resolve)
      socket.once('error', reject)
    })
    return new RawConnection(socket, origin)
  }

  /**
   * Send one request and wait for its answer; one at a time per connection.
   * `before` is awaited before the block of that index goes out, which lets a driver hold bodies
   * open, or send slowly.
   * Errors: Error when the connection ends early.
   */
  async exchange(
    method: string,
    target: string,
    headers: readonly string[] = [],
    blocks: readonly Buffer[] = [],
    before?: (index: number) => Promise<void> | undefined,
  ): Promise<Answer> {
    this.#bodyless = method === 'HEAD'
    const answered = new Promise<Answer>((resolve, reject) => {
      this.#waiting = { resolve, reject }
    })
    // A failure while the body is still being written is reported by `#write`.
    answered.catch(() => undefined)
    const shown = authorizationLines(this.#authorization)
    const start = [`${method} ${target} HTTP/1.1`, `Host: ${this.#host}`]
    const head = [...start, ...shown, ...headers, '', '']
    this.#socket.cork()
    this.#socket.write(head.join('\r\n'), 'latin1')
    if (before !== undefined) this.#socket.uncork()
    for (const [index, block] of blocks.entries()) {
      // Already answered, so refused: the caller sees the status, the rest need not go out.
      if (this.#waiting === undefined) break
      const held = before?.(index)
      if (held !== undefined) await held
      const writing = this.#write(block)
      // The head travels with the first block, as one write.
      if (index === 0) this.#socket.uncork()
      if (writing !== undefined) await writing
    }
    if (blocks.length === 0) this.#socket.uncork()
    return await answered
  }

  close(): void {
    this.#failure = new Error('closed by the driver')
    this.#socket.destroy()
  }

  #write(block: Buffer): Promise<void> | undefined {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#socket.write(block)) return undefined
    return new Promise((resolve, reject) => {
      this.#drained = () => (this.#failure === undefined ? resolve() : reject(this.#failure))
    })
  }

  #releaseWriter(): void {
    const drained = this.#drained
    this.#drained = undefined
    drained?.()
  }

  #fail(cause: Error): void {
    this.#failure ??= cause
    this.#releaseWriter()
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.reject(this.#failure)
  }

  #take(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    const headEnd = this.#received.indexOf(HEAD_END)
    if (headEnd < 0) return
    const { status, headers } = parseHead(this.#received.toString('latin1', 0, headEnd))
    const bodyStart = headEnd + HEAD_END.length
    if (status === 100) {
      this.#received = this.#received.subarray(bodyStart)
      return
    }
    if (headers.has('transfer-encoding')) {
      this.#fail(new Error('unexpected chunked answer'))
      return
    }
    const bodyBytes =
      this.#bodyless || status === 304 ? 0 : Number(headers.get('content-length') ?? 0)
    if (this.#received.length < bodyStart + bodyBytes) return
    const body = this.#received.subarray(bodyStart, bodyStart + bodyBytes)
    this.#received = this.#received.subarray(bodyStart + bodyBytes)
    const waiting = this.#waiting
    this.#waiting = undefined
    // An answer before the body has gone out would leave the writer waiting for a drain.
    this.#releaseWriter()
    waiting?.resolve({ status, headers, body })
  }
}
