// Goal: the reader of DER never reads past its bytes and fails with DerError alone. Method: elements
// written by hand, and garbage.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { readCertificate } from '../../../src/server/tls/certificate-fields.ts'
import { DerError, DerReader, derInteger, derTime } from '../../../src/server/tls/der.ts'
import { canonicalName, readName } from '../../../src/server/tls/distinguished-name.ts'
import { readCrl } from '../../../src/server/tls/revocation.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

describe('the DER reader', () => {
  test('walks in and over elements', () => {
    const reader = new DerReader(hex('30 06 02 01 05 02 01 06 0c 01 61'))
    const inner = reader.enter(0x30)
    assert.equal(inner.next(2).content[0], 5)
    assert.equal(inner.optional(3), undefined)
    assert.deepEqual(inner.optional(2)?.whole, hex('02 01 06'))
    assert.ok(inner.isAtEnd)
    assert.equal(inner.tag, undefined)
    assert.equal(reader.next().content.toString(), 'a')
    assert.ok(reader.isAtEnd)
  })

  test('takes lengths of several bytes', () => {
    const long = Buffer.concat([hex('04 82 01 00'), Buffer.alloc(256)])
    assert.equal(new DerReader(long).next(4).content.length, 256)
  })

  for (const [what, bytes] of [
    ['nothing', ''],
    ['a tag alone', '02'],
    ['content that is cut off', '02 02 01'],
    ['a length that is cut off', '02 82 01'],
    ['an indefinite length', '30 80 00 00'],
    ['a length of five bytes', '02 85 00 00 00 00 01 00'],
    ['a tag of two bytes', '1f 81 01 00'],
  ] as const) {
    test(`refuses ${what}`, () => {
      assert.throws(() => new DerReader(hex(bytes)).next(), DerError)
    })
  }

  test('prints serials as openssl does, without leading zeros', () => {
    assert.equal(derInteger(hex('00 ff')), 'FF')
    assert.equal(derInteger(hex('0a')), 'A')
    assert.equal(derInteger(hex('00')), '0')
  })

  test('reads both kinds of time', () => {
    const time = (tag: number, text: string): number => {
      const content = Buffer.from(text)
      return derTime({ tag, content, whole: content })
    }
    assert.equal(time(0x17, '491231235959Z'), Date.parse('2049-12-31T23:59:59Z'))
    assert.equal(time(0x17, '500101000000Z'), Date.parse('1950-01-01T00:00:00Z'))
    assert.equal(time(0x18, '20500101000000Z'), Date.parse('2050-01-01T00:00:00Z'))
    for (const [tag, text] of [
      [0x17, '4912312359Z'],
      [0x17, '491231235959+0100'],
      [0x18, '491231235959Z'],
      [0x0c, '491231235959Z'],
    ] as const) {
      assert.throws(() => time(tag, text), DerError)
    }
  })

  test('throws nothing but DerError, whatever the bytes', () => {
    const readers = [readCertificate, readCrl, readName, canonicalName]
    // Mostly well-formed pieces, so that the readers come to their depths.
    const element = fc.letrec((tie) => ({
      node: fc.oneof(
        { depthSize: 'small' },
        fc.uint8Array({ maxLength: 16 }),
        fc
          .tuple(fc.constantFrom(0x30, 0x31, 0x06, 0x0c, 0x1e, 0x02, 0x17, 0xa0, 0xa3), tie('list'))
          .map(([tag, content]) => {
            const bytes = content as Uint8Array
            return new Uint8Array([tag, bytes.length & 0x7f, ...bytes])
          }),
      ),
      list: fc
        .array(tie('node'), { maxLength: 4 })
        .map((nodes) => Buffer.concat(nodes as Uint8Array[])),
    })).node
    fc.assert(
      fc.property(element, (bytes) => {
        for (const read of readers) {
          try {
            read(bytes as Uint8Array)
          } catch (error) {
            assert.ok(error instanceof DerError, String(error))
          }
        }
      }),
      { numRuns: 2000 },
    )
  })
})

describe('names', () => {
  const name = (...parts: readonly string[]): Buffer => {
    const sets = hex(parts.map((part) => hexOf(0x31, hexOf(0x30, part))).join(''))
    return hex(hexOf(0x30, sets.toString('hex')))
  }
  const hexOf = (tag: number, content: string): string =>
    Buffer.from([tag, content.length / 2]).toString('hex') + content
  const commonName = (tag: number, value: Buffer): string =>
    `0603550403${hexOf(tag, value.toString('hex'))}`

  test('are read from every type of string', () => {
    const values = (tag: number, value: Buffer): unknown =>
      readName(name(commonName(tag, value))).flat()[0]?.value
    assert.equal(values(12, Buffer.from('ä')), 'ä')
    assert.equal(values(19, Buffer.from('a')), 'a')
    assert.equal(values(20, Buffer.from('ä', 'latin1')), 'ä')
    assert.equal(values(30, hex('00e4')), 'ä')
    assert.equal(values(28, hex('0001f600')), '😀')
    assert.equal(values(3, hex('0061')), undefined)
    assert.throws(() => values(30, hex('00e400')), DerError)
    assert.throws(() => values(28, hex('00110000')), DerError)
  })

  test('are equal whatever their string type, case and spaces', () => {
    const one = name(commonName(12, Buffer.from(' Client  CA')))
    const other = name(commonName(19, Buffer.from('client ca')))
    assert.equal(canonicalName(one), canonicalName(other))
    const third = name(commonName(12, Buffer.from('clientca')))
    assert.notEqual(canonicalName(one), canonicalName(third))
    const two = name(commonName(12, Buffer.from('client')), commonName(12, Buffer.from('ca')))
    assert.notEqual(canonicalName(one), canonicalName(two))
  })
})
