// Reads DER: as much of it as certificates, revocation lists and OCSP responses need. It copies nothing,
// and never reads past the element that it is in. Source: ITU-T X.690 §8 and §10.

/** The tags that the readers ask for. Source: X.690 §8.1.2, X.680 §8.4. */
export const derTags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  enumerated: 0x0a,
  sequence: 0x30,
  set: 0x31,
  utcTime: 0x17,
  generalizedTime: 0x18,
} as const

/** The bytes are not the DER that was expected. */
export class DerError extends Error {
  override readonly name: string = 'DerError'
}

/** One element: `content` without, `whole` with its tag and length; both are views. */
export interface DerElement {
  readonly tag: number
  readonly content: Buffer
  readonly whole: Buffer
}

/**
 * Walks over the elements of a constructed one, or of a whole document.
 * Limits: tags of one byte, definite lengths below 2^32. Errors: DerError.
 */
export class DerReader {
  readonly #bytes: Buffer
  #offset = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get isAtEnd(): boolean {
    return this.#offset === this.#bytes.length
  }

  /** The tag of the next element; undefined at the end. */
  get tag(): number | undefined {
    return this.#bytes[this.#offset]
  }

  /** The next element, which must have this tag where one is given. */
  next(tag?: number): DerElement {
    const start = this.#offset
    const found = this.#byte()
    if ((found & 0x1f) === 0x1f) throw new DerError('a tag of several bytes')
    if (tag !== undefined && found !== tag) {
      throw new DerError(`tag 0x${tag.toString(16)} expected, 0x${found.toString(16)} found`)
    }
    const length = this.#length()
    const contentStart = this.#offset
    const end = contentStart + length
    if (end > this.#bytes.length) throw new DerError('an element that ends after its container')
    this.#offset = end
    const content = this.#bytes.subarray(contentStart, end)
    return { tag: found, content, whole: this.#bytes.subarray(start, end) }
  }

  /** The next element where it has this tag; otherwise nothing is read. */
  optional(tag: number): DerElement | undefined {
    return this.tag === tag ? this.next() : undefined
  }

  /** Walk into the next element, which must have this tag. */
  enter(tag: number): DerReader {
    return new DerReader(this.next(tag).content)
  }

  #length(): number {
    const first = this.#byte()
    if (first < 0x80) return first
    const count = first & 0x7f
    if (count === 0 || count > 4) throw new DerError('a length that is indefinite or too long')
    let length = 0
    for (let index = 0; index < count; index += 1) length = length * 256 + this.#byte()
    return length
  }

  #byte(): number {
    const byte = this.#bytes[this.#offset]
    if (byte === undefined) throw new DerError('an element that is cut off')
    this.#offset += 1
    return byte
  }
}

/** Upper-case hexadecimal without leading zeros, `0` for zero; a negative one keeps its two's complement. */
export function derInteger(content: Uint8Array): string {
  const digits = Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString('hex')
  return digits.replace(/^0+(?=.)/, '').toUpperCase()
}

/** UTCTime or GeneralizedTime in ms since the epoch. Source: RFC 5280 §4.1.2.5. */
export function derTime({ tag, content }: DerElement): number {
  const text = content.toString('latin1')
  const pattern = tag === derTags.utcTime ? /^\d{12}Z$/ : /^\d{14}(?:\.\d+)?Z$/
  const isTime = tag === derTags.utcTime || tag === derTags.generalizedTime
  if (!isTime || !pattern.test(text)) throw new DerError('a malformed time')
  const century = tag === derTags.generalizedTime ? '' : Number(text.slice(0, 2)) < 50 ? '20' : '19'
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)/.exec(century + text)
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = (parts ?? [])
    .slice(1)
    .map(Number)
  return Date.UTC(year, month - 1, day, hour, minute, second)
}

/** The bits of a BIT STRING that ends at a byte. */
export function derBits(content: Buffer): Buffer {
  if (content[0] !== 0) throw new DerError('a bit string that does not end at a byte')
  return content.subarray(1)
}
