// Answers for HTTP/1.1 over a bare socket: every byte sent is the test's own, and replies are cut
// apart by the rules of RFC 9112, so that a wrong length shows.

import { connect, type Socket } from 'node:net'
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

const headEnd = Buffer.from('\r\n\r\n')

/** A connection under the test's control. Nothing is read from it but into memory. */
export class RawConnection {
  readonly socket: Socket
  #received: Buffer[] = []
  #receivedBytes = 0
  #isClosed = false
  #isEnded = false

  private constructor(socket: Socket) {
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

  /** `staysOpen`: our side goes on when the server has ended its own. */
  static async open(port: number, staysOpen = false): Promise<RawConnection> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: staysOpen })
    const connection = new RawConnection(socket)
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return connection
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
    this.socket.resetAndDestroy()
  }

  close(): void {
    this.socket.destroy()
  }

  #drop(bytes: number): void {
    this.#received = [this.pending.subarray(bytes)]
    this.#receivedBytes -= bytes
  }

  #excerpt(): string {
    return JSON.stringify(this.pending.subarray(0, 200).toString('latin1'))
  }
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
