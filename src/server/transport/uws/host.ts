// What the exchanges of a listener share, and the limits that are asked before each.

import type { TransportOptions } from '../exchange.ts'
import type { Crowd } from './crowd.ts'
import type { ExchangeHost, TurnedAway, UwsExchange } from './exchange.ts'
import { PaceKeeper } from './pace.ts'
import { RequestHeaders } from './request-headers.ts'
import { StreamBuffers } from './stream.ts'

const beyondPlaces: TurnedAway = { limit: 'total', closes: true }
const crowded: TurnedAway = { limit: 'address', closes: true }

export class UwsHost implements ExchangeHost {
  readonly options: TransportOptions
  readonly isSecure: boolean
  readonly countsRequestAddresses: boolean
  readonly buffers: StreamBuffers = new StreamBuffers()
  readonly headers: RequestHeaders = new RequestHeaders()
  readonly pace: PaceKeeper
  inFlight = 0
  stopping = false
  readonly #crowd: Crowd
  #asking: UwsExchange | undefined

  constructor(options: TransportOptions, crowd: Crowd) {
    this.options = options
    this.isSecure = options.tls !== undefined
    this.countsRequestAddresses = options.admission.limits.requestsPerAddressMax > 0
    this.pace = new PaceKeeper(options.pace, options.counts, () => performance.now())
    this.#crowd = crowd
  }

  turnsAway(exchange: UwsExchange): TurnedAway | undefined {
    if (this.#crowd.hasCrowded && this.#crowd.isCrowded(exchange.remoteAddress)) return crowded
    this.#asking = exchange
    const limit = this.options.admission.requestLimit(this.#addressOfAsking)
    return limit === undefined ? undefined : { limit, closes: false }
  }

  // One function for all requests: most are not even asked for their address.
  readonly #addressOfAsking = (): string => this.#asking?.remoteAddress ?? ''
}

/** For connections beyond the limit in all: whatever they ask, they are told to come back. */
export class BusyHost extends UwsHost {
  override turnsAway(): TurnedAway {
    return beyondPlaces
  }
}
