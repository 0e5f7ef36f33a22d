// One request on uWebSockets.js. The request object dies with the handler, the response with its end
// or an abort; nothing here touches either afterwards.

import type { HttpRequest, HttpResponse } from 'uWebSockets.js'
import { STATUS_CODES } from 'node:http'
import type { RequestBody } from '../../../http/body.ts'
import type { HeaderBlock } from '../../../http/header-block.ts'
import type { ByteSource, Reply } from '../../../http/reply.ts'
import type { Limit } from '../admission.ts'
import type { Exchange, TransportOptions } from '../exchange.ts'
import { addressFromPacked } from './address.ts'
import { noBody, UwsBody } from './body.ts'
import { framingOf } from './framing.ts'
import { MemorySource } from './memory-source.ts'
import type { PaceKeeper } from './pace.ts'
import type { KeptHeaders, RequestHeaders } from './request-headers.ts'
import { Stream, type StreamBuffers } from './stream.ts'

/** `closes`: the limit is one on connections. */
export interface TurnedAway {
  readonly limit: Limit
  readonly closes: boolean
}

/** What the exchanges of a listener share. */
export interface ExchangeHost {
  readonly options: TransportOptions
  readonly isSecure: boolean
  readonly countsRequestAddresses: boolean
  readonly buffers: StreamBuffers
  readonly pace: PaceKeeper
  readonly headers: RequestHeaders
  inFlight: number
  stopping: boolean
  /** Asked before the handler; undefined lets the request pass. */
  turnsAway(exchange: UwsExchange): TurnedAway | undefined
}

const statusLines: ReadonlyMap<number, string> = new Map(
  Object.entries(STATUS_CODES).map(([code, text]) => [Number(code), `${code} ${text}`]),
)
// Above this a body is streamed, so that a slow reader does not make uWS keep a copy of it.
const wholeBytesMax = 64 * 1024

// What uWS gathers before it writes to the socket.
const corkBytes = 16 * 1024

// Of the whole replies, so many are sent in a way that shows whether the client still reads. Who sends
// requests and reads nothing would otherwise fill our memory, since uWS keeps what the socket refuses.
const checkedShare = 1 / 8

type UnstreamedReply = Exclude<Reply, { kind: 'stream' }>

export class UwsExchange implements Exchange {
  readonly method: string
  readonly path: string
  readonly query: string
  readonly #host: ExchangeHost
  readonly #res: HttpResponse
  #req: HttpRequest | undefined
  #headers: KeptHeaders | undefined
  #body: RequestBody = noBody
  #source: ByteSource | undefined
  #streaming: Stream | undefined
  #remoteAddress: string | undefined
  #abortListener: (() => void) | undefined
  #aborted = false
  #replied = false
  #detached = false
  #complete = false
  #saidContinue = false

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
    const host = this.#host
    host.headers.read(req)
    const framing = framingOf(this.method, this.path.length + this.query.length, host.headers)
    try {
      if (framing.kind === 'refused') {
        const { reason, status } = framing
        this.#refuse(host.options.refuse(reason, this, status), status)
      } else {
        const turned = host.turnsAway(this)
        if (framing.kind === 'body') this.#expectBody(framing.length)
        if (turned === undefined) host.options.handler(this)
        else this.#turnAway(turned)
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
      this.#remoteAddress = addressFromPacked(this.#res.getRemoteAddress())
    }
    return this.#remoteAddress
  }

  get isSecure(): boolean {
    return this.#host.isSecure
  }

  /** The library can neither demand nor show one. */
  get certificate(): undefined {
    return undefined
  }

  get aborted(): boolean {
    return this.#aborted
  }

  get body(): RequestBody {
    return this.#body
  }

  header(name: string): string {
    if (this.#headers !== undefined) return this.#headers.first(name)
    return this.#req === undefined ? '' : this.#host.headers.first(name)
  }

  headerLines(name: string): readonly string[] {
    if (this.#headers !== undefined) return this.#headers.lines(name)
    return this.#req === undefined ? [] : this.#host.headers.lines(name)
  }

  detach(): void {
    if (this.#detached) return
    this.#detached = true
    const host = this.#host
    host.inFlight += 1
    if (this.#req !== undefined) this.#headers = host.headers.copy()
    host.options.admission.beginRequest(host.countsRequestAddresses ? this.remoteAddress : '')
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
  // that buffer, and the raw header lines carry the body with them. A reply to HEAD has no body, and
  // fills it with a header.
  #refuse(reply: Reply, status: number | undefined): void {
    this.#replied = true
    if (reply.kind === 'whole') {
      const filler = ' '.repeat(corkBytes)
      const isHead = this.method === 'HEAD'
      const text = new TextDecoder().decode(reply.body) + (isHead ? '' : filler)
      const length = Buffer.byteLength(text) + '\r\n'.length
      const end = isHead ? `\r\nX-Filler: ${filler}\r\n` : `\r\n\r\n${text}`
      this.#writeHead(status ?? reply.status, reply.headers)
      this.#res.writeHeader('Connection', `close\r\nContent-Length: ${length}${end}`)
    }
    this.#res.close()
  }

  #turnAway({ limit, closes }: TurnedAway): void {
    const { options } = this.#host
    options.counts.requestsRefused += 1
    const reply = options.busy(limit, this)
    // A client that is still writing sees the answer only if its body is read.
    const closeConnection = closes && this.#body === noBody
    this.send(reply.kind === 'whole' && closeConnection ? { ...reply, closeConnection } : reply)
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
    this.#sayContinue()
    const onFault = (error: unknown): void => this.#fail(error)
    this.#body = new UwsBody(this.#res, length, { pace: this.#host.pace, onFault })
  }

  /**
   * The library says 100 (Continue) to `100-continue` in lower case alone; the word has no case, and
   * Java's client writes a capital. The status call can write that line, but then it is used up: the
   * final one goes out in front of the first header. Source: RFC 9110 §10.1.1.
   */
  #sayContinue(): void {
    const expected = this.header('expect')
    if (expected === '' || expected === '100-continue') return
    if (expected.toLowerCase() !== '100-continue') return
    this.#saidContinue = true
    this.#res.cork(() => this.#res.writeStatus('100 Continue\r\n'))
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
    else if (closes || reply.body === undefined || Math.random() >= checkedShare) {
      res.end(reply.body, closes)
    } else if (!this.#endChecked(reply.body)) return
    this.#finish()
  }

  /** Whether all of it went out; the rest is sent as the client reads on. */
  #endChecked(body: Uint8Array): boolean {
    const [, done] = this.#res.tryEnd(body, body.length)
    if (done) return true
    this.detach()
    this.#begin(new MemorySource(body), undefined)
    return false
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

  // One call writes all lines: uWS copies what it is given as the status as it is.
  #writeHead(status: number, headers: HeaderBlock, length?: number): void {
    const lines = headers.linesWith(this.#host.options.replyHeaders)
    const head = lines.head(statusLineOf(status), length)
    if (this.#saidContinue) this.#writeHeadBehind(head)
    else this.#res.writeStatus(head)
  }

  // Its status line is used up, so the final one goes out as the begin of a header.
  #writeHeadBehind(head: string | ArrayBuffer): void {
    const text = typeof head === 'string' ? head : Buffer.from(head).toString()
    const [statusLine = '', ...lines] = text.split('\r\n')
    const [first = 'Connection: keep-alive', ...others] = lines
    const [name = '', ...value] = first.split(': ')
    const rest = [value.join(': '), ...others].join('\r\n')
    this.#res.writeHeader(`HTTP/1.1 ${statusLine}\r\n${name}`, rest)
  }

  #stream(status: number, headers: HeaderBlock, source: ByteSource): void {
    this.detach()
    if (this.#body instanceof UwsBody) this.#body.discard()
    this.#begin(source, () => this.#writeHead(status, headers))
  }

  /** `writeHead` is undefined where the head has left, and perhaps a part of the body. */
  #begin(source: ByteSource, writeHead: (() => void) | undefined): void {
    this.#source = source
    const host = {
      res: this.#res,
      buffers: this.#host.buffers,
      pace: this.#host.pace,
      writeHead,
      isAborted: () => this.#aborted,
      onDone: () => this.#finish(),
      onFault: (error: unknown, headSent: boolean) => this.#onStreamFault(error, headSent),
    }
    this.#streaming = new Stream(host, source)
    if (writeHead !== undefined) this.#streaming.run()
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
    if (this.#detached) {
      const host = this.#host
      host.inFlight -= 1
      const address = host.countsRequestAddresses ? this.#remoteAddress : undefined
      host.options.admission.endRequest(address ?? '')
    }
    this.#complete = true
    this.#streaming?.stop()
    if (this.#streaming?.waiting !== true) this.#source?.close()
  }
}

function statusLineOf(status: number): string {
  return statusLines.get(status) ?? String(status)
}
