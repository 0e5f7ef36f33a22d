// Goal: segments give back what went in, and a change of one entry changes one of them, or few.
// Method: entries of made-up keys; properties over random ones.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  type CutSegment,
  packSegment,
  SegmentCutter,
  unpackSegment,
} from '../../../src/maintain/backup/segment.ts'
import type { SegmentKind } from '../../../src/maintain/backup/snapshot.ts'
import { digestOfBytes } from '../../../src/oci/digest.ts'
import type { DumpEntry } from '../../../src/storage/metadata/dump.ts'

function cut(kind: SegmentKind, entries: readonly DumpEntry[]): CutSegment[] {
  const cutter = new SegmentCutter(kind)
  const segments = entries.map((entry) => cutter.add(entry))
  return [...segments, cutter.end()].filter((segment) => segment !== undefined)
}

function record(i: number, value = '1'): DumpEntry {
  const digest = digestOfBytes('sha256', Buffer.from(String(i)))
  return { kind: 'record', key: `r!team/app!b!${digest}`, value }
}

test('what goes in comes out, whatever it is', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.string(), fc.string({ unit: 'binary' }))),
      async (pairs) => {
        const entries = pairs.map(([key, value]) => ({ kind: 'record' as const, key, value }))
        const found = []
        for (const segment of cut('record', entries)) {
          found.push(...(await unpackSegment(await packSegment(segment), segment)))
        }
        assert.deepEqual(found, entries)
      },
    ),
    { numRuns: 50 },
  ))

test('bodies and blobs come out as they went in', async () => {
  const digest = digestOfBytes('sha512', Buffer.from('x'))
  const body: DumpEntry = { kind: 'body', key: 'r!a!m!b', bytes: Buffer.from([0, 255, 10, 13]) }
  const blob: DumpEntry = { kind: 'blob', digest, size: 12 }
  for (const entry of [body, blob]) {
    const [segment] = cut(entry.kind, [entry])
    assert.ok(segment)
    assert.deepEqual(await unpackSegment(await packSegment(segment), segment), [entry])
  }
})

test('a new, a changed and a removed entry each change at most two segments of many', () => {
  const entries = Array.from({ length: 20_000 }, (_, i) => record(i))
  const before = new Set(cut('record', entries).map(({ digest }) => digest))
  assert.ok(before.size > 10 && before.size < 40, `${before.size} segments`)
  const changes: readonly (readonly DumpEntry[])[] = [
    entries.with(9_000, record(9_000, 'changed')),
    entries.toSpliced(9_000, 1),
    entries.toSpliced(9_000, 0, record(1_000_000)),
  ]
  for (const changed of changes) {
    const fresh = cut('record', changed).filter(({ digest }) => !before.has(digest))
    assert.ok(fresh.length <= 2, `${fresh.length} new segments`)
  }
})

test('a segment is bounded, whatever the keys are', () => {
  const key = 'k'
  const value = 'v'.repeat(1000)
  const entries = Array.from({ length: 10_000 }, () => ({ kind: 'record' as const, key, value }))
  for (const { content } of cut('record', entries)) assert.ok(content.length <= (2 << 20) + 2000)
})

test('a segment that is not what its name says is refused', async () => {
  const [segment] = cut('record', [record(1), record(2)])
  assert.ok(segment)
  const packed = await packSegment(segment)
  const reject = (bytes: Uint8Array, name: Partial<CutSegment>, why: RegExp): Promise<void> =>
    assert.rejects(unpackSegment(bytes, { ...segment, ...name }), why)
  await reject(packed.subarray(0, 30), {}, /cannot be decompressed/)
  await reject(packed, { digest: digestOfBytes('sha256', Buffer.from('x')) }, /another digest/)
  await reject(packed, { entries: 3 }, /2 entries instead of 3/)
  await reject(packed, { kind: 'blob' }, /has no blobs/)
})

test('the largest manifest that a configuration allows comes out again', async () => {
  const small: DumpEntry = { kind: 'body', key: 'r!a!m!a', bytes: Buffer.alloc((1 << 20) + 1) }
  const large: DumpEntry = { kind: 'body', key: 'r!a!m!b', bytes: Buffer.alloc(64 << 20, 'm') }
  const found = []
  for (const segment of cut('body', [small, large])) {
    found.push(...(await unpackSegment(await packSegment(segment), segment)))
  }
  const [, second] = found
  assert.ok(second?.kind === 'body' && large.bytes.length === second.bytes.length)
  assert.ok(Buffer.from(large.bytes).equals(second.bytes))
})

test('a segment that would fill the memory is refused', async () => {
  const { gzipSync } = await import('node:zlib')
  const bomb = gzipSync(Buffer.alloc(100 << 20))
  const digest = digestOfBytes('sha256', Buffer.alloc(100 << 20))
  await assert.rejects(unpackSegment(bomb, { kind: 'record', digest, entries: 0 }), /decompressed/)
})
