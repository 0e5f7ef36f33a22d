// PROXY protocol headers, byte by byte. Source: haproxy proxy-protocol.txt §2.

export interface ProxyHeaderOptions {
  readonly command?: 'LOCAL' | 'PROXY'
  readonly source?: string
  readonly destination?: string
  /** Behind the addresses: type-length-value triples. */
  readonly extra?: Uint8Array
  /** Overrides single bytes, by offset. */
  readonly patch?: Readonly<Record<number, number>>
}

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')

/** Version 2, over TCP; IPv4 or IPv6 by the form of `source`. */
export function proxyHeader(options: ProxyHeaderOptions = {}): Buffer {
  const { command = 'PROXY', source = '192.0.2.7', extra = new Uint8Array(0), patch = {} } = options
  const isV6 = source.includes(':')
  const { destination = isV6 ? '2001:db8::1' : '192.0.2.1' } = options
  const ports = Buffer.from([0xc0, 0x01, 0x01, 0xbb])
  const addresses =
    command === 'LOCAL'
      ? Buffer.alloc(0)
      : Buffer.concat([addressBytes(source), addressBytes(destination), ports])
  const head = Buffer.alloc(4)
  head[0] = command === 'LOCAL' ? 0x20 : 0x21
  head[1] = command === 'LOCAL' ? 0x00 : isV6 ? 0x21 : 0x11
  head.writeUInt16BE(addresses.length + extra.length, 2)
  const header = Buffer.concat([signature, head, addresses, extra])
  for (const [offset, byte] of Object.entries(patch)) header[Number(offset)] = byte
  return header
}

function addressBytes(address: string): Buffer {
  if (!address.includes(':')) return Buffer.from(address.split('.').map(Number))
  const [before = '', after] = address.split('::')
  const groups = (part: string | undefined): readonly number[] =>
    part ? part.split(':').map((group) => Number.parseInt(group, 16)) : []
  const [left, right] = [groups(before), groups(after)]
  const middle = Array.from({ length: 8 - left.length - right.length }, () => 0)
  const bytes = Buffer.alloc(16)
  for (const [at, group] of [...left, ...middle, ...right].entries()) {
    bytes.writeUInt16BE(group, at * 2)
  }
  return bytes
}
