// Answers for an S3 that misbehaves: a gate in front of a real one, which spoils what the test chooses.

import { once } from 'node:events'
import {
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

/** What it does with a request in place of handing it on and its answer back. */
export type S3Manner =
  | { readonly kind: 'fails'; readonly status: number; readonly code: string }
  /** Nothing is ever said; the request is not handed on. */
  | { readonly kind: 'stalls' }
  /** The request is carried out, and nobody hears of it. */
  | { readonly kind: 'is-silent' }
  /** It is carried out as late as that, also where nobody waits for it any more. */
  | { readonly kind: 'is-late'; readonly until: Promise<void> }
  /** The connection ends after so many bytes of the request's body; it is not handed on. */
  | { readonly kind: 'cuts-request'; readonly after: number }
  /** So many bytes of the answer's body, then the end of the connection, or nothing more. */
  | { readonly kind: 'cuts-answer' | 'stalls-answer'; readonly after: number }
  /** The first byte of the answer's body is another one. */
  | { readonly kind: 'spoils-answer' }
  /** An answer that is none of S3's. */
  | { readonly kind: 'speaks-html'; readonly status: number }

export interface S3Call {
  readonly method: string
  /** Path and query. */
  readonly target: string
  readonly headers: IncomingMessage['headers']
}

export class S3Gate {
  /** In the order in which they came. */
  readonly calls: S3Call[] = []
  readonly #server: Server
  readonly #behind: URL
  readonly #sockets = new Set<Socket>()
  #choose: (call: S3Call) => S3Manner | undefined = () => undefined

  private constructor(behind: string) {
    this.#behind = new URL(behind)
    this.#server = createServer((incoming, outgoing) => this.#take(incoming, outgoing))
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => undefined).on('close', () => this.#sockets.delete(socket))
    })
  }

  static async open(behind: string): Promise<S3Gate> {
    const gate = new S3Gate(behind)
    gate.#server.listen(0, '127.0.0.1')
    await once(gate.#server, 'listening')
    return gate
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** From here on; undefined: hand it on. */
  behave(choose: (call: S3Call) => S3Manner | undefined): void {
    this.#choose = choose
  }

  /** The first `times` calls that `is` knows meet this manner. */
  spoil(times: number, is: (call: S3Call) => boolean, manner: S3Manner): void {
    let left = times
    this.behave((call) => {
      if (left === 0 || !is(call)) return undefined
      left -= 1
      return manner
    })
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #take(incoming: IncomingMessage, outgoing: ServerResponse): void {
    incoming.on('error', () => undefined)
    outgoing.on('error', () => undefined)
    const { method = '', url: target = '', headers } = incoming
    const call = { method, target, headers }
    this.calls.push(call)
    const manner = this.#choose(call)
    switch (manner?.kind) {
      case 'fails':
        incoming.resume()
        outgoing.writeHead(manner.status, { 'Content-Type': 'application/xml' })
        outgoing.end(
          call.method === 'HEAD' ? undefined : `<Error><Code>${manner.code}</Code></Error>`,
        )
        return
      case 'speaks-html':
        incoming.resume()
        outgoing.writeHead(manner.status, { 'Content-Type': 'text/html' })
        outgoing.end(call.method === 'HEAD' ? undefined : '<html>nothing here</html>')
        return
      case 'stalls':
        incoming.resume()
        return
      case 'is-late':
        void this.#keepBack(incoming, outgoing, manner.until)
        return
      case 'cuts-request':
        this.#cutRequest(incoming, manner.after)
        return
      default:
        this.#handOn(incoming, outgoing, manner)
    }
  }

  #cutRequest(incoming: IncomingMessage, after: number): void {
    let received = 0
    incoming.on('data', (chunk: Buffer) => {
      received += chunk.length
      if (received >= after) incoming.socket.destroy()
    })
  }

  async #keepBack(
    incoming: IncomingMessage,
    outgoing: ServerResponse,
    until: Promise<void>,
  ): Promise<void> {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of incoming) chunks.push(chunk as Buffer)
    } catch {
      // It never came to its end, so nobody could carry it out.
      return
    }
    await until
    this.#send(incoming, outgoing).end(Buffer.concat(chunks))
  }

  #handOn(incoming: IncomingMessage, outgoing: ServerResponse, manner: S3Manner | undefined): void {
    const further = this.#send(incoming, outgoing, manner)
    outgoing.on('close', () => further.destroy())
    incoming.pipe(further)
  }

  #send(
    incoming: IncomingMessage,
    outgoing: ServerResponse,
    manner?: S3Manner,
  ): ReturnType<typeof request> {
    const { hostname, port } = this.#behind
    const { method, url: path, headers } = incoming
    const { expect: _, ...rest } = headers
    // As it is signed: with the name of the gate.
    const further = request({ hostname, port, method, path, headers: rest }, (answer) => {
      answer.on('error', () => undefined)
      if (manner?.kind === 'is-silent') {
        answer.resume()
        return
      }
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      outgoing.flushHeaders()
      this.#giveBack(answer, outgoing, manner)
    })
    further.on('error', () => outgoing.destroy())
    return further
  }

  #giveBack(answer: IncomingMessage, outgoing: ServerResponse, manner?: S3Manner): void {
    let sent = 0
    answer.on('data', (chunk: Buffer) => {
      let piece = chunk
      if (manner?.kind === 'spoils-answer' && sent === 0) {
        piece = Buffer.from(chunk)
        piece[0] = (piece[0] ?? 0) ^ 1
      }
      if (manner?.kind === 'cuts-answer' || manner?.kind === 'stalls-answer') {
        piece = chunk.subarray(0, Math.max(0, manner.after - sent))
      }
      sent += piece.length
      outgoing.write(piece)
      if (manner?.kind === 'cuts-answer' && sent >= manner.after) {
        outgoing.socket?.end(() => outgoing.destroy())
      }
    })
    answer.on('end', () => {
      if (manner?.kind !== 'cuts-answer' && manner?.kind !== 'stalls-answer') outgoing.end()
    })
  }
}
