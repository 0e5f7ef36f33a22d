// Reads what is staged, whatever objects it is made of.

import { crc32 } from 'node:zlib'
import type { S3Bucket } from './client.ts'
import { wrongBytes } from './fault.ts'
import { ObjectStream } from './object-stream.ts'
import { listObjects } from './objects.ts'
import { type Piece, parsePiece, type Segment } from './pieces.ts'

/**
 * All pieces in a folder, which ends in a slash, but for those with a higher fence: whoever has them has taken the upload
 * over. Errors: S3Fault.
 */
export async function listPieces(
  bucket: S3Bucket,
  folder: string,
  fence: number = Number.POSITIVE_INFINITY,
): Promise<readonly Piece[]> {
  const pieces: Piece[] = []
  for await (const object of listObjects(bucket, folder)) {
    const piece = parsePiece(folder, object)
    if (piece !== undefined && piece.fence <= fence) pieces.push(piece)
  }
  return pieces
}

interface OpenSegment {
  readonly segment: Segment
  readonly stream: ObjectStream
  /** CRC-32 of what was read of it; NaN where that did not begin at its first byte. */
  checked: number
}

/** Reads that go forward cost one request for each object; one that goes elsewhere costs another. One at a time. */
export class StagedReader {
  readonly #bucket: S3Bucket
  readonly #segments: readonly Segment[]
  #open: OpenSegment | undefined

  /** `segments` in order and without a gap. */
  constructor(bucket: S3Bucket, segments: readonly Segment[]) {
    this.#bucket = bucket
    this.#segments = segments
  }

  /** Fill `target`; less only at the end. Units: bytes of the upload. Errors: S3Fault. */
  async read(position: number, target: Uint8Array): Promise<number> {
    let done = 0
    while (done < target.length) {
      const at = position + done
      const segment = this.#segmentAt(at)
      if (segment === undefined) break
      const open = this.#at(segment, at)
      const wanted = target.subarray(done, done + Math.min(target.length - done, segment.end - at))
      const count = await open.stream.read(wanted)
      this.#check(open, wanted.subarray(0, count))
      done += count
    }
    return done
  }

  /** Idempotent. */
  close(): void {
    this.#open?.stream.close()
    this.#open = undefined
  }

  #segmentAt(position: number): Segment | undefined {
    const open = this.#open?.segment
    if (open !== undefined && position >= open.start && position < open.end) return open
    return this.#segments.find(({ start, end }) => position >= start && position < end)
  }

  #at(segment: Segment, position: number): OpenSegment {
    const from = position - segment.start
    if (this.#open?.segment === segment && this.#open.stream.position === from) return this.#open
    this.close()
    const stream = new ObjectStream(this.#bucket, segment.piece, from, segment.end - segment.start)
    this.#open = { segment, stream, checked: from === 0 ? 0 : Number.NaN }
    return this.#open
  }

  // A piece that is read from its first byte to its last must be what was sent.
  #check(open: OpenSegment, bytes: Uint8Array): void {
    const { segment, stream } = open
    const { crc32: expected } = segment.piece
    if (expected === undefined) return
    open.checked = Number.isNaN(open.checked) ? open.checked : crc32(bytes, open.checked)
    if (Number.isNaN(open.checked) || stream.position !== segment.piece.size) return
    if (open.checked === Number.parseInt(expected, 16)) return
    throw wrongBytes(segment.piece.key, 'the bytes are not those that were staged')
  }
}
