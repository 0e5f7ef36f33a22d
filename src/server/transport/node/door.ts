// What happens to a connection between accept and its first request: PROXY header, admission, TLS.

import type { Socket } from 'node:net'
import type { ClientAuthMaterial } from '../../tls/contract.ts'
import type { Limit } from '../admission.ts'
import type { TransportOptions } from '../exchange.ts'
import type { Origin } from './connection.ts'
import { readProxyHeader } from './proxy-reader.ts'
import { Standing } from './standing.ts'
import { type ClientProof, TlsFront } from './tls-front.ts'

// So many are told at any time that there is no room, however few have room.
const politeMin = 64

/** A connection on its way in. */
interface Guest {
  readonly raw: Socket
  /** How long it has been here without being served. */
  openingMs: number
  /** True once it is admitted, or is to be told that it is not. */
  isCounted: boolean
  address: string
  limit: Limit | undefined
}

/** Hands a connection that may speak HTTP on. */
export type Serve = (socket: Socket, origin: Origin) => void

export class Door {
  readonly #options: TransportOptions
  readonly #serve: Serve
  readonly #opening = new Map<Socket, Guest>()
  readonly #tls: TlsFront | undefined
  #beyondLimit = 0

  /** Errors: what OpenSSL says of material that it does not take. */
  constructor(options: TransportOptions, serve: Serve) {
    this.#options = options
    this.#serve = serve
    const { tls, counts } = options
    const onSecure = (raw: Socket, socket: Socket, proof: ClientProof): void =>
      this.#open(raw, socket, proof)
    this.#tls =
      tls &&
      new TlsFront(tls, {
        ...{ counts, onSecure },
        onRefused: (refusal) => options.onCertificateRefused?.(refusal),
      })
  }

  /** Undefined on a plain listener. */
  get tls(): TlsFront | undefined {
    return this.#tls
  }

  onConnection(raw: Socket): void {
    const { counts, proxyProtocol } = this.#options
    const address = addressOf(raw)
    const guest: Guest = { raw, openingMs: 0, isCounted: false, address, limit: undefined }
    counts.connections += 1
    this.#opening.set(raw, guest)
    raw.once('close', () => this.#onClose(guest))
    // Whoever has the socket later listens too; until then nobody does.
    raw.on('error', () => {})
    if (proxyProtocol === undefined) {
      this.#admit(guest)
    } else if (proxyProtocol.trusts(address)) {
      const onHeader = (client: string | undefined): void => {
        guest.address = client ?? address
        this.#admit(guest)
      }
      readProxyHeader(raw, onHeader, () => this.#refuseProxy(raw))
    } else {
      this.#refuseProxy(raw)
    }
  }

  /** Called every while: who takes too long to come in is cut. Units: ms. */
  checkPace(elapsedMs: number): void {
    const { handshakeMs } = this.#options.pace
    for (const guest of this.#opening.values()) {
      guest.openingMs += elapsedMs
      if (guest.openingMs >= handshakeMs) guest.raw.destroy()
    }
  }

  /** Cut all that are on their way in. */
  close(): void {
    for (const raw of this.#opening.keys()) raw.destroy()
  }

  #refuseProxy(raw: Socket): void {
    this.#options.counts.proxyHeadersRefused += 1
    raw.destroy()
  }

  #admit(guest: Guest): void {
    const { admission, counts } = this.#options
    const { raw, address } = guest
    guest.limit = admission.connectionLimit(() => address)
    if (guest.limit === undefined) {
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
    guest.isCounted = true
    if (this.#tls === undefined) this.#open(raw, raw, undefined)
    else this.#tls.start(raw)
  }

  #open(raw: Socket, socket: Socket, proof: ClientProof | undefined): void {
    const guest = this.#opening.get(raw)
    if (guest === undefined) {
      socket.destroy()
      return
    }
    this.#opening.delete(raw)
    const { x509, certificate } = proof ?? {}
    const clientAuth = (): ClientAuthMaterial | undefined => this.#tls?.clientAuth
    this.#serve(socket, {
      raw,
      remoteAddress: guest.address,
      limit: guest.limit,
      isSecure: proof !== undefined,
      x509,
      certificate,
      standing: x509 && certificate && new Standing(x509, certificate.notAfterMs, clientAuth),
    })
  }

  #onClose({ raw, isCounted, address, limit }: Guest): void {
    this.#options.counts.connections -= 1
    this.#opening.delete(raw)
    if (!isCounted) return
    if (limit === undefined) this.#options.admission.closeConnection(address)
    else this.#beyondLimit -= 1
  }
}

/** A socket that listens on `::` shows IPv4 clients as mapped addresses. */
function addressOf(raw: Socket): string {
  return (raw.remoteAddress ?? '').replace(/^::ffff:(?=[0-9.]+$)/, '')
}
