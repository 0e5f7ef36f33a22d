// One client connection on node:http: its requests in order, and how it ends.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Reply } from '../../../http/reply.ts'
import type { TransportOptions } from '../exchange.ts'
import { type ExchangeOwner, NodeExchange } from './exchange.ts'
import { framingFault } from './framing.ts'
import { lastReplyBytes } from './reply-head.ts'

// Requests sent ahead of their predecessors' replies; the handler sees one after the other.
const waitingMax = 64

export interface ConnectionOptions
  extends Pick<TransportOptions, 'handler' | 'refuse' | 'onFault'> {
  readonly lingerMs: number
}

export class Connection implements ExchangeOwner {
  readonly #socket: Socket
  readonly #options: ConnectionOptions
  readonly #unfinished = new Set<NodeExchange>()
  readonly #waiting: Array<() => void> = []
  #lastWords: Buffer | undefined
  #isBusy = false
  #isDraining = false
  #isEnding = false

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket
    this.#options = options
    socket.once('close', () => this.#onClose())
  }

  /** Requests begun and not yet answered in full. */
  get unfinished(): number {
    return this.#unfinished.size
  }

  /** True where nothing but the client holds the connection up. */
  get awaitsClient(): boolean {
    // The earliest one alone decides: those behind it wait for it.
    const [first] = this.#unfinished
    return first?.awaitsClient ?? true
  }

  onRequest(request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void {
    // Requests behind one that ended the connection are not answered.
    if (this.#isEnding) return
    const reason = framingFault(request)
    const exchange = new NodeExchange(request, response, this, expectsContinue)
    this.#unfinished.add(exchange)
    // A write behind the client's going tells nothing that the socket's end does not.
    response.on('error', () => {})
    response.once('finish', () => this.#onFinished(exchange))
    if (reason !== undefined) this.#isEnding = true
    const start = (): void => {
      if (reason === undefined) this.#options.handler(exchange)
      else exchange.refuse(this.#options.refuse(reason))
    }
    const startSafely = (): void => {
      try {
        start()
      } catch (error) {
        exchange.fail(error)
      }
    }
    if (!this.#isBusy) this.#run(startSafely)
    else if (this.#waiting.length < waitingMax) this.#waiting.push(startSafely)
    else this.#socket.destroy()
  }

  /** Bytes that are no request: the refusal ends the connection, after the replies under way. */
  onGarbage(reason: string, status: number): void {
    if (this.#isEnding) return
    const isInBody = [...this.#unfinished].some((exchange) => exchange.isIncomplete)
    // A request under way can neither be completed nor be answered reliably. And a client that never
    // said a word gets none back.
    if (isInBody || !this.#socket.writable || this.#socket.bytesRead === 0) {
      this.#socket.destroy()
      return
    }
    const reply = this.#options.refuse(reason)
    if (reply.kind === 'stream') this.#socket.destroy()
    else this.#endWith(lastReplyBytes(reply.kind === 'empty' ? reply : { ...reply, status }, false))
  }

  /** End when nothing is under way any more. */
  drain(): void {
    this.#isDraining = true
    if (this.#unfinished.size === 0 && !this.#isEnding) this.#socket.destroySoon()
  }

  cut(): void {
    this.#socket.destroy()
  }

  isDraining(): boolean {
    return this.#isDraining && this.#waiting.length === 0 && this.#lastWords === undefined
  }

  onReplied(isLast: boolean): void {
    this.#isBusy = false
    if (isLast) this.#isEnding = true
    const next = isLast ? undefined : this.#waiting.shift()
    if (next !== undefined) this.#run(next)
  }

  onLastReply(exchange: NodeExchange, bytes: Buffer): void {
    this.#unfinished.delete(exchange)
    this.#endWith(bytes)
  }

  onFault(error: unknown): Reply {
    return this.#options.onFault(error)
  }

  #run(start: () => void): void {
    this.#isBusy = true
    start()
  }

  #onFinished(exchange: NodeExchange): void {
    this.#unfinished.delete(exchange)
    if (this.#unfinished.size > 0) return
    if (this.#lastWords !== undefined) this.#sayLastWords()
    else if (this.#isDraining) this.#socket.destroySoon()
  }

  #endWith(lastWords: Buffer): void {
    this.#isEnding = true
    this.#lastWords = lastWords
    if (this.#unfinished.size === 0) this.#sayLastWords()
  }

  /**
   * Closing a socket with unread bytes resets it, and a reset destroys the reply on its way. So only
   * our side ends, and what the client still sends is read and dropped for a while.
   */
  #sayLastWords(): void {
    if (this.#lastWords === undefined || !this.#socket.writable) return
    this.#socket.end(this.#lastWords)
    const timer = setTimeout(() => this.#socket.destroy(), this.#options.lingerMs)
    this.#socket.once('close', () => clearTimeout(timer))
  }

  #onClose(): void {
    this.#waiting.length = 0
    const cut = [...this.#unfinished]
    this.#unfinished.clear()
    for (const exchange of cut) exchange.abandon()
  }
}
