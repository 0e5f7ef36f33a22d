// The contract between the core and a transport: one request and its one reply.

import type { RequestBody } from '../../http/body.ts'
import type { Reply } from '../../http/reply.ts'

/**
 * One request on its way through. `method`, `path` and `query` are always valid; `header` may read
 * from the transport's own memory until `detach` is called, which copies what is needed later.
 * Contract: test/contract/transport.ts runs on every adapter.
 */
export interface Exchange {
  /** Upper case. */
  readonly method: string
  /** As sent, undecoded, without the query. */
  readonly path: string
  /** As sent, undecoded, without `?`; '' where there is none. */
  readonly query: string
  /** IP address in text form; '' where the transport has none (unix socket). */
  readonly remoteAddress: string
  /** True once the client is gone: a reply is pointless, though harmless. */
  readonly aborted: boolean
  readonly body: RequestBody

  /** Value of a header, by lower-case name; '' where absent. Repeated ones are joined or the first. */
  header(name: string): string

  /** Called once before the handler returns without having replied. */
  detach(): void

  /**
   * At most once; without effect after an abort, but a stream's source is closed. The reply to HEAD
   * never carries a body, whatever its kind. The body's sink hears nothing more.
   */
  send(reply: Reply): void

  /** Called once when the client leaves before the reply is complete, or at once if it has left. */
  onAbort(listener: () => void): void
}

export type ExchangeHandler = (exchange: Exchange) => void

export interface ListenerAddress {
  readonly address: string
  readonly port: number
}

/** A listening socket. */
export interface Listener {
  readonly local: ListenerAddress
  /** Requests begun and not yet answered. */
  inFlight(): number
  /** Take no new connection; idle ones are closed, busy ones after their reply. */
  stopAccepting(): void
  /** Cut what is left. Idempotent. */
  close(): void
}

export interface TransportOptions {
  readonly address: string
  readonly port: number
  readonly handler: ExchangeHandler
  /** A request that the transport itself must refuse: framing that cannot be trusted. */
  readonly refuse: (reason: string) => Reply
  /**
   * A fault in a handler or in a stream's source. The answer is sent if no byte of the reply has left
   * yet; otherwise the connection is cut, so that the client sees a short body and not a wrong one.
   */
  readonly onFault: (error: unknown) => Reply
}

/** Start listening. Errors: Error with `code` 'EADDRINUSE' or 'EACCES'. */
export type Transport = (options: TransportOptions) => Promise<Listener>
