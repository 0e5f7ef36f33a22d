// Addresses in the one form by which clients are known: RFC 5952, IPv4-mapped ones as IPv4.

import { SocketAddress } from 'node:net'

const mapped = /^0000:0000:0000:0000:0000:ffff:(..)(..):(..)(..)$/
const decoder = new TextDecoder('latin1')

/** From the text that uWebSockets.js gives, IPv6 in full; '' where there is none. */
export function addressFromText(latin1: ArrayBuffer): string {
  const text = decoder.decode(latin1)
  return text.includes(':') ? addressFromGroups(text) : text
}

/** From 4 or 16 bytes in network order. */
export function addressFromBytes(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.')
  return addressFromGroups(bytes.toString('hex').replace(/.{4}(?=.)/g, '$&:'))
}

/** `groups`: eight, of four digits each. */
function addressFromGroups(groups: string): string {
  const ipv4 = mapped.exec(groups)
  if (ipv4 === null) return new SocketAddress({ address: groups, family: 'ipv6' }).address
  return ipv4
    .slice(1)
    .map((byte) => Number.parseInt(byte, 16))
    .join('.')
}
