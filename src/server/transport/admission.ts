// How many connections and requests there may be at a time, in all and for one client address. One
// instance for all listeners of a process.

import { addressGroup } from '../../http/address-group.ts'

/** Which bound was met: of the whole process (503) or of one address (429). */
export type Limit = 'total' | 'address'

/** 0 stands for no bound. */
export interface AdmissionLimits {
  readonly connectionsMax: number
  readonly connectionsPerAddressMax: number
  readonly requestsMax: number
  readonly requestsPerAddressMax: number
}

/**
 * Counts one kind of thing; the addresses of one IPv6 network count as one. An address of '' (a unix
 * socket) has no bound of its own.
 */
class Tally {
  readonly #max: number
  readonly #perAddressMax: number
  readonly #lowest: number
  readonly #byAddress = new Map<string, number>()
  #total = 0

  constructor(max: number, perAddressMax: number) {
    this.#max = max === 0 ? Number.POSITIVE_INFINITY : max
    this.#perAddressMax = perAddressMax === 0 ? Number.POSITIVE_INFINITY : perAddressMax
    this.#lowest = Math.min(this.#max, this.#perAddressMax)
  }

  get total(): number {
    return this.#total
  }

  /** Whether one more would be too many. */
  isFull(addressOf: () => string): Limit | undefined {
    // No address can have more than there are in all: the usual case asks for no address.
    if (this.#total < this.#lowest) return undefined
    if (this.#total >= this.#max) return 'total'
    const address = addressOf()
    if (address === '') return undefined
    return this.of(address) >= this.#perAddressMax ? 'address' : undefined
  }

  add(address: string): void {
    this.#total += 1
    const group = addressGroup(address)
    this.#byAddress.set(group, (this.#byAddress.get(group) ?? 0) + 1)
  }

  remove(address: string): void {
    this.#total -= 1
    this.settle(address, 1)
  }

  removeOneOfSome(): void {
    this.#total -= 1
  }

  settle(address: string, ended: number): void {
    const group = addressGroup(address)
    const left = (this.#byAddress.get(group) ?? 0) - ended
    if (left > 0) this.#byAddress.set(group, left)
    else this.#byAddress.delete(group)
  }

  of(address: string): number {
    return this.#byAddress.get(addressGroup(address)) ?? 0
  }
}

/** Every `open`/`begin` is followed by exactly one `close`/`end` with the same address. */
export class Admission {
  readonly limits: AdmissionLimits
  readonly #connections: Tally
  readonly #requests: Tally

  constructor(limits: AdmissionLimits) {
    this.limits = limits
    this.#connections = new Tally(limits.connectionsMax, limits.connectionsPerAddressMax)
    this.#requests = new Tally(limits.requestsMax, limits.requestsPerAddressMax)
  }

  get connections(): number {
    return this.#connections.total
  }

  get requests(): number {
    return this.#requests.total
  }

  /** Asked before `openConnection`. */
  connectionLimit(addressOf: () => string): Limit | undefined {
    return this.#connections.isFull(addressOf)
  }

  openConnection(address: string): void {
    this.#connections.add(address)
  }

  closeConnection(address: string): void {
    this.#connections.remove(address)
  }

  /**
   * For a transport that sees an end but not whose: the total is right at once, the address's count
   * after `settleConnections`.
   */
  closeSomeConnection(): void {
    this.#connections.removeOneOfSome()
  }

  /** So many of the connections that are counted for an address had ended before. */
  settleConnections(address: string, ended: number): void {
    this.#connections.settle(address, ended)
  }

  connectionsOf(address: string): number {
    return this.#connections.of(address)
  }

  /** Asked before the handler sees a request. Only requests that outlive their handler are counted. */
  requestLimit(addressOf: () => string): Limit | undefined {
    return this.#requests.isFull(addressOf)
  }

  beginRequest(address: string): void {
    this.#requests.add(address)
  }

  endRequest(address: string): void {
    this.#requests.remove(address)
  }
}
