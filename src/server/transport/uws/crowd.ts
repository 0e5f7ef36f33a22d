// Who may be connected to one listener. The library has nothing to hang on a connection and tells
// little of it, so an address beyond its limit is known again by its requests.

import type { ListenSocket, TransportOptions } from '../exchange.ts'
import { type ConnectionLedger, ledgerOf } from './connections.ts'

// So far beyond its limit, a connection is not worth an answer.
const closedAtOnceFactor = 2
const recheckMs = 100

export class Crowd {
  readonly #options: TransportOptions
  /** Undefined on a unix socket, whose clients have no address. */
  readonly #ledger: ConnectionLedger | undefined
  readonly #port: number
  /** Addresses that have more connections than they may. */
  readonly #crowded = new Set<string>()
  #timer: NodeJS.Timeout | undefined

  constructor(options: TransportOptions, place: ListenSocket) {
    this.#options = options
    this.#port = place.kind === 'unix' ? 0 : place.port
    this.#ledger =
      place.kind === 'unix' ? undefined : ledgerOf(options.admission, options.sharesAddress)
    this.#ledger?.addPort(this.#port)
  }

  /** Count a connection; false where it is to be closed at once. `leave` follows in any case. */
  enter(address: string): boolean {
    const { admission, counts } = this.#options
    const limit = admission.connectionLimit(() => address)
    counts.connections += 1
    if (this.#ledger === undefined) admission.openConnection('')
    else this.#ledger.open(address)
    const isCrowded = limit === 'address' && this.#exceeds(1, address)
    if (limit !== 'total' && !isCrowded) {
      counts.connectionsAccepted += 1
      return true
    }
    counts.connectionsRefused += 1
    if (limit === 'total') return false
    this.#crowded.add(address)
    // Who has left may be known only later; its next request is not to suffer for it.
    this.#timer ??= setInterval(() => this.#recheck(), recheckMs).unref()
    return !this.#exceeds(closedAtOnceFactor, address)
  }

  leave(): void {
    const { admission, counts } = this.#options
    counts.connections -= 1
    if (this.#ledger === undefined) admission.closeConnection('')
    else this.#ledger.close()
    this.#recheck()
  }

  /** The limit in all is met: the next connection is one too many. */
  get isFull(): boolean {
    return this.#options.admission.connectionLimit(() => '') === 'total'
  }

  /** Whether any address is beyond its limit; asked for each request. */
  get hasCrowded(): boolean {
    return this.#crowded.size > 0
  }

  isCrowded(address: string): boolean {
    if (!this.#crowded.has(address)) return false
    if (this.#exceeds(1, address)) return true
    this.#crowded.delete(address)
    return false
  }

  /** The listener is closed for good, and no connection is left. */
  end(): void {
    this.#ledger?.removePort(this.#port)
  }

  #recheck(): void {
    for (const address of this.#crowded) this.isCrowded(address)
    if (this.#crowded.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #exceeds(factor: number, address: string): boolean {
    const max = this.#options.admission.limits.connectionsPerAddressMax
    return this.#ledger?.hasMoreThan(max * factor, address) ?? false
  }
}
