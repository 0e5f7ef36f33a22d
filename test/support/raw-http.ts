// Answers for HTTP/1.1 over a bare socket: every byte sent is the test's own, and replies are cut
// apart by the rules of RFC 9112, so that a wrong length shows.

import { connect, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import { until } from './until.ts'

export interface RawReply {
  readonly status: number
  /** Lower-case names; repeated ones joined by ', '. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

export interface RawReplyOptions {
  /** The reply to HEAD has a length and no body. */
  readonly isHead?: boolean
  readonly deadlineMs?: number
}

export interface RawTarget {
  /** Default 127.0.0.1. */
  readonly host?: string
  readonly port?: number
  /** Of a unix socket, in place of host and port. */
  readonly path?: string
  /** Of this end, where the machine has several. */
  readonly localAddress?: string
  /** Our side goes on when the server has ended its own. */
  readonly staysOpen?: boolean
  /** Over TLS; the server's certificate is believed, unless these options say otherwise. */
  readonly tls?: ConnectionOptions | undefined
  /** Sent ahead of everything else, outside TLS. */
  readonly preamble?: Uint8Array
}

const headEnd = Buffer.from('\r\n\r\n')

/** A connection under the test's control. Nothing is read from it but into memory. */
export class RawConnection {
  readonly socket: Socket
  #received: Buffer[] = []
  #receivedBytes = 0
  #isClosed = false
  #isEnded = false

  readonly #carrier: Socket

  private constructor(carrier: Socket, socket: Socket) {
    this.#carrier = carrier
    this.socket = socket
    socket.on('data', (chunk) => {
      this.#received.push(chunk)
      this.#receivedBytes += chunk.length
    })
    socket.once('end', () => {
      this.#isEnded = true
    })
    socket.once('close', () => {
      this.#isClosed = true
    })
    // A reset is an end like another: tests look at `isOver`.
    socket.on('error', () => {})
  }

  /**
   * Errors: those of the socket, and of the TLS handshake. With TLS 1.3 a server may refuse a client's
   * certificate after this has resolved.
   */
  static async open(to: number | RawTarget, staysOpen = false): Promise<RawConnection> {
    const target: RawTarget = typeof to === 'number' ? { port: to, staysOpen } : to
    const carrier = await connected(target)
    if (target.preamble !== undefined) carrier.write(target.preamble)
    if (target.tls === undefined) return new RawConnection(carrier, carrier)
    return new RawConnection(carrier, await secured(carrier, target.tls))
  }

  /** True when the server has ended the connection, or either side is gone. */
  get isOver(): boolean {
    return this.#isClosed || this.#isEnded
  }

  /** Received and not yet taken by `reply`. */
  get pendingBytes(): number {
    return this.#receivedBytes
  }

  get pending(): Buffer {
    const all = Buffer.concat(this.#received)
    this.#received = [all]
    return all
  }

  write(...parts: readonly (string | Uint8Array)[]): void {
    for (const part of parts) this.socket.write(part)
  }

  /** Everything written is in the hands of the kernel. */
  async flushed(deadlineMs?: number): Promise<void> {
    await until('written', () => this.socket.writableLength === 0 || this.isOver, deadlineMs)
  }

  /** The next reply on the connection, interim ones (1xx) included. */
  async reply(options: RawReplyOptions = {}): Promise<RawReply> {
    const { isHead = false, deadlineMs } = options
    await until(
      'the head of a reply',
      () => this.isOver || this.pending.includes(headEnd),
      deadlineMs,
    )
    const end = this.pending.indexOf(headEnd)
    if (end === -1) throw new Error(`ended before a reply: ${this.#excerpt()}`)
    const { status, headers } = parseHead(this.pending.subarray(0, end).toString('latin1'))
    this.#drop(end + headEnd.length)
    const hasBody = !isHead && status >= 200 && status !== 204 && status !== 304
    const length = hasBody ? await this.#bodyLength(headers, deadlineMs) : 0
    await until('the body', () => this.isOver || this.#receivedBytes >= length, deadlineMs)
    const body = Buffer.from(this.pending.subarray(0, length))
    if (body.length < length) throw new Error(`ended after ${body.length} of ${length} bytes`)
    this.#drop(length)
    return { status, headers, body }
  }

  async #bodyLength(headers: RawReply['headers'], deadlineMs?: number): Promise<number> {
    const announced = headers['content-length']
    if (announced !== undefined) {
      if (!/^\d+$/.test(announced)) throw new Error(`Content-Length: ${announced}`)
      return Number(announced)
    }
    if (headers['connection'] !== 'close') throw new Error('a reply whose length nothing tells')
    await this.over(deadlineMs)
    return this.#receivedBytes
  }

  async over(deadlineMs?: number): Promise<void> {
    await until('the end of the connection', () => this.isOver, deadlineMs)
  }

  /** Go away at once, with a reset. */
  reset(): void {
    this.#carrier.resetAndDestroy()
    this.socket.destroy()
  }

  close(): void {
    this.socket.destroy()
    this.#carrier.destroy()
  }

  #drop(bytes: number): void {
    this.#received = [this.pending.subarray(bytes)]
    this.#receivedBytes -= bytes
  }

  #excerpt(): string {
    return JSON.stringify(this.pending.subarray(0, 200).toString('latin1'))
  }
}

function connected(target: RawTarget): Promise<Socket> {
  const { host = '127.0.0.1', port = 0, path, localAddress, staysOpen = false } = target
  const where = path === undefined ? { host, port } : { path }
  const from = localAddress === undefined ? {} : { localAddress }
  const socket = connect({ ...where, ...from, noDelay: true, allowHalfOpen: staysOpen })
  return new Promise((resolve, reject) => {
    socket.once('connect', () => resolve(socket))
    socket.once('error', reject)
  })
}

function secured(carrier: Socket, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connectTls({ rejectUnauthorized: false, ...options, socket: carrier })
  // Errors of the carrier are the TLS socket's too.
  carrier.on('error', () => {})
  return new Promise((resolve, reject) => {
    socket.once('secureConnect', () => {
      socket.off('error', reject)
      socket.off('close', onClose)
      resolve(socket)
    })
    const onClose = (): void => reject(new Error('closed within the TLS handshake'))
    socket.once('error', reject)
    socket.once('close', onClose)
  })
}

function parseHead(text: string): Pick<RawReply, 'status' | 'headers'> {
  const [statusLine = '', ...lines] = text.split('\r\n')
  const status = /^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1]
  if (status === undefined) throw new Error(`not a status line: ${JSON.stringify(statusLine)}`)
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const colon = line.indexOf(':')
    if (colon < 1) throw new Error(`not a header line: ${JSON.stringify(line)}`)
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    headers[name] = name in headers ? `${headers[name]}, ${value}` : value
  }
  return { status: Number(status), headers }
}
