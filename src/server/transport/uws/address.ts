// Addresses in the one form by which clients are known: RFC 5952, IPv4-mapped ones as IPv4.

import { SocketAddress } from 'node:net'

const mapped = /^0000:0000:0000:0000:0000:ffff:(..)(..):(..)(..)$/

/** From the text that uWebSockets.js gives, IPv6 in full; '' where there is none. */
export function addressFromText(latin1: ArrayBuffer): string {
  // For texts as short as these a decoder takes five times as long (130 ns).
  const text = String.fromCharCode(...new Uint8Array(latin1))
  return text.includes(':') ? addressFromGroups(text) : text
}

/** From 4 or 16 bytes in network order. */
export function addressFromBytes(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.')
  return addressFromGroups(bytes.toString('hex').replace(/.{4}(?=.)/g, '$&:'))
}

// The same few come again and again, and to write one down costs as much as to ask for it.
const knownMax = 4096
let known = new Map<string | number, string>()

/** From what uWebSockets.js gives in network order, 4 or 16 bytes; '' where there is none. */
export function addressFromPacked(packed: ArrayBuffer): string {
  if (packed.byteLength === 0) return ''
  const key =
    packed.byteLength === 4
      ? new DataView(packed).getInt32(0)
      : Buffer.from(packed).toString('latin1')
  const before = known.get(key)
  if (before !== undefined) return before
  const address = addressFromBytes(Buffer.from(packed))
  if (known.size >= knownMax) known = new Map()
  known.set(key, address)
  return address
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
