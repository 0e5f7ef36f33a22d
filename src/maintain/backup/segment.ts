// Entries of a dump as segments: cut where the keys say so, so that a change touches one of many.

import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
import { digestOfBytes, parseDigest } from '../../oci/digest.ts'
import type { DumpEntry } from '../../storage/metadata/dump.ts'
import { BackupError } from './error.ts'
import type { SegmentKind, SegmentName } from './snapshot.ts'

// One key in so many ends its segment: of rows of usual length that makes some 150 KiB.
const entriesPerCut = 1024

// Beyond it a segment ends anyway. One entry may be longer: a manifest, which is written in base64.
const segmentBytesMax = 2 << 20

// No segment holds more, whatever its compressed length says: the largest manifest that a configuration
// allows has 64 MiB, which is a third more in base64.
const contentBytesMax = 96 << 20

const compress = promisify(gzip)
const decompress = promisify(gunzip)

/** A segment that is complete. */
export interface CutSegment extends SegmentName {
  readonly content: Uint8Array
}

/** Cuts entries of one kind, in their order. */
export class SegmentCutter {
  readonly #kind: SegmentKind
  #lines: string[] = []
  #bytes = 0

  constructor(kind: SegmentKind) {
    this.#kind = kind
  }

  /** Answers the segment that ends with this entry. */
  add(entry: DumpEntry): CutSegment | undefined {
    const line = lineOf(entry)
    this.#lines.push(line)
    this.#bytes += line.length
    const isCut = isCutBy(keyOf(entry)) || this.#bytes >= segmentBytesMax
    return isCut ? this.end() : undefined
  }

  /** What is left, if anything. */
  end(): CutSegment | undefined {
    if (this.#lines.length === 0) return undefined
    const content = Buffer.from(this.#lines.join(''))
    const entries = this.#lines.length
    this.#lines = []
    this.#bytes = 0
    return { kind: this.#kind, digest: digestOfBytes('sha256', content), entries, content }
  }
}

/** As it lies in its file. */
export function packSegment({ content }: CutSegment): Promise<Uint8Array> {
  // The cheapest level: digests do not get shorter, and the rest does with any.
  return compress(content, { level: 1 })
}

/** Errors: BackupError where it is not what its name says. */
export async function unpackSegment(
  packed: Uint8Array,
  { kind, digest, entries }: SegmentName,
): Promise<DumpEntry[]> {
  let content: Buffer
  try {
    content = await decompress(packed, { maxOutputLength: contentBytesMax })
  } catch {
    throw new BackupError('it cannot be decompressed')
  }
  if (digestOfBytes('sha256', content) !== digest) throw new BackupError('it has another digest')
  const lines = content.toString('utf8').split('\n').slice(0, -1)
  if (lines.length !== entries) {
    throw new BackupError(`it has ${lines.length} entries instead of ${entries}`)
  }
  return lines.map((line) => entryOf(line, kind))
}

function keyOf(entry: DumpEntry): string {
  return entry.kind === 'blob' ? entry.digest : entry.key
}

// By the key alone: a value that changes moves no cut.
function isCutBy(key: string): boolean {
  // FNV-1a, and a last turn, since its low bits alone tell too little.
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return ((hash ^ (hash >>> 13)) & (entriesPerCut - 1)) === 0
}

function lineOf(entry: DumpEntry): string {
  switch (entry.kind) {
    case 'record':
      return `${JSON.stringify([entry.key, entry.value])}\n`
    case 'body':
      return `${JSON.stringify([entry.key, Buffer.from(entry.bytes).toString('base64')])}\n`
    case 'blob':
      return `${JSON.stringify([entry.digest, entry.size])}\n`
  }
}

function entryOf(line: string, kind: SegmentKind): DumpEntry {
  const [key, value] = pairOf(line)
  if (kind === 'blob') {
    const digest = parseDigest(key)
    if (digest === undefined || typeof value !== 'number') throw new BackupError('it has no blobs')
    return { kind, digest, size: value }
  }
  if (typeof value !== 'string') throw new BackupError('it has no rows')
  if (kind === 'record') return { kind, key, value }
  return { kind, key, bytes: Buffer.from(value, 'base64') }
}

function pairOf(line: string): readonly [key: string, value: unknown] {
  let pair: unknown
  try {
    pair = JSON.parse(line)
  } catch {
    // Told of below, as every other wrong form.
  }
  if (!Array.isArray(pair) || typeof pair[0] !== 'string') throw new BackupError('it has no pairs')
  return [pair[0], pair[1]]
}
