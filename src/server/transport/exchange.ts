// The contract between the core and a transport: one request and its one reply.

import type { RequestBody } from '../../http/body.ts'
import type { ClientCertificate } from '../../http/client-certificate.ts'
import type { HeaderPair } from '../../http/header-block.ts'
import type { Reply } from '../../http/reply.ts'
import type { EdgeCounts } from '../../telemetry/edge-counts.ts'
import type { TlsMaterial } from '../tls/contract.ts'
import type { Admission, Limit } from './admission.ts'

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
  /**
   * IP address in text form, IPv4-mapped ones as IPv4: of the peer, or of the client that a trusted
   * PROXY header names; '' where the transport has none (unix socket).
   */
  readonly remoteAddress: string
  /** True where the request came over TLS that this transport terminates. */
  readonly isSecure: boolean
  /** The client's certificate, verified, also in a resumed session; undefined where none was shown. */
  readonly certificate: ClientCertificate | undefined
  /** True once the client is gone: a reply is pointless, though harmless. */
  readonly aborted: boolean
  readonly body: RequestBody

  /** Value of a header, by lower-case name; '' where absent. Repeated ones are joined or the first. */
  header(name: string): string

  /** The value of every line of a header, in order; costs a look at all headers. */
  headerLines(name: string): readonly string[]

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

/** Whose request a transport refuses by itself; of one that cannot be read, little is known. */
export interface Asker {
  readonly remoteAddress: string
  /** '' where there was no request line, as is `path`. */
  readonly method: string
  readonly path: string
  /** Value of a header, by lower-case name; '' where absent. */
  header(name: string): string
}

export type ExchangeHandler = (exchange: Exchange) => void

/** Where a listener is; a unix socket has its path as address and port 0. */
export interface ListenerAddress {
  readonly address: string
  readonly port: number
}

/** A listening socket. */
export interface Listener {
  readonly local: ListenerAddress
  /**
   * Use other TLS material from the next handshake on; transfers under way go on. Where its CAs or
   * revocation lists changed, connections whose certificate does not pass any more are cut.
   * Errors: rejects and keeps the old material where the listener cannot take the new one.
   */
  renewTls(material: TlsMaterial): Promise<void>
  /** Requests begun and not yet answered. */
  inFlight(): number
  /** Take no new connection; idle ones are closed, busy ones after their reply. */
  stopAccepting(): void
  /** Cut what is left. Idempotent. */
  close(): void
}

export type ListenSocket =
  /** `port` 0 takes a free one. IPv6 addresses without brackets; `::` serves IPv4 too. */
  | { readonly kind: 'tcp'; readonly address: string; readonly port: number }
  /** Made with `mode`; a socket that a dead server left is replaced, any other file is not. */
  | { readonly kind: 'unix'; readonly path: string; readonly mode: number }

/**
 * How slow a client may be. Nothing limits a transfer that makes progress. The uws transport has its
 * own compiled bounds (about 10 s of silence; 16 kB/s over 10 s for request bodies) and applies these
 * where they are stricter.
 */
export interface PaceLimits {
  /** From the opening of a connection to the end of the TLS handshake, in ms. */
  readonly handshakeMs: number
  /** From the first byte of a request (or the connection's opening) to the end of its headers, in ms. */
  readonly headersMs: number
  /** Without a byte moved within a request or a reply, while it is the client's turn, in ms. */
  readonly stallMs: number
  /** Between requests, in ms. */
  readonly keepAliveMs: number
  /** While it is the client's turn, averaged over `graceMs`; bytes per second. */
  readonly receiveRateMin: number
  readonly sendRateMin: number
  readonly graceMs: number
}

/** What is known of a client certificate that was refused; '' where the transport does not know. */
export interface CertificateRefusal {
  readonly reason: string
  /** As the certificate writes it, at most 256 characters: nobody vouches for it. */
  readonly subject: string
  /** Hexadecimal. */
  readonly serial: string
  readonly address: string
}

/** PROXY protocol version 2 before anything else on each connection. Source: haproxy proxy-protocol.txt. */
export interface ProxyProtocol {
  /** Whether the header of this peer is believed; from others the connection is dropped. */
  trusts(peerAddress: string): boolean
}

export interface TransportOptions {
  readonly socket: ListenSocket
  /**
   * Whether processes of the same supervisor listen on the same place, which that has found free. On uws
   * they share TCP ports alone. Default false.
   */
  readonly sharesAddress?: boolean
  /** Undefined: plain HTTP. */
  readonly tls: TlsMaterial | undefined
  readonly proxyProtocol: ProxyProtocol | undefined
  readonly pace: PaceLimits
  readonly admission: Admission
  readonly counts: EdgeCounts
  /** A client certificate was not taken; for the log, since the client learns no reason. */
  readonly onCertificateRefused?: (refusal: CertificateRefusal) => void
  /** Sent with every reply, refusals included. */
  readonly replyHeaders: readonly HeaderPair[]
  /** What a request beyond a limit is answered with; its connection is closed where that was the limit. */
  readonly busy: (limit: Limit, asker: Asker) => Reply
  readonly handler: ExchangeHandler
  /**
   * A request that the transport itself must refuse: framing that cannot be trusted. `status`: what it
   * is answered with, where not with the status of the reply.
   */
  readonly refuse: (reason: string, asker: Asker, status?: number) => Reply
  /**
   * A fault in a handler or in a stream's source. The answer is sent if no byte of the reply has left
   * yet; otherwise the connection is cut, so that the client sees a short body and not a wrong one.
   */
  readonly onFault: (error: unknown) => Reply
}

/**
 * Start listening. Errors: Error with `code` 'EADDRINUSE' or 'EACCES', and an Error that says
 * why where the transport cannot do what is asked (client certificates on uws).
 */
export type Transport = (options: TransportOptions) => Promise<Listener>
