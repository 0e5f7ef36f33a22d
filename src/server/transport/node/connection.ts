// One client connection on node:http: its requests in order, and how it ends.

import type { X509Certificate } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { ClientCertificate } from '../../../http/client-certificate.ts'
import type { HeaderPair } from '../../../http/header-block.ts'
import type { Reply } from '../../../http/reply.ts'
import type { Limit } from '../admission.ts'
import type { TransportOptions } from '../exchange.ts'
import { ConnectionPace, type Moment } from './connection-pace.ts'
import { type ExchangeOwner, NodeExchange, type OwnedExchange } from './exchange.ts'
import { framingFault } from './framing.ts'
import type { KernelQueues } from './kernel-queues.ts'
import { lastReplyBytes } from './reply-head.ts'
import type { Standing } from './standing.ts'

// Requests sent ahead of their predecessors' replies; the handler sees one after the other.
const waitingMax = 64
const nothing = Buffer.alloc(0)
// For what a refused client still sends, so that it can read the refusal.
const lingerMsMax = 5_000

/** What is known of a connection before its first request. */
export interface Origin {
  /** The TCP or unix connection, below TLS. */
  readonly raw: Socket
  /** Of the client; '' where the transport has none. */
  readonly remoteAddress: string
  readonly isSecure: boolean
  /** The verified client certificate, and what it says. */
  readonly x509: X509Certificate | undefined
  readonly certificate: ClientCertificate | undefined
  /** Whether that certificate still holds. */
  readonly standing: Standing | undefined
  /** The bound beyond which this connection is: its first request is told so. */
  readonly limit: Limit | undefined
}

export class Connection implements ExchangeOwner {
  readonly origin: Origin
  readonly remoteAddress: string
  readonly isSecure: boolean
  readonly certificate: ClientCertificate | undefined
  readonly replyHeaders: readonly HeaderPair[]
  readonly #socket: Socket
  readonly #options: TransportOptions
  readonly #unfinished = new Set<OwnedExchange>()
  readonly #admitted = new Set<OwnedExchange>()
  readonly #waiting: OwnedExchange[] = []
  readonly #pace: ConnectionPace
  readonly #addressOf = (): string => this.remoteAddress
  #latest: OwnedExchange | undefined
  #lastWords: Buffer | undefined
  #isBusy = false
  #isDraining = false
  #isEnding = false

  constructor(socket: Socket, origin: Origin, options: TransportOptions, queues: KernelQueues) {
    this.origin = origin
    this.remoteAddress = origin.remoteAddress
    this.isSecure = origin.isSecure
    this.certificate = origin.certificate
    this.replyHeaders = options.replyHeaders
    this.#socket = socket
    this.#options = options
    this.#pace = new ConnectionPace(origin.raw, options.pace, queues)
    socket.once('close', () => this.#onClose())
  }

  /** Requests begun and not yet answered in full. */
  get unfinished(): number {
    return this.#unfinished.size
  }

  onRequest(request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void {
    // Requests behind one that ended the connection are not answered.
    if (this.#isEnding) return
    const fault = framingFault(request)
    const exchange = new NodeExchange(request, response, this, { fault, expectsContinue })
    this.#latest = exchange
    this.#unfinished.add(exchange)
    // A write behind the client's going tells nothing that the socket's end does not.
    response.on('error', () => {})
    response.once('finish', () => this.onFinished(exchange))
    if (fault !== undefined || this.origin.limit !== undefined) this.#isEnding = true
    if (this.#isBusy) {
      if (this.#waiting.length < waitingMax) this.#waiting.push(exchange)
      else this.#socket.destroy()
    } else if (exchange.body.length === undefined) {
      // Of some codings the parser says only now, behind its own event, that it will not have them.
      this.#isBusy = true
      process.nextTick(() => this.#run(exchange))
    } else {
      this.#run(exchange)
    }
  }

  /** As `onRequest`, for one that comes when none is under way. */
  onSimpleRequest(exchange: OwnedExchange): void {
    this.#latest = exchange
    this.#unfinished.add(exchange)
    if (this.origin.limit !== undefined) this.#isEnding = true
    this.#run(exchange)
  }

  /** True once nothing more is answered. */
  get isEnding(): boolean {
    return this.#isEnding
  }

  /** Bytes that are no request: the refusal ends the connection, after the replies under way. */
  onGarbage(reason: string, status: number): void {
    if (this.#isEnding) return
    this.#dropUnheard()
    const isInBody = [...this.#unfinished].some((exchange) => exchange.isIncomplete)
    // A request under way can neither be completed nor be answered reliably. And a client that never
    // said a word gets none back.
    if (isInBody || !this.#socket.writable || this.#socket.bytesRead === 0) {
      this.#socket.destroy()
      return
    }
    const { remoteAddress } = this
    const asker = { remoteAddress, method: '', path: '', header: () => '' }
    const reply = this.#options.refuse(reason, asker, status)
    if (reply.kind === 'stream') this.#socket.destroy()
    else {
      const refusal = reply.kind === 'empty' ? reply : { ...reply, status }
      this.#endWith(lastReplyBytes(refusal, this.replyHeaders, false))
    }
  }

  /** Called every while: a client that does too little in its turn is cut. */
  checkPace(elapsedMs: number): void {
    const phase = this.#pace.check(this.#moment(), elapsedMs)
    if (phase === undefined) return
    this.#options.counts.closedSlow[phase] += 1
    if (phase === 'headers') this.onGarbage('headers took too long', 408)
    // What the client has of its last reply it may not have read yet.
    else if (phase === 'idle') this.#socket.destroySoon()
    else this.reset()
  }

  /** End when nothing is under way any more. */
  drain(): void {
    this.#isDraining = true
    if (this.#unfinished.size === 0 && !this.#isEnding) this.#socket.destroySoon()
  }

  cut(): void {
    this.#socket.destroy()
  }

  /** As `cut`, and the kernel forgets at once what the client has not taken. */
  reset(): void {
    const { raw } = this.origin
    if (raw.remoteAddress === undefined) raw.destroy()
    else raw.resetAndDestroy()
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

  onLastReply(exchange: OwnedExchange, bytes: Buffer): void {
    this.#forget(exchange)
    this.#endWith(bytes)
  }

  onFault(error: unknown): Reply {
    return this.#options.onFault(error)
  }

  #run(exchange: OwnedExchange): void {
    // It may be gone since, with the connection or because of what came behind its head.
    if (!this.#unfinished.has(exchange)) return
    this.#isBusy = true
    try {
      this.#answer(exchange)
    } catch (error) {
      exchange.fail(error)
    }
  }

  #answer(exchange: OwnedExchange): void {
    const { refuse, handler, admission } = this.#options
    exchange.isStarted = true
    const { limit, standing } = this.origin
    if (standing?.holds() === false) this.#endUnheard(exchange)
    else if (exchange.fault !== undefined) exchange.refuse(refuse(exchange.fault, exchange))
    else if (limit !== undefined) exchange.refuse(this.#busy(limit, exchange))
    else {
      const requestLimit = admission.requestLimit(this.#addressOf)
      if (requestLimit !== undefined) {
        exchange.send(this.#busy(requestLimit, exchange))
        return
      }
      handler(exchange)
      // What was answered at once does not weigh on anything.
      if (exchange.isSettled || !this.#unfinished.has(exchange)) return
      this.#admitted.add(exchange)
      admission.beginRequest(this.remoteAddress)
    }
  }

  // As at a handshake: who shows a certificate that has ended is not heard. Earlier replies go out.
  #endUnheard(exchange: OwnedExchange): void {
    this.#options.counts.certificatesRefused += 1
    this.#forget(exchange)
    this.#endWith(nothing)
  }

  // A request whose body turned out to be none before anybody heard of it.
  #dropUnheard(): void {
    const latest = this.#latest
    if (latest === undefined || latest.isStarted || !latest.isIncomplete) return
    this.#forget(latest)
    const at = this.#waiting.indexOf(latest)
    if (at !== -1) this.#waiting.splice(at, 1)
  }

  #busy(limit: Limit, exchange: OwnedExchange): Reply {
    this.#options.counts.requestsRefused += 1
    return this.#options.busy(limit, exchange)
  }

  #forget(exchange: OwnedExchange): void {
    this.#unfinished.delete(exchange)
    if (this.#admitted.size > 0 && this.#admitted.delete(exchange)) {
      this.#options.admission.endRequest(this.remoteAddress)
    }
  }

  #moment(): Moment {
    const heard = this.#socket.bytesRead
    // The earliest one alone decides: those behind it wait for it.
    const [first] = this.#unfinished
    const latest = this.#latest
    const subject = first ?? latest
    const isReceiving = subject?.isIncomplete ?? false
    if (first !== undefined) return { turn: first.turn, subject, heard, isReceiving }
    // After the last words `lingerMsMax` counts.
    if (this.#isEnding) return { turn: 'ours', subject, heard, isReceiving }
    if (latest === undefined) return { turn: 'first', subject, heard, isReceiving }
    // What nobody reads of a body stands before the next request.
    return { turn: isReceiving ? 'body' : 'idle', subject, heard, isReceiving }
  }

  /** The whole reply has left. */
  onFinished(exchange: OwnedExchange): void {
    this.#forget(exchange)
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
    const lingerMs = Math.min(lingerMsMax, this.#options.pace.stallMs)
    const timer = setTimeout(() => this.#socket.destroy(), lingerMs)
    this.#socket.once('close', () => clearTimeout(timer))
  }

  #onClose(): void {
    this.#waiting.length = 0
    this.#pace.end()
    const cut = [...this.#unfinished]
    for (const exchange of cut) this.#forget(exchange)
    for (const exchange of cut) exchange.abandon()
  }
}
