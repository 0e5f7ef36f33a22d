// One request and its reply on node:http.

import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ClientCertificate } from '../../../http/client-certificate.ts'
import type { HeaderPair } from '../../../http/header-block.ts'
import type { ByteSource, Reply } from '../../../http/reply.ts'
import type { Exchange } from '../exchange.ts'
import { NodeBody } from './body.ts'
import { bodyLength } from './framing.ts'
import { headerList, lastReplyBytes } from './reply-head.ts'
import { SourceWriter } from './source-writer.ts'

// What a socket's buffer in the kernel has room for.
const largeBytes = 64 * 1024

/** What the connection asks of an exchange that came on it. */
export interface OwnedExchange extends Exchange {
  /** Why its framing cannot be trusted. */
  readonly fault: string | undefined
  /** True where a reply of moderate size is on its way, so that nothing is left to do here. */
  readonly isSettled: boolean
  /** Whose turn it is to bring this exchange further. */
  readonly turn: 'ours' | 'body' | 'reply'
  /** True while its body has not come in whole. */
  readonly isIncomplete: boolean
  /** True once somebody was asked to answer it. */
  isStarted: boolean
  /** As `send`, for a request after which nothing on the connection can be trusted. */
  refuse(reply: Reply): void
  /** A fault in the handler, its sink or a source: answered while no byte of a reply has left. */
  fail(error: unknown): void
  /** The client is gone before the reply was complete. */
  abandon(): void
}

/** What an exchange tells the connection that it came on. */
export interface ExchangeOwner {
  readonly remoteAddress: string
  readonly isSecure: boolean
  readonly certificate: ClientCertificate | undefined
  /** Sent with every reply. */
  readonly replyHeaders: readonly HeaderPair[]
  /** True where the connection is to end with the reply to this request. */
  isDraining(): boolean
  /** The whole reply is written, though perhaps not yet sent; `isLast` where it ends the connection. */
  onReplied(isLast: boolean): void
  /** As `onReplied`, but the connection itself writes the reply, and bears what the client still sends. */
  onLastReply(exchange: OwnedExchange, bytes: Buffer): void
  /** What a fault is answered with. */
  onFault(error: unknown): Reply
  cut(): void
}

export interface RequestFacts {
  /** Why its framing cannot be trusted. */
  readonly fault: string | undefined
  readonly expectsContinue: boolean
}

export class NodeExchange implements OwnedExchange {
  readonly method: string
  readonly path: string
  readonly query: string
  readonly body: NodeBody
  readonly fault: string | undefined
  /** True once somebody was asked to answer it. */
  isStarted = false
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #owner: ExchangeOwner
  readonly #expectsContinue: boolean
  readonly #abortListeners: Array<() => void> = []
  #writer: SourceWriter | undefined
  #isSent = false
  #isAborted = false
  #isRefused = false
  #isFailed = false
  #isLarge = false

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    owner: ExchangeOwner,
    { fault, expectsContinue }: RequestFacts,
  ) {
    const target = request.url ?? ''
    const mark = target.indexOf('?')
    this.method = request.method ?? ''
    this.path = mark === -1 ? target : target.slice(0, mark)
    this.query = mark === -1 ? '' : target.slice(mark + 1)
    this.#request = request
    this.#response = response
    this.#owner = owner
    this.fault = fault
    this.#expectsContinue = expectsContinue
    // With `Expect: 100-continue` the client waits with its body until somebody wants it.
    const sayContinue = (): void => {
      if (expectsContinue && !this.#isSent) response.writeContinue()
    }
    this.body = new NodeBody(request, bodyLength(request), sayContinue, (e) => this.fail(e))
  }

  get remoteAddress(): string {
    return this.#owner.remoteAddress
  }

  get isSecure(): boolean {
    return this.#owner.isSecure
  }

  get certificate(): ClientCertificate | undefined {
    return this.#owner.certificate
  }

  get aborted(): boolean {
    return this.#isAborted
  }

  /** True where a reply of moderate size is on its way, so that nothing is left to do here. */
  get isSettled(): boolean {
    return this.#isSent && this.#writer === undefined && !this.#isLarge
  }

  /** Whose turn it is to bring this exchange further. */
  get turn(): 'ours' | 'body' | 'reply' {
    if (this.#writer !== undefined) return this.#writer.awaitsClient ? 'reply' : 'ours'
    if (this.#isSent) return 'reply'
    return this.body.awaitsClient ? 'body' : 'ours'
  }

  /** True while its body has not come in whole. */
  get isIncomplete(): boolean {
    return !this.#request.complete
  }

  header(name: string): string {
    const value: unknown = this.#request.headers[name]
    return typeof value === 'string' ? value : ''
  }

  headerLines(name: string): readonly string[] {
    return this.#request.headersDistinct[name] ?? []
  }

  detach(): void {
    // node:http has copied the headers already.
  }

  onAbort(listener: () => void): void {
    if (this.#isAborted) listener()
    else this.#abortListeners.push(listener)
  }

  /** As `send`, for a request after which nothing on the connection can be trusted. */
  refuse(reply: Reply): void {
    this.#isRefused = true
    this.send(reply)
  }

  send(reply: Reply): void {
    assert(!this.#isSent, 'a request is answered once')
    this.#isSent = true
    if (this.#isAborted) {
      if (reply.kind === 'stream') reply.source.close()
      return
    }
    try {
      this.#write(reply)
    } catch (error) {
      if (reply.kind === 'stream' && this.#writer === undefined) reply.source.close()
      this.fail(error)
    }
  }

  /** A fault in the handler, its sink or a source: answered while no byte of a reply has left. */
  fail(error: unknown): void {
    const reply = this.#owner.onFault(error)
    if (this.#isAborted || this.#response.writableEnded) return
    if (this.#isFailed || this.#response.headersSent || reply.kind === 'stream') {
      this.#owner.cut()
      return
    }
    this.#isFailed = true
    this.#isSent = false
    this.send(reply)
  }

  /** The client is gone before the reply was complete. */
  abandon(): void {
    this.#isAborted = true
    const listeners = this.#abortListeners
    for (const act of [() => this.body.abandon(), () => this.#writer?.abandon(), ...listeners]) {
      try {
        act()
      } catch (error) {
        this.#owner.onFault(error)
      }
    }
  }

  #write(reply: Reply): void {
    const isLast =
      this.#isRefused ||
      this.#owner.isDraining() ||
      (reply.kind === 'whole' && reply.closeConnection === true) ||
      // The client may or may not send the body that nobody asked for: nothing after it is safe.
      (this.#expectsContinue && !this.body.isConsumed)
    const isHead = this.method === 'HEAD'
    const isBodyIn = this.body.length === 0 || this.#request.complete
    this.#isLarge = reply.kind === 'whole' && (reply.body?.byteLength ?? 0) > largeBytes
    this.body.release()
    const common = this.#owner.replyHeaders
    const writeHead = (): void => {
      this.#response.writeHead(reply.status, headerList(reply, common, isLast))
    }
    if (reply.kind === 'stream' && !isHead) {
      this.#stream(reply.source, isLast, writeHead)
    } else if (isLast && !isBodyIn && reply.kind !== 'stream') {
      this.#owner.onLastReply(this, lastReplyBytes(reply, common, isHead))
    } else {
      writeHead()
      if (reply.kind === 'stream') reply.source.close()
      this.#response.end(reply.kind === 'whole' && !isHead ? reply.body : undefined)
      this.#owner.onReplied(isLast)
    }
  }

  #stream(source: ByteSource, isLast: boolean, writeHead: () => void): void {
    const onEnd = (error?: unknown): void => {
      this.#writer = undefined
      if (error === undefined) {
        this.#response.end()
        this.#owner.onReplied(isLast)
      } else {
        this.fail(error)
      }
    }
    this.#writer = new SourceWriter(source, { sink: this.#response, writeHead, onEnd })
    this.#writer.start()
  }
}
