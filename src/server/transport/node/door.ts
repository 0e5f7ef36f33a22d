// What happens to a connection between accept and its first request: PROXY header, admission, TLS.

import type { Socket } from 'node:net'
import type { Limit } from '../admission.ts'
import type { TransportOptions } from '../exchange.ts'
import type { Origin } from './connection.ts'
import { readProxyHeader } from './proxy-reader.ts'
import { type ClientProof, TlsFront } from './tls-front.ts'

// So many are told at any time that there is no room, however few have room.
const politeMin = 64

interface Guest {
  readonly address: string
  readonly limit: Limit | undefined
}

/** Hands a connection that may speak HTTP on. */
export type Serve = (socket: Socket, origin: Origin) => void

export class Door {
  readonly #options: TransportOptions
  readonly #serve: Serve
  readonly #guests = new Map<Socket, Guest | undefined>()
  #beyondLimit = 0
  #tls: TlsFront | undefined

  constructor(options: TransportOptions, serve: Serve) {
    this.#options = options
    this.#serve = serve
    const { tls, counts, pace } = options
    if (tls === undefined) return
    const onSecure = this.#onSecure.bind(this)
    this.#tls = new TlsFront(tls, { handshakeMs: pace.handshakeMs, counts, onSecure })
  }

  get tls(): TlsFront | undefined {
    return this.#tls
  }

  onConnection(raw: Socket): void {
    const { counts, proxyProtocol, pace } = this.#options
    counts.connections += 1
    this.#guests.set(raw, undefined)
    raw.once('close', () => this.#onClose(raw))
    // Whoever has the socket later listens too; until then nobody does.
    raw.on('error', () => {})
    const peer = addressOf(raw)
    if (proxyProtocol === undefined) {
      this.#admit(raw, peer)
    } else if (proxyProtocol.trusts(peer)) {
      readProxyHeader(
        raw,
        pace.handshakeMs,
        ({ client }) => this.#admit(raw, client ?? peer),
        () => this.#refuseProxy(raw),
      )
    } else {
      this.#refuseProxy(raw)
    }
  }

  /** Cut all that is open, at whatever stage. */
  close(): void {
    for (const raw of this.#guests.keys()) raw.destroy()
  }

  #refuseProxy(raw: Socket): void {
    this.#options.counts.proxyHeadersRefused += 1
    raw.destroy()
  }

  #admit(raw: Socket, address: string): void {
    const { admission, counts } = this.#options
    const limit = admission.connectionLimit(() => address)
    if (limit === undefined) {
      counts.connectionsAccepted += 1
      admission.openConnection(address)
    } else {
      counts.connectionsRefused += 1
      // A polite answer costs a handshake and memory: beyond as many again there is none.
      if (this.#beyondLimit >= Math.max(politeMin, admission.connections)) {
        raw.destroy()
        return
      }
      this.#beyondLimit += 1
    }
    this.#guests.set(raw, { address, limit })
    if (this.#tls === undefined) this.#open(raw, raw, undefined)
    else this.#tls.start(raw)
  }

  #onSecure(raw: Socket, socket: Socket, proof: ClientProof): void {
    this.#open(raw, socket, proof)
  }

  #open(raw: Socket, socket: Socket, proof: ClientProof | undefined): void {
    const guest = this.#guests.get(raw)
    if (guest === undefined) {
      socket.destroy()
      return
    }
    this.#serve(socket, {
      raw,
      remoteAddress: guest.address,
      limit: guest.limit,
      isSecure: proof !== undefined,
      x509: proof?.x509,
      certificate: proof?.certificate,
    })
  }

  #onClose(raw: Socket): void {
    this.#options.counts.connections -= 1
    const guest = this.#guests.get(raw)
    this.#guests.delete(raw)
    if (guest === undefined) return
    if (guest.limit === undefined) this.#options.admission.closeConnection(guest.address)
    else this.#beyondLimit -= 1
  }
}

/** A socket that listens on `::` shows IPv4 clients as mapped addresses. */
function addressOf(raw: Socket): string {
  return (raw.remoteAddress ?? '').replace(/^::ffff:(?=[0-9.]+$)/, '')
}
