// Addresses and networks, as configurations name them.

import { BlockList, isIP } from 'node:net'

export interface Networks {
  /** False for what is no address, as that of a unix socket. */
  has(address: string): boolean
}

/** `texts`: addresses and CIDR ranges, checked by the configuration. */
export function createNetworks(texts: readonly string[]): Networks {
  const list = new BlockList()
  for (const text of texts) {
    const [address = '', prefix] = text.split('/')
    const family = familyOf(address)
    if (prefix === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(prefix), family)
  }
  return { has: (address) => isIP(address) !== 0 && list.check(address, familyOf(address)) }
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4'
}
