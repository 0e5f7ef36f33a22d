// Puts what is staged at its final key, by the bucket itself wherever it can: an object is copied whole, several become
// the parts of one. Only pieces that are too small to be parts come here and go back, together.

import type { S3Bucket } from '../../../s3/client.ts'
import type { DonePart, S3Object } from '../../../s3/contract.ts'
import { wrongBytes } from '../../../s3/fault.ts'
import { Multipart } from '../../../s3/multipart.ts'
import { copyObject, putObject } from '../../../s3/objects.ts'
import type { Segment } from '../../../s3/pieces.ts'
import { StagedReader } from '../../../s3/staged-reader.ts'
import { inLanes, Turns } from './turns.ts'

/** Source: "Amazon S3 multipart upload limits". */
const partBytesMin = 5 * 1024 * 1024
const partsMax = 10_000
// Server-side copies of one blob at a time.
const copiesAtOnce = 8

/** So many join pieces at a time, in this process. */
const joining: Turns = new Turns(4)

/** Parts of the final object. */
type Part =
  | { readonly kind: 'copy'; readonly segment: Segment }
  /** They are read, and sent as one: too small to be parts of their own, or not of the size that is wanted. */
  | { readonly kind: 'join'; readonly segments: readonly Segment[]; readonly start: number }

export interface PublishTerms {
  readonly isNew: boolean
  readonly partBytes: number
  /** All parts but the last have just `partBytes`: some servers take no others. */
  readonly equalParts: boolean
}

/**
 * Durable when it resolves. With `isNew` nothing is replaced. `segments` are all of the blob, in order.
 * Limits: 10,000 parts; of this process four parts of up to twice `partBytes` are in memory at a time.
 * Errors: S3Fault, 'exists' with `isNew` where there is an object.
 */
export async function putTogether(
  bucket: S3Bucket,
  segments: readonly Segment[],
  key: string,
  how: PublishTerms,
): Promise<void> {
  const { isNew, partBytes, equalParts } = how
  const [first, ...others] = segments
  if (first === undefined) return putObject(bucket, key, new Uint8Array(0), { isNew })
  if (others.length === 0 && first.end === first.piece.size) {
    return copyObject(bucket, first.piece, key, { isNew })
  }
  const parts = equalParts ? equalPartsOf(segments, partBytes) : partsOf(segments, partBytes)
  if (parts.length > partsMax) {
    throw wrongBytes(key, `${parts.length} parts, and a bucket takes ${partsMax} of them`)
  }
  const multipart = await Multipart.begin(bucket, key)
  try {
    const done = await inLanes(copiesAtOnce, parts, (part, index) =>
      putPart(bucket, multipart, part, index + 1),
    )
    await multipart.complete(done, { isNew })
  } catch (error) {
    // What an answer that was lost has completed is no upload any more.
    await multipart.abort().catch(() => undefined)
    throw error
  }
}

function partsOf(segments: readonly Segment[], partBytes: number): readonly Part[] {
  const parts: Part[] = []
  let small: Segment[] = []
  let smallBytes = 0
  const join = (): void => {
    const [first] = small
    if (first) parts.push({ kind: 'join', segments: small, start: first.start })
    small = []
    smallBytes = 0
  }
  for (const [index, segment] of segments.entries()) {
    const bytes = segment.end - segment.start
    const isLast = index === segments.length - 1
    // One that follows small ones makes them large enough, unless they are that already.
    if (smallBytes >= Math.max(partBytes, partBytesMin)) join()
    // Of a small object only the whole is copied.
    const isCopyable = bytes === segment.piece.size || segment.piece.size > partBytesMin
    const isLarge = bytes >= partBytesMin || isLast
    const mayCopy = isCopyable && isLarge && (smallBytes === 0 || smallBytes >= partBytesMin)
    if (mayCopy) {
      join()
      parts.push({ kind: 'copy', segment })
      continue
    }
    small.push(segment)
    smallBytes += bytes
  }
  join()
  return parts
}

function equalPartsOf(segments: readonly Segment[], partBytes: number): readonly Part[] {
  const size = segments.at(-1)?.end ?? 0
  const count = Math.ceil(size / partBytes)
  let next = 0
  return Array.from({ length: count }, (_, index): Part => {
    const start = index * partBytes
    const end = Math.min(size, start + partBytes)
    while ((segments[next]?.end ?? size) <= start) next += 1
    const [segment] = segments.slice(next)
    // Those of a push in one go are mostly just a part.
    if (segment?.start === start && segment.end === end && segment.piece.size === end - start) {
      return { kind: 'copy', segment }
    }
    const those = segments
      .slice(next, segments.findLastIndex((each) => each.start < end) + 1)
      .map((each) => ({ ...each, end: Math.min(end, each.end) }))
    return { kind: 'join', segments: those, start }
  })
}

async function putPart(
  bucket: S3Bucket,
  multipart: Multipart,
  part: Part,
  number: number,
): Promise<DonePart> {
  if (part.kind === 'copy') {
    const { piece, start, end } = part.segment
    return multipart.copyPart(number, piece, 0, end - start)
  }
  return joining.run(async () => multipart.putPart(number, await readAll(bucket, part)))
}

async function readAll(
  bucket: S3Bucket,
  { segments, start: from }: Extract<Part, { kind: 'join' }>,
): Promise<Uint8Array> {
  const bytes = new Uint8Array((segments.at(-1)?.end ?? 0) - from)
  const reader = new StagedReader(bucket, segments)
  try {
    const count = await reader.read(from, bytes)
    if (count < bytes.length) throw wrongBytes('join pieces', `${count} of ${bytes.length} bytes`)
  } finally {
    reader.close()
  }
  return bytes
}

// One server-side copy takes no more; larger ones are put together of ranges.
const copyBytesMax = 1024 * 1024 * 1024

/** Copy an object of any size within the bucket, in place of what is there. Errors: S3Fault. */
export async function copyWhole(bucket: S3Bucket, from: S3Object, key: string): Promise<void> {
  if (from.size <= copyBytesMax) return copyObject(bucket, from, key, { isNew: false })
  const multipart = await Multipart.begin(bucket, key)
  try {
    const count = Math.ceil(from.size / copyBytesMax)
    const starts = Array.from({ length: count }, (_, i) => i * copyBytesMax)
    const done = await inLanes(copiesAtOnce, starts, (start, index) =>
      multipart.copyPart(index + 1, from, start, Math.min(start + copyBytesMax, from.size)),
    )
    await multipart.complete(done, { isNew: false })
  } catch (error) {
    await multipart.abort().catch(() => undefined)
    throw error
  }
}
