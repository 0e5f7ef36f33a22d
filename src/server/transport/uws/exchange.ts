// One request on uWebSockets.js. The request object dies with the handler, the response with its end
// or an abort; nothing here touches either afterwards.

import type { HttpRequest, HttpResponse } from 'uWebSockets.js'
import { STATUS_CODES } from 'node:http'
import type { RequestBody } from '../../../http/body.ts'
import type { HeaderBlock } from '../../../http/header-block.ts'
import type { ByteSource, Reply } from '../../../http/reply.ts'
import type { Exchange, TransportOptions } from '../exchange.ts'
import { noBody, UwsBody } from './body.ts'
import { framingOf } from './framing.ts'
import { Stream, type StreamBuffers } from './stream.ts'

export interface ExchangeHost {
  readonly options: TransportOptions
  readonly buffers: StreamBuffers
  inFlight: number
  stopping: boolean
}

const statusLines: ReadonlyMap<number, string> = new Map(
  Object.entries(STATUS_CODES).map(([code, text]) => [Number(code), `${code} ${text}`]),
)
const textDecoder = new TextDecoder('latin1')
// Above this a body is streamed, so that a slow reader does not make uWS keep a copy of it.
const wholeBytesMax = 64 * 1024

// What uWS gathers before it writes to the socket.
const corkBytes = 16 * 1024

type UnstreamedReply = Exclude<Reply, { kind: 'stream' }>

export class UwsExchange implements Exchange {
  readonly method: string
  readonly path: string
  readonly query: string
  readonly #host: ExchangeHost
  readonly #res: HttpResponse
  #req: HttpRequest | undefined
  #headers: Map<string, string> | undefined
  #body: RequestBody = noBody
  #source: ByteSource | undefined
  #streaming: Stream | undefined
  #remoteAddress: string | undefined
  #abortListener: (() => void) | undefined
  #aborted = false
  #replied = false
  #detached = false
  #complete = false

  constructor(host: ExchangeHost, method: string, res: HttpResponse, req: HttpRequest) {
    this.#host = host
    this.#res = res
    this.#req = req
    this.method = method
    this.path = req.getUrl()
    this.query = req.getQuery() ?? ''
  }

  /** Runs the handler; after it the native request object is gone. */
  start(): void {
    const req = this.#req
    if (req === undefined) return
    const framing = framingOf(req, this.method === 'GET' || this.method === 'HEAD')
    try {
      if (framing.kind === 'refused') {
        this.#refuse(this.#host.options.refuse(framing.reason))
      } else {
        if (framing.kind === 'body') this.#expectBody(framing.length)
        this.#host.options.handler(this)
      }
    } catch (error) {
      this.#fail(error)
    }
    this.#req = undefined
  }

  /** Known from the first look at it on; a look after the end finds nothing. */
  get remoteAddress(): string {
    if (this.#remoteAddress === undefined) {
      if (this.#aborted || this.#complete) return ''
      this.#remoteAddress = textDecoder.decode(this.#res.getRemoteAddressAsText())
    }
    return this.#remoteAddress
  }

  get aborted(): boolean {
    return this.#aborted
  }

  get body(): RequestBody {
    return this.#body
  }

  header(name: string): string {
    if (this.#headers !== undefined) return this.#headers.get(name) ?? ''
    return this.#req?.getHeader(name) ?? ''
  }

  detach(): void {
    if (this.#detached) return
    this.#detached = true
    this.#host.inFlight += 1
    const headers = new Map<string, string>()
    this.#req?.forEach((name, value) => {
      const before = headers.get(name)
      headers.set(name, before === undefined ? value : `${before}, ${value}`)
    })
    this.#headers = headers
    this.#res.onAborted(() => this.#onAborted())
  }

  onAbort(listener: () => void): void {
    this.#abortListener = listener
    if (this.#aborted) listener()
  }

  send(reply: Reply): void {
    if (this.#replied || this.#aborted) {
      if (reply.kind === 'stream') reply.source.close()
      return
    }
    this.#replied = true
    const isHead = this.method === 'HEAD'
    if (reply.kind === 'stream' && isHead) {
      reply.source.close()
      this.#writeCorked({ ...reply, kind: 'head', length: reply.source.length })
    } else if (reply.kind === 'stream') {
      this.#stream(reply.status, reply.headers, reply.source)
    } else if (reply.kind === 'whole' && reply.closeConnection === true) {
      this.#writeLast(reply)
    } else if (reply.kind === 'whole' && !isHead && (reply.body?.length ?? 0) > wholeBytesMax) {
      this.#stream(reply.status, reply.headers, new MemorySource(reply.body ?? new Uint8Array(0)))
    } else {
      this.#writeCorked(reply)
    }
  }

  #writeCorked(reply: UnstreamedReply): void {
    if (this.#detached) this.#res.cork(() => this.#write(reply))
    else this.#write(reply)
  }

  // Reply and end in one, before the parser goes on to what it takes for the next request. uWS keeps
  // what fits its cork buffer and drops it at the end; so white space, which JSON may end with, fills
  // that buffer, and the raw header lines carry the body with them.
  #refuse(reply: Reply): void {
    this.#replied = true
    if (reply.kind === 'whole') {
      const text = new TextDecoder().decode(reply.body) + ' '.repeat(corkBytes)
      const length = Buffer.byteLength(text) + '\r\n'.length
      this.#writeHead(reply.status, reply.headers)
      this.#res.writeHeader('Connection', `close\r\nContent-Length: ${length}\r\n\r\n${text}`)
    }
    this.#res.close()
  }

  // Within the parser's turn the library would go on to the next request on the connection, whatever
  // this reply says. With a reply outstanding it closes the connection instead.
  #writeLast(reply: UnstreamedReply): void {
    this.detach()
    if (this.#body instanceof UwsBody) this.#body.discard()
    setImmediate(() => {
      if (!this.#aborted) this.#res.cork(() => this.#write(reply))
    })
  }

  #expectBody(length: number | undefined): void {
    // A body needs its listener before the handler returns, so such a request is detached at once.
    this.detach()
    this.#body = new UwsBody(this.#res, length, (error) => this.#fail(error))
  }

  #write(reply: UnstreamedReply): void {
    const res = this.#res
    const { stopping } = this.#host
    const unread = this.#body instanceof UwsBody && this.#body.unread
    if (this.#body instanceof UwsBody) this.#body.discard()
    const length = this.#lengthWithoutBody(reply)
    const closes = stopping || (reply.kind === 'whole' && reply.closeConnection === true)
    // After endWithoutBody(length) uWS waits for a body and ends the connection, which is right only
    // where it is to end; otherwise the length is one of our own headers.
    const writesLength = length !== undefined && !closes
    this.#writeHead(reply.status, reply.headers, writesLength ? length : undefined)
    // A client that is still writing a large body had better stop and open a new connection.
    if (unread) res.writeHeader('Connection', 'close')
    if (length !== undefined && closes) res.endWithoutBody(length, true)
    else if (length !== undefined || reply.kind !== 'whole') this.#endWithoutBody()
    else res.end(reply.body, closes)
    this.#finish()
  }

  /** What a reply to HEAD states as its length; undefined where there is a body, or no length. */
  #lengthWithoutBody(reply: UnstreamedReply): number | undefined {
    if (reply.kind === 'head') return reply.length
    return reply.kind === 'whole' && this.method === 'HEAD' ? (reply.body?.length ?? 0) : undefined
  }

  // Any argument, even undefined, makes uWS write a Content-Length of its own.
  #endWithoutBody(): void {
    if (this.#host.stopping) this.#res.writeHeader('Connection', 'close')
    this.#res.endWithoutBody()
  }

  #writeHead(status: number, headers: HeaderBlock, length?: number): void {
    this.#res.writeStatus(statusLines.get(status) ?? String(status))
    // One call writes all lines: uWS copies the value as it is.
    const lines = length === undefined ? headers.rest : headers.restWithLength(length)
    if (headers.name !== '') this.#res.writeHeader(headers.name, lines)
  }

  #stream(status: number, headers: HeaderBlock, source: ByteSource): void {
    this.detach()
    if (this.#body instanceof UwsBody) this.#body.discard()
    this.#source = source
    const host = {
      res: this.#res,
      buffers: this.#host.buffers,
      writeHead: () => this.#writeHead(status, headers),
      isAborted: () => this.#aborted,
      onDone: () => this.#finish(),
      onFault: (error: unknown, headSent: boolean) => this.#onStreamFault(error, headSent),
    }
    this.#streaming = new Stream(host, source)
    this.#streaming.run()
  }

  #fail(error: unknown): void {
    this.send(this.#host.options.onFault(error))
  }

  #onStreamFault(error: unknown, headSent: boolean): void {
    const reply = this.#host.options.onFault(error)
    if (headSent || reply.kind === 'stream') this.#res.close()
    else this.#res.cork(() => this.#write(reply))
  }

  #onAborted(): void {
    this.#aborted = true
    try {
      if (this.#body instanceof UwsBody) this.#body.abort()
      this.#abortListener?.()
    } catch (error) {
      this.#fail(error)
    }
    this.#finish()
  }

  #finish(): void {
    if (this.#complete) return
    this.#complete = true
    if (this.#detached) this.#host.inFlight -= 1
    if (this.#streaming?.waiting !== true) this.#source?.close()
  }
}

class MemorySource implements ByteSource {
  readonly length: number
  readonly #bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.length = bytes.length
    this.#bytes = bytes
  }

  readNow(position: number, target: Uint8Array): number {
    const part = this.#bytes.subarray(position, position + target.length)
    target.set(part)
    return part.length
  }

  read(position: number, target: Uint8Array): Promise<number> {
    return Promise.resolve(this.readNow(position, target))
  }

  close(): void {}
}
