// Reads the outermost shape of BER, as LDAP uses it: tags of one byte, lengths that are given.

/** One tag with its content, as offsets into the bytes that it was read from. */
export interface Element {
  readonly tag: number
  readonly start: number
  readonly end: number
}

/** What was sent is no LDAP. */
export class BerError extends Error {
  override readonly name = 'BerError'
}

/**
 * The element that begins at `offset`, whose content may be still to come; undefined where not even
 * its length is there yet.
 * Errors: BerError. Source: RFC 4511 §5.1, X.690 §8.1.
 */
export function readHead(bytes: Buffer, offset: number, limit: number): Element | undefined {
  const tag = bytes[offset]
  const first = bytes[offset + 1]
  if (offset + 2 > limit || tag === undefined || first === undefined) return undefined
  if ((tag & 0x1f) === 0x1f) throw new BerError('a tag of several bytes')
  if (first < 0x80) return { tag, start: offset + 2, end: offset + 2 + first }
  const count = first & 0x7f
  // Directories of Microsoft always write four bytes.
  if (count === 0 || count > 4) throw new BerError('a length in a form that LDAP does not have')
  const start = offset + 2 + count
  if (start > limit) return undefined
  return { tag, start, end: start + bytes.readUIntBE(offset + 2, count) }
}

/** All elements between two offsets, which they must fill. Errors: BerError. */
export function readAll(bytes: Buffer, start: number, end: number): readonly Element[] {
  const elements: Element[] = []
  for (let offset = start; offset < end; ) {
    const element = readHead(bytes, offset, end)
    if (element === undefined || element.end > end) throw new BerError('a part that is cut off')
    elements.push(element)
    offset = element.end
  }
  return elements
}

/** A non-negative integer. Errors: BerError. */
export function readNumber(bytes: Buffer, { start, end }: Element): number {
  const size = end - start
  if (size < 1 || size > 4) throw new BerError('a number out of range')
  const value = bytes.readIntBE(start, size)
  if (value < 0) throw new BerError('a negative number')
  return value
}

/** `content` with its tag and length before it. */
export function element(tag: number, content: Uint8Array): Buffer {
  const size = content.byteLength
  const head = size < 0x80 ? Buffer.from([tag, size]) : Buffer.from([tag, 0x84, 0, 0, 0, 0])
  if (size >= 0x80) head.writeUInt32BE(size, 2)
  return Buffer.concat([head, content])
}
