// Staged bytes in a bucket: each upload is a folder of objects, pieces of it that never change.
//
//   _keelson/uploads/<upload id>/<fence>-<start>-<crc32>
//
// A body is a request, or an attempt at one, that adds bytes. It has the fence that the session's record got when it
// was claimed for it: a later one has a higher one, on whatever host. A piece covers the bytes from its start on.
// Whatever a later body has from its first byte on takes the place of what earlier ones left there, so
// that bytes after the committed offset never have to be removed before others follow. A body that was given up
// changes nothing, whenever its writes arrive: it began at an offset that was committed, so it is hidden by the
// first body that commits after it, and what it has behind the last commit is not looked at.

import type { S3Object } from './contract.ts'

/** Of one object of an upload. */
export interface Piece extends S3Object {
  /** Of its body. */
  readonly fence: number
  /** Position of its first byte in the upload. */
  readonly start: number
  /** Of its bytes, as 8 hex digits; absent for an object that is none of ours. */
  readonly crc32?: string
}

/** The part of a piece that counts. Units: bytes of the upload. */
export interface Segment {
  readonly piece: Piece
  readonly start: number
  /** Exclusive. */
  readonly end: number
}

const name = /^([0-9a-f]{12})-([0-9a-f]{12})-([0-9a-f]{8})$/

export function pieceName(fence: number, start: number, crc32: number): string {
  return `${hex(fence, 12)}-${hex(start, 12)}-${hex(crc32, 8)}`
}

/** Undefined for an object that is no piece. `folder` ends in a slash. */
export function parsePiece(folder: string, object: S3Object): Piece | undefined {
  const [, fence, start, crc32] = name.exec(object.key.slice(folder.length)) ?? []
  if (fence === undefined || start === undefined || crc32 === undefined) return undefined
  return { ...object, fence: Number.parseInt(fence, 16), start: Number.parseInt(start, 16), crc32 }
}

/**
 * What is staged from the first byte on without a gap, in order, and no more than the first `length` bytes; segments
 * are not empty.
 */
export function stagedSegments(
  pieces: readonly Piece[],
  length: number = Number.POSITIVE_INFINITY,
): readonly Segment[] {
  const found: Segment[] = []
  // Where the bodies begin that came later than the one that is looked at.
  let limit = length
  for (const body of bodiesOf(pieces)) {
    for (const piece of body) {
      const end = Math.min(limit, piece.start + piece.size)
      if (end > piece.start) found.push({ piece, start: piece.start, end })
    }
    for (const { start } of body) limit = Math.min(limit, start)
  }
  found.sort((a, b) => a.start - b.start)
  const whole: Segment[] = []
  let at = 0
  for (const segment of found) {
    if (segment.start !== at) break
    whole.push(segment)
    at = segment.end
  }
  return whole
}

/** In bytes; undefined where nothing is staged, 0 for an empty piece. */
export function stagedBytes(pieces: readonly Piece[]): number | undefined {
  if (pieces.length === 0) return undefined
  return stagedSegments(pieces).at(-1)?.end ?? 0
}

/** The last body first. */
function bodiesOf(pieces: readonly Piece[]): readonly (readonly Piece[])[] {
  const bodies = new Map<number, Piece[]>()
  for (const piece of pieces) {
    const body = bodies.get(piece.fence)
    if (body === undefined) bodies.set(piece.fence, [piece])
    else body.push(piece)
  }
  return [...bodies].sort(([a], [b]) => b - a).map(([, each]) => each)
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0')
}
