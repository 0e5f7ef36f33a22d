// One request as all see it who decide about it, work for it or watch it; and how it ended.

import type { Identity } from '../authenticate/identity.ts'
import type { Asked } from '../authorize/guard.ts'
import type { RequestBody } from '../http/body.ts'
import type { Reply } from '../http/reply.ts'
import type { OperationRequest } from '../operation/registry.ts'
import type { Action } from '../route/action.ts'
import { checkedTraceparent, clientGone, type RequestRecord } from '../telemetry/request-record.ts'
import { faultStatus, type Observer } from './observe.ts'
import { ObservedBody } from './observed-body.ts'
import { ObservedSource } from './observed-source.ts'
import type { Exchange } from './transport/exchange.ts'

/** What most requests have no need of: the size of the objects below is felt at each request. */
class Details {
  original: Asked | undefined
  isForwarded = false
  decisionId = ''
  body: ObservedBody | undefined
  address: string | undefined
  userAgent: string | undefined
  traceparent: string | undefined
  requestId: string | undefined
}

export class ObservedRequest implements Asked, OperationRequest, RequestRecord {
  readonly exchange: Exchange
  startMs: number | undefined
  durationMs: number | undefined
  /** Undefined until it is known. */
  action: Action | undefined
  identity: Identity | undefined
  status = 0
  bytesOut = 0
  isAtOnce = true
  aborted = false
  /** Whether the log will tell of it, as far as its reply shows; known from `answered` on. */
  isPicked = false
  readonly #observer: Observer
  #details: Details | undefined
  #progress: 'open' | 'streaming' | 'finished' = 'open'

  constructor(exchange: Exchange, observer: Observer) {
    this.exchange = exchange
    this.#observer = observer
    this.startMs = observer.startMs()
  }

  get method(): string {
    return this.exchange.method
  }

  get path(): string {
    return this.exchange.path
  }

  get query(): string {
    return this.exchange.query
  }

  get isSecure(): boolean {
    return this.exchange.isSecure
  }

  header(name: string): string {
    return this.exchange.header(name)
  }

  /** The request that a proxy holds back, where one asks and it is known. */
  get original(): Asked | undefined {
    return this.#details?.original
  }

  set original(asked: Asked) {
    this.#detail().original = asked
  }

  get isForwarded(): boolean {
    return this.#details?.isForwarded ?? false
  }

  /** A proxy asks about a request that it holds back. */
  forwarded(): void {
    this.#detail().isForwarded = true
  }

  get decisionId(): string {
    return this.#details?.decisionId ?? ''
  }

  set decisionId(id: string) {
    this.#detail().decisionId = id
  }

  clientIp(): string {
    const details = this.#detail()
    details.address ??= this.#observer.clientAddress(this.exchange)
    return details.address
  }

  provenClientIp(): string | undefined {
    return this.#observer.isProven(this.exchange) ? this.clientIp() : undefined
  }

  get body(): RequestBody {
    const { body } = this.exchange
    if (body.length === 0) return body
    const details = this.#detail()
    details.body ??= new ObservedBody(body)
    return details.body
  }

  get bytesIn(): number {
    return this.#details?.body?.taken ?? 0
  }

  get address(): string {
    return this.clientIp()
  }

  get userAgent(): string {
    const details = this.#detail()
    details.userAgent ??= this.exchange.header('user-agent')
    return details.userAgent
  }

  get traceparent(): string {
    const details = this.#detail()
    details.traceparent ??= checkedTraceparent(this.exchange.header('traceparent'))
    return details.traceparent
  }

  get requestId(): string {
    const details = this.#detail()
    details.requestId ??= this.#observer.requestIdOf(this.exchange)
    return details.requestId
  }

  /** Its reply will take a while. */
  waits(): void {
    this.isAtOnce = false
    // What it took so far is next to nothing.
    this.startMs ??= performance.now()
    this.#observer.waits(this)
  }

  /** Read what the connection may not know any more when the reply has left. */
  keep(): void {
    this.clientIp()
    void this.userAgent
    void this.traceparent
    void this.requestId
  }

  /** The reply that is about to be sent, and from now on watched. */
  answered(reply: Reply): Reply {
    this.aborted = this.exchange.aborted
    this.status = this.aborted ? clientGone : reply.status
    if (reply.kind === 'stream') return this.#streams(reply)
    if (reply.kind === 'whole' && !this.aborted) this.bytesOut = reply.body?.length ?? 0
    this.isPicked = this.#observer.picks(this, false)
    return reply
  }

  /** The reply has been handed over; a stream is over when its source is closed. */
  sent(): void {
    if (this.#progress === 'open') this.#finish()
  }

  /** It could not be handed over. */
  lost(): void {
    if (this.#progress === 'finished') return
    this.aborted = true
    this.#finish()
  }

  #detail(): Details {
    this.#details ??= new Details()
    return this.#details
  }

  #streams({ status, headers, source }: Extract<Reply, { kind: 'stream' }>): Reply {
    if (this.isAtOnce) this.waits()
    this.isPicked = this.#observer.picks(this, true)
    this.#progress = 'streaming'
    const observed = new ObservedSource(source, (ended) => this.#streamed(ended))
    return { kind: 'stream', status, headers, source: observed }
  }

  #streamed(source: ObservedSource): void {
    const isCut = this.exchange.aborted || !source.isComplete
    this.bytesOut = source.sentBytes(isCut)
    if (isCut) this.#cutShort(source)
    this.#finish()
  }

  // A fault before the first byte is still answered; after it, cutting the connection tells of it.
  #cutShort({ fault, isUnread }: ObservedSource): void {
    if (fault !== undefined && isUnread && !this.exchange.aborted) this.status = faultStatus(fault)
    else this.aborted = true
  }

  #finish(): void {
    if (this.#progress === 'finished') return
    this.#progress = 'finished'
    if (this.startMs !== undefined) this.durationMs = performance.now() - this.startMs
    this.#observer.finished(this)
  }
}
