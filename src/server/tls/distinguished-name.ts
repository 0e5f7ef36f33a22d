// Reads names from DER. node:crypto prints them as text, in which a value can look like two parts.
import { type DerElement, DerError, DerReader, derTags } from './der.ts'

/** Content of the object identifiers, in hexadecimal. Source: X.520 §6.2.2, §6.4.1. */
export const nameTypes = { commonName: '550403', organization: '55040a' } as const

/** One attribute of a name. */
export interface NamePart {
  /** Content of its object identifier, in hexadecimal. */
  readonly type: string
  /** Undefined where it is no character string. */
  readonly value: string | undefined
  readonly valueDer: Buffer
}

const decoders: Readonly<Record<number, (content: Buffer) => string>> = {
  12: (content) => content.toString('utf8'),
  18: (content) => content.toString('latin1'),
  19: (content) => content.toString('latin1'),
  // T61String: what libraries read as Latin-1, whatever the standard says.
  20: (content) => content.toString('latin1'),
  22: (content) => content.toString('latin1'),
  26: (content) => content.toString('latin1'),
  28: utf32,
  30: utf16,
}

/**
 * The attributes of a Name, one list for each RDN. Source: RFC 5280 §4.1.2.4.
 * Errors: DerError.
 */
export function readName(nameDer: Uint8Array): readonly (readonly NamePart[])[] {
  const names = new DerReader(nameDer).enter(derTags.sequence)
  const found: (readonly NamePart[])[] = []
  while (!names.isAtEnd) {
    const parts: NamePart[] = []
    const set = names.enter(derTags.set)
    while (!set.isAtEnd) parts.push(readPart(set.enter(derTags.sequence)))
    found.push(parts)
  }
  return found
}

function readPart(part: DerReader): NamePart {
  const type = part.next(derTags.oid).content.toString('hex')
  const value = part.next()
  return { type, value: text(value), valueDer: value.whole }
}

function text({ tag, content }: DerElement): string | undefined {
  return decoders[tag]?.(content)
}

/**
 * A key that two names share where X.509 calls them equal, whatever their string types, case and
 * spaces: OpenSSL compares names in such a form too. Source: RFC 5280 §7.1. Errors: DerError.
 */
export function canonicalName(nameDer: Uint8Array): string {
  const names = readName(nameDer).map((parts) =>
    parts
      .map(({ type, value, valueDer }) => [
        type,
        value?.trim().replace(/\s+/g, ' ').toLowerCase() ?? valueDer.toString('hex'),
      ])
      .sort(([a = ''], [b = '']) => (a < b ? -1 : 1)),
  )
  return JSON.stringify(names)
}

/** For messages: `CN=a, O=b`, control characters escaped. */
export function printName(nameDer: Uint8Array): string {
  const labels: Readonly<Record<string, string>> = { '550403': 'CN', '55040a': 'O', '55040b': 'OU' }
  const parts = readName(nameDer).flat()
  const shown = parts.flatMap(({ type, value }) => {
    const label = labels[type]
    return label === undefined || value === undefined ? [] : [`${label}=${value}`]
  })
  return JSON.stringify(shown.join(', '))
}

function utf16(content: Buffer): string {
  if (content.length % 2 !== 0) throw new DerError('half a character')
  return Buffer.from(content).swap16().toString('utf16le')
}

function utf32(content: Buffer): string {
  if (content.length % 4 !== 0) throw new DerError('a part of a character')
  let result = ''
  for (let index = 0; index < content.length; index += 4) {
    const point = content.readUInt32BE(index)
    if (point > 0x10ffff) throw new DerError('no character')
    result += String.fromCodePoint(point)
  }
  return result
}
