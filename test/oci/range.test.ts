// Goal: Range headers as RFC 9110 and the conformance suite want them; Content-Range of upload chunks.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  ascendingRangesMax,
  parseContentRange,
  parseRange,
  rangesMax,
} from '../../src/oci/range.ts'

/** Ranges as `0-1,5-9`, or the kind of answer. */
function answer(header: string, size: number): string {
  const range = parseRange(header, size)
  if (range.kind !== 'ranges') return range.kind
  return range.ranges.map(({ start, end }) => `${start}-${end}`).join()
}

test('satisfiable ranges are clipped to the blob and keep their order', () => {
  for (const [header, size, expected] of [
    ['bytes=0-', 2048, '0-2047'],
    ['bytes=500-1499', 2048, '500-1499'],
    ['bytes=500-', 2048, '500-2047'],
    ['bytes=-500', 2048, '1548-2047'],
    ['bytes=2000-5000', 2048, '2000-2047'],
    ['bytes=-5000', 2048, '0-2047'],
    ['bytes=0-0', 1, '0-0'],
    ['bytes=-1', 1, '0-0'],
    ['BYTES=0-1', 9, '0-1'],
    ['  bytes=0-1  ', 9, '0-1'],
    ['bytes=0-99999999999999999999999', 9, '0-8'],
    ['bytes=-99999999999999999999999', 9, '0-8'],
    ['bytes=00000000000000000000001-2', 9, '1-2'],
    ['bytes=0-1,4-5', 9, '0-1,4-5'],
    ['bytes=4-5 ,\t0-1', 9, '4-5,0-1'],
    ['bytes=,0-1,,4-5,', 9, '0-1,4-5'],
    ['bytes=0-1,20-30', 9, '0-1'],
    ['bytes=0-1,-2,3-9', 20, '0-1,18-19,3-9'],
    ['bytes=0-3,2-5', 9, '0-3,2-5'],
  ] as const) {
    assert.equal(answer(header, size), expected, header)
  }
})

test('ranges outside the blob, and ends before their start, are unsatisfiable', () => {
  for (const [header, size] of [
    ['bytes=500-0', 2048],
    ['bytes=5000-10000', 2048],
    ['bytes=2048-', 2048],
    ['bytes=2048-2048', 2048],
    ['bytes=-0', 2048],
    ['bytes=-0', 0],
    ['bytes=1-', 0],
    ['bytes=99999999999999999999999-', 9],
    ['bytes=20-30,40-50', 9],
    ['bytes=0-1,5-4', 9],
  ] as const) {
    assert.equal(answer(header, size), 'unsatisfiable', header)
  }
})

test('other units and malformed headers are ignored', () => {
  for (const header of [
    '',
    'bytes',
    'bytes=',
    'bytes=,',
    'bytes=-',
    'bytes=a-b',
    'bytes=0-b',
    'bytes=1',
    'bytes=1 - 2',
    'bytes=+1-2',
    'bytes=1.5-2',
    'bytes=0x1-2',
    'bytes=1--2',
    'bytes=1-2-3',
    'bytes=0-1,x',
    'bytes=5-4,x',
    'bytes 0-1',
    'items=0-1',
    'seconds=0-1',
    'bytes=\u0661-2',
  ]) {
    assert.equal(answer(header, 2048), 'whole', header)
  }
})

test('an empty blob is sent whole for a range that begins at its start', () => {
  for (const header of ['bytes=0-', 'bytes=0-0', 'bytes=-1', 'bytes=-500', 'bytes=0-1023']) {
    assert.equal(answer(header, 0), 'whole', header)
  }
})

test('many ranges are answered as long as they ascend without overlap', () => {
  const every = (count: number, step: number) =>
    `bytes=${Array.from({ length: count }, (_, i) => `${i * step}-${i * step}`).join()}`
  const size = ascendingRangesMax * 4
  const partCount = (header: string) => answer(header, size).split(',').length
  assert.equal(partCount(every(ascendingRangesMax, 2)), ascendingRangesMax)
  assert.equal(answer(every(ascendingRangesMax + 1, 2), size), 'whole')

  const overlapping = (count: number) => `bytes=${'0-0,'.repeat(count - 1)}0-0`
  assert.equal(partCount(overlapping(rangesMax)), rangesMax)
  assert.equal(answer(overlapping(rangesMax + 1), size), 'whole')
})

test('ranges that together exceed the blob get it whole', () => {
  assert.equal(answer('bytes=0-5,0-2', 9), '0-5,0-2')
  assert.equal(answer('bytes=0-5,0-3', 9), 'whole')
  assert.equal(answer('bytes=0-,0-', 9), 'whole')
})

test('a list of many empty elements is cut off', () => {
  assert.equal(answer(`bytes=${','.repeat(ascendingRangesMax)}0-1`, 9), 'whole')
})

test('a Content-Range of an upload is taken with and without its unit and total', () => {
  for (const [header, start, end] of [
    ['0-1023', 0, 1023],
    ['1024-2047', 1024, 2047],
    ['5-5', 5, 5],
    [' 0-1 ', 0, 1],
    ['bytes 0-1023/*', 0, 1023],
    ['bytes 0-1023/1024', 0, 1023],
    ['bytes 0-1023/2048', 0, 1023],
    ['Bytes 0-1023', 0, 1023],
    [`0-${Number.MAX_SAFE_INTEGER}`, 0, Number.MAX_SAFE_INTEGER],
  ] as const) {
    assert.deepEqual(parseContentRange(header), { start, end }, header)
  }
})

test('a malformed Content-Range is nothing', () => {
  for (const header of [
    '',
    '-',
    '0-',
    '-5',
    '5-4',
    '0-1-2',
    '0 - 1',
    'a-b',
    '0x0-1',
    '1e3-2e3',
    'bytes',
    'bytes ',
    'bytes */1024',
    'bytes=0-1023',
    'bytes 0-1023/',
    'bytes 0-1023/x',
    'bytes 0-1023/1023',
    'bytes 0-1023/*/*',
    '0-1023/1024',
    'items 0-1',
    `0-${Number.MAX_SAFE_INTEGER + 1}`,
    '0-99999999999999999999999',
    '99999999999999999999998-99999999999999999999999',
  ]) {
    assert.equal(parseContentRange(header), undefined, header)
  }
})
