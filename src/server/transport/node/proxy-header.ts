// The header of the PROXY protocol, version 2, as bytes. Source: haproxy proxy-protocol.txt §2.2.

import { SocketAddress } from 'node:net'

/** What a header says, and how many bytes it takes. */
export interface ProxyHeader {
  readonly bytes: number
  /** Undefined where the connection is the proxy's own (LOCAL) or its client has no address. */
  readonly client: string | undefined
}

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const fixedBytes = 16
// The specification has senders keep it below, so that it fits the smallest segment of TCP.
const headerBytesMax = 536

const local = 0x20
const proxied = 0x21
const unspecified = 0x00
// Address family and protocol, and the bytes that two addresses and two ports take.
const tcp4 = { family: 0x11, bytes: 12 } as const
const tcp6 = { family: 0x21, bytes: 36 } as const

/**
 * Look at the first bytes of a connection. 'more' where they may become a header, 'refused' where they
 * never will: version 1, another protocol, a header too long or too short for what it announces.
 */
export function parseProxyHeader(received: Uint8Array): ProxyHeader | 'more' | 'refused' {
  const bytes = Buffer.from(received.buffer, received.byteOffset, received.byteLength)
  const known = Math.min(bytes.length, signature.length)
  if (signature.compare(bytes, 0, known, 0, known) !== 0) return 'refused'
  if (bytes.length < fixedBytes) return 'more'
  const command = bytes.readUInt8(12)
  const family = bytes.readUInt8(13)
  const total = fixedBytes + bytes.readUInt16BE(14)
  if (total > headerBytesMax || (command !== local && command !== proxied)) return 'refused'
  const isOwn = command === local || family === unspecified
  if (!isOwn && !isKnown(family, total - fixedBytes)) return 'refused'
  if (bytes.length < total) return 'more'
  return { bytes: total, client: isOwn ? undefined : clientOf(bytes, family) }
}

function isKnown(family: number, bytes: number): boolean {
  return (
    (family === tcp4.family && bytes >= tcp4.bytes) ||
    (family === tcp6.family && bytes >= tcp6.bytes)
  )
}

// Source address first; what follows the addresses and ports are extensions, which nothing here needs.
function clientOf(bytes: Buffer, family: number): string {
  if (family === tcp4.family) return bytes.subarray(fixedBytes, fixedBytes + 4).join('.')
  return ipv6Text(bytes.subarray(fixedBytes, fixedBytes + 16))
}

/** As the system writes it, so that one client has one name; mapped IPv4 as IPv4. */
function ipv6Text(bytes: Buffer): string {
  const groups = bytes.toString('hex').match(/..../g) ?? []
  const { address } = new SocketAddress({ address: groups.join(':'), family: 'ipv6' })
  return address.replace(/^::ffff:(?=[0-9.]+$)/, '')
}
