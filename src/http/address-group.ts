// Which addresses count as one client: whoever has an IPv6 network has all the addresses of it.

import { isIPv6 } from 'node:net'

// Source: RFC 6052 §2.1: IPv4 clients seen through a translator, each with its own last 32 bits.
const translated = '64:ff9b:0:0:'

/**
 * The key under which what an address does is counted: of IPv4 the address itself, of IPv6 its /64, such
 * as `2001:db8:0:7::/64`, which is what a provider gives to one subscriber at least. A text that is no
 * address, such as the '' of a unix socket, is its own group.
 * Source: RFC 4291 §2.5.4, RFC 6177 §2; test/http/address-group.test.ts.
 */
export function addressGroup(address: string): string {
  // The usual case, and the one on a hot path.
  if (!address.includes(':') || !isIPv6(address)) return address
  const [bare = ''] = address.split('%')
  const groups = groupsOf(bare)
  const network = `${groups.slice(0, 4).join(':')}:`
  const isMapped = groups.slice(0, 5).every((group) => group === '0') && groups[5] === 'ffff'
  if (isMapped || network === translated) return embeddedIpv4(groups)
  return `${network}:/64`
}

/** Eight groups, lower case, without leading zeros. */
function groupsOf(address: string): readonly string[] {
  const [head = '', tail] = address.split('::')
  const before = partsOf(head)
  if (tail === undefined) return before
  const after = partsOf(tail)
  const zeros = new Array<string>(8 - before.length - after.length).fill('0')
  return [...before, ...zeros, ...after]
}

function partsOf(text: string): readonly string[] {
  if (text === '') return []
  return text.split(':').flatMap((part) => {
    if (!part.includes('.')) return [Number.parseInt(part, 16).toString(16)]
    const [a = 0, b = 0, c = 0, d = 0] = part.split('.').map(Number)
    return [(a * 256 + b).toString(16), (c * 256 + d).toString(16)]
  })
}

function embeddedIpv4(groups: readonly string[]): string {
  const [high = 0, low = 0] = groups.slice(6).map((group) => Number.parseInt(group, 16))
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}
