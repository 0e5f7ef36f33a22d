// Who the client is when proxies stand between: X-Forwarded-For, believed only as far as it was written
// by proxies that the operator trusts.

import { isIP } from 'node:net'
import { originOf } from '../authenticate/token/challenge.ts'
import { createNetworks } from '../http/networks.ts'
import type { Exchange } from './transport/exchange.ts'

export interface ProxyTrust {
  /** Whether an address is one of `server.trusted_proxies`; '' (a unix socket) is not. */
  trusts(address: string): boolean
  /**
   * The client's address: the peer's, or behind trusted proxies the right-most hop that is not one of
   * them. Every header line counts; what is no address ends the chain at the hop before it.
   * Source: RFC 7239 §5.2 and §8.1 on what may be believed.
   */
  clientAddress(exchange: Exchange): string
  /** How the client reaches this server; undefined where its Host header names no host. */
  origin(exchange: Exchange): string | undefined
}

/** `proxies`: addresses and CIDR ranges, checked by the configuration. */
export function createProxyTrust(proxies: readonly string[]): ProxyTrust {
  if (proxies.length === 0) {
    return {
      trusts: () => false,
      clientAddress: (exchange) => exchange.remoteAddress,
      origin: (exchange) => originOf(exchange.header('host'), exchange.isSecure),
    }
  }
  const networks = createNetworks(proxies)
  const trusts = (address: string): boolean => networks.has(address)
  return {
    trusts,
    clientAddress: (exchange) => rightMostUntrusted(exchange, trusts),
    origin: (exchange) => {
      const isProxied = trusts(exchange.remoteAddress)
      const forwarded = isProxied ? exchange.header('x-forwarded-proto').toLowerCase() : ''
      const isSecure = forwarded === '' ? exchange.isSecure : forwarded === 'https'
      return originOf(exchange.header('host'), isSecure)
    },
  }
}

function rightMostUntrusted(exchange: Exchange, trusts: (address: string) => boolean): string {
  let client = exchange.remoteAddress
  if (!trusts(client)) return client
  const hops = exchange.headerLines('x-forwarded-for').flatMap((line) => line.split(','))
  for (const hop of hops.toReversed()) {
    const address = addressOf(hop.trim())
    if (address === undefined) return client
    client = address
    if (!trusts(client)) return client
  }
  return client
}

const withPort = /^(?:\[([0-9a-f:.]+)\](?::\d{1,5})?|([0-9.]+):\d{1,5})$/i

// Some proxies add the port; IPv6 then stands in brackets.
function addressOf(hop: string): string | undefined {
  const match = withPort.exec(hop)
  const bare = match?.[1] ?? match?.[2] ?? hop
  const address = bare.replace(/^::ffff:(?=[0-9.]+$)/i, '')
  return isIP(address) === 0 || address.includes('%') ? undefined : address
}
