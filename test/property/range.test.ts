// Goal: whatever the header, an answered range lies in the blob and is one that was asked for; a
// Content-Range that was printed parses back.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  ascendingRangesMax,
  type ByteRange,
  parseContentRange,
  parseRange,
} from '../../src/oci/range.ts'

type Spec = readonly [first: number | undefined, last: number | undefined]

const position = fc.nat(40)
const spec: fc.Arbitrary<Spec> = fc.oneof(
  fc.tuple(position, position),
  fc.tuple(position, fc.constant(undefined)),
  fc.tuple(fc.constant(undefined), position),
)

/** RFC 9110 §14.1.2 as a set of bytes: slow and plain. */
function bytesOf([first, last]: Spec, size: number): number[] {
  const all = Array.from({ length: size }, (_, i) => i)
  if (first === undefined) return last === 0 ? [] : all.slice(-(last ?? 0))
  return all.filter((i) => i >= first && (last === undefined || i <= last))
}

function bytesIn({ start, end }: ByteRange): number[] {
  return Array.from({ length: end - start + 1 }, (_, i) => start + i)
}

test('ranges come out as the bytes of the RFC, in the order asked', () => {
  fc.assert(
    fc.property(fc.array(spec, { minLength: 1, maxLength: 6 }), fc.nat(40), (specs, size) => {
      const header = `bytes=${specs.map(([first, last]) => `${first ?? ''}-${last ?? ''}`).join()}`
      const answer = parseRange(header, size)
      const expected = specs.map((spec) => bytesOf(spec, size)).filter(({ length }) => length > 0)
      const isReversed = specs.some(([first, last]) => last !== undefined && (first ?? 0) > last)
      if (answer.kind === 'ranges') {
        assert.ok(!isReversed)
        assert.deepEqual(answer.ranges.map(bytesIn), expected)
      } else if (answer.kind === 'whole') {
        assert.ok(!isReversed)
        assert.ok(size === 0 || expected.flat().length > size)
      } else {
        assert.ok(isReversed || expected.length === 0)
      }
    }),
    { numRuns: 2000 },
  )
})

test('any text gives ranges within the blob, or no range', () => {
  const near = fc.string({ unit: fc.constantFrom(...'0123456789-,= \tbytes*/x'), maxLength: 60 })
  const header = fc.oneof(
    fc.string(),
    near,
    near.map((text) => `bytes=${text}`),
  )
  fc.assert(
    fc.property(header, fc.maxSafeNat(), (header, size) => {
      const answer = parseRange(header, size)
      if (answer.kind !== 'ranges') return
      assert.ok(answer.ranges.length > 0 && answer.ranges.length <= ascendingRangesMax)
      let total = 0
      for (const { start, end } of answer.ranges) {
        assert.ok(Number.isSafeInteger(start) && Number.isSafeInteger(end))
        assert.ok(start >= 0 && start <= end && end < size)
        total += end - start + 1
      }
      assert.ok(total <= size)
    }),
    { numRuns: 2000 },
  )
})

test('a printed Content-Range parses back, in each of its forms', () => {
  const bounds = fc
    .tuple(fc.maxSafeNat(), fc.maxSafeNat())
    .map((pair) => pair.toSorted((a, b) => a - b))
  fc.assert(
    fc.property(bounds, fc.maxSafeNat(), ([start = 0, end = 0], rest) => {
      const total = BigInt(end) + 1n + BigInt(rest)
      for (const header of [
        `${start}-${end}`,
        `bytes ${start}-${end}/*`,
        `bytes ${start}-${end}/${total}`,
      ]) {
        assert.deepEqual(parseContentRange(header), { start, end }, header)
      }
      if (start < end) assert.equal(parseContentRange(`${end}-${start}`), undefined)
    }),
  )
})

test('any text gives a Content-Range of safe integers, or none', () => {
  const near = fc.string({ unit: fc.constantFrom(...'0123456789-/* bytes'), maxLength: 40 })
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        near,
        near.map((text) => `bytes ${text}`),
      ),
      (header) => {
        const range = parseContentRange(header)
        if (range === undefined) return
        assert.ok(Number.isSafeInteger(range.start) && Number.isSafeInteger(range.end))
        assert.ok(range.start >= 0 && range.start <= range.end)
      },
    ),
    { numRuns: 2000 },
  )
})

test('hostile ranges are answered at once', () => {
  for (const piece of ['0-0,', ',', '-', '0', ' ', '\t,', '0-,', '-1,', '9'.repeat(400)]) {
    const text = piece.repeat(Math.ceil(1_000_000 / piece.length))
    const start = process.hrtime.bigint()
    parseRange(`bytes=${text}`, 1000)
    parseContentRange(text)
    parseContentRange(`bytes ${text}/${text}`)
    const milliseconds = Number(process.hrtime.bigint() - start) / 1e6
    assert.ok(milliseconds < 500, `${JSON.stringify(piece)} took ${milliseconds} ms`)
  }
})
