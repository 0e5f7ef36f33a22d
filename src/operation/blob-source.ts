// The bytes of a blob, or of some of its ranges, as a reply's body.

import type { ByteSource } from '../http/reply.ts'
import type { ByteRange } from '../oci/range.ts'
import type { BlobPass } from '../storage/blob/contract.ts'
import { requireUnchanged, type SharedReader } from './blob-readers.ts'

/** One run of bytes of a shared reader. */
export class BlobSource implements ByteSource {
  readonly length: number
  readonly #shared: SharedReader
  readonly #start: number
  #pass: BlobPass | undefined

  constructor(shared: SharedReader, range: ByteRange) {
    this.#shared = shared
    this.#start = range.start
    this.length = range.end - range.start + 1
  }

  readNow(position: number, target: Uint8Array): number | undefined {
    const { reader, pace } = this.#shared
    if (reader.readNow === undefined || !pace.mayBlock()) return undefined
    const before = performance.now()
    const read = reader.readNow(this.#start + position, target)
    pace.blocked(performance.now() - before)
    this.#checkEnd(position + read)
    return read
  }

  async read(position: number, target: Uint8Array): Promise<number> {
    const read = await this.#readOn(this.#start + position, target)
    this.#checkEnd(position + read)
    return read
  }

  // Where each read costs a request, one serves as long as the next bytes are asked for.
  #readOn(at: number, target: Uint8Array): Promise<number> {
    const { reader } = this.#shared
    if (reader.pass === undefined) return reader.read(at, target)
    if (this.#pass?.position !== at) {
      this.#pass?.close()
      this.#pass = reader.pass(at, this.#start + this.length)
    }
    return this.#pass.read(target)
  }

  // Once a transfer is enough: without its last bytes nobody takes it for whole.
  #checkEnd(position: number): void {
    if (position >= this.length) requireUnchanged(this.#shared.reader)
  }

  close(): void {
    this.#pass?.close()
    this.#shared.release()
  }
}

interface Segment {
  readonly start: number
  readonly end: number
  /** Bytes of the framing, or where to read in the blob. */
  readonly content: Uint8Array | { readonly from: number }
}

/**
 * Several ranges as one `multipart/byteranges` body.
 * Source: RFC 9110 §14.6; the boundary keeps to [A-Za-z0-9:], which podman's parser expects.
 */
export class MultipartSource implements ByteSource {
  readonly length: number
  readonly #segments: readonly Segment[]
  readonly #whole: BlobSource
  readonly #shared: SharedReader
  #at = 0

  constructor(shared: SharedReader, ranges: readonly ByteRange[], boundary: string) {
    const { size } = shared.reader
    this.#whole = new BlobSource(shared, { start: 0, end: size - 1 })
    this.#shared = shared
    const segments: Segment[] = []
    let length = 0
    const add = (content: Segment['content'], bytes: number): void => {
      segments.push({ start: length, end: length + bytes, content })
      length += bytes
    }
    const addText = (text: string): void => {
      const bytes = Buffer.from(text, 'latin1')
      add(bytes, bytes.length)
    }
    for (const range of ranges) {
      addText(
        `\r\n--${boundary}\r\nContent-Type: application/octet-stream\r\n` +
          `Content-Range: bytes ${range.start}-${range.end}/${size}\r\n\r\n`,
      )
      add({ from: range.start }, range.end - range.start + 1)
    }
    addText(`\r\n--${boundary}--\r\n`)
    this.#segments = segments
    this.length = length
  }

  readNow(position: number, target: Uint8Array): number | undefined {
    const segment = this.#segment(position)
    const { content } = segment
    const part = target.subarray(0, Math.min(target.length, segment.end - position))
    if (content instanceof Uint8Array) {
      const offset = position - segment.start
      part.set(content.subarray(offset, offset + part.length))
      if (position + part.length >= this.length) requireUnchanged(this.#shared.reader)
      return part.length
    }
    return this.#whole.readNow(content.from + position - segment.start, part)
  }

  read(position: number, target: Uint8Array): Promise<number> {
    const segment = this.#segment(position)
    const { content } = segment
    // Framing is always at hand, so `read` is only asked for bytes of the blob.
    const from = content instanceof Uint8Array ? 0 : content.from
    const part = target.subarray(0, Math.min(target.length, segment.end - position))
    return this.#whole.read(from + position - segment.start, part)
  }

  close(): void {
    this.#whole.close()
  }

  // Positions mostly grow, so the search starts where the last one ended.
  #segment(position: number): Segment {
    for (let tried = 0; tried < this.#segments.length; tried++) {
      const segment = this.#segments[this.#at]
      if (segment !== undefined && position >= segment.start && position < segment.end) {
        return segment
      }
      this.#at = (this.#at + 1) % this.#segments.length
    }
    throw new RangeError('position outside the body')
  }
}
