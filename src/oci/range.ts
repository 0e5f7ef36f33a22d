// Which bytes a Range header asks for, and which bytes an upload's Content-Range announces.

/** Both ends are inclusive. Units: bytes. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

export type RangeAnswer =
  | { readonly kind: 'whole' }
  | { readonly kind: 'ranges'; readonly ranges: readonly ByteRange[] }
  | { readonly kind: 'unsatisfiable' }

/** Most ranges answered when they come in any order. */
export const rangesMax = 32

/** Most ranges answered when they ascend without overlap, as partial pulls of zstd:chunked layers do. */
export const ascendingRangesMax = 1024

const whole: RangeAnswer = { kind: 'whole' }
const unsatisfiable: RangeAnswer = { kind: 'unsatisfiable' }

/**
 * What to send for a Range header on a blob of `size` bytes.
 *
 * Ranges keep the order they were asked in and are never merged, since clients match the parts with
 * what they asked. Abuse gets the whole blob instead: too many ranges, or more bytes in total than the
 * blob has. So does another unit or a header that breaks the grammar. An end before its start is
 * refused, which the RFC allows and conformance demands. An empty blob is sent whole for any range from
 * its start, since no Content-Range can state an empty range.
 * Units: bytes. Limits: `rangesMax`, `ascendingRangesMax`.
 * Source: RFC 9110 §14.1.1, §14.2, §17.15.
 */
export function parseRange(header: string, size: number): RangeAnswer {
  const text = header.trim()
  if (text.length <= 6 || text.slice(0, 6).toLowerCase() !== 'bytes=') return whole
  const items = text.slice(6).split(',', ascendingRangesMax + 1)
  if (items.length > ascendingRangesMax) return whole
  const ranges: ByteRange[] = []
  let specs = 0
  let isReversed = false
  for (const item of items) {
    const spec = item.trim()
    // RFC 9110 §5.6.1.2: empty list elements are ignored.
    if (spec === '') continue
    const range = parseRangeSpec(spec, size)
    if (range === undefined) return whole
    specs++
    if (range === 'reversed') isReversed = true
    else if (range !== 'outside') ranges.push(range)
  }
  if (specs === 0) return whole
  if (isReversed) return unsatisfiable
  return decide(ranges, size)
}

/**
 * The bytes that a chunk of an upload says it holds; undefined where the header is malformed.
 * Takes the form of the distribution spec, `0-1023`, and that of RFC 9110, `bytes 0-1023/2048` with a
 * total or `*`, which some clients send; the total is checked but not returned.
 * Units: bytes. Source: distribution-spec "Pushing a blob in chunks"; RFC 9110 §14.4.
 */
export function parseContentRange(header: string): ByteRange | undefined {
  let text = header.trim()
  let total = Number.POSITIVE_INFINITY
  if (text.slice(0, 6).toLowerCase() === 'bytes ') {
    const slash = text.indexOf('/')
    if (slash >= 0) {
      const totalText = text.slice(slash + 1)
      if (totalText !== '*') total = parseCount(totalText)
      text = text.slice(0, slash)
    }
    text = text.slice(6)
  }
  const dash = text.indexOf('-')
  if (dash < 0) return undefined
  const start = parseCount(text.slice(0, dash))
  const end = parseCount(text.slice(dash + 1))
  // Not a number fails every comparison, so a malformed part fails here too.
  return start <= end && end < total && end <= Number.MAX_SAFE_INTEGER ? { start, end } : undefined
}

function decide(ranges: readonly ByteRange[], size: number): RangeAnswer {
  if (ranges.length === 0) return unsatisfiable
  if (size === 0) return whole
  let total = 0
  let previousEnd = -1
  let isAscending = true
  for (const range of ranges) {
    total += range.end - range.start + 1
    if (range.start <= previousEnd) isAscending = false
    previousEnd = range.end
  }
  if (total > size) return whole
  if (ranges.length > rangesMax && !isAscending) return whole
  return { kind: 'ranges', ranges }
}

// Undefined where it is malformed. A number too great to be exact is beyond any size all the same.
function parseRangeSpec(
  spec: string,
  size: number,
): ByteRange | 'outside' | 'reversed' | undefined {
  const dash = spec.indexOf('-')
  if (dash < 0) return undefined
  if (dash === 0) {
    const length = parseCount(spec.slice(1))
    if (Number.isNaN(length)) return undefined
    return length === 0 ? 'outside' : { start: Math.max(0, size - length), end: size - 1 }
  }
  const start = parseCount(spec.slice(0, dash))
  const isOpen = dash === spec.length - 1
  const end = isOpen ? Number.POSITIVE_INFINITY : parseCount(spec.slice(dash + 1))
  if (Number.isNaN(start) || Number.isNaN(end)) return undefined
  if (end < start) return 'reversed'
  if (start >= size && start > 0) return 'outside'
  return { start, end: Math.min(end, size - 1) }
}

/** Digits only, as the grammar has it; NaN otherwise. */
function parseCount(text: string): number {
  if (text === '') return Number.NaN
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c < 0x30 || c > 0x39) return Number.NaN
  }
  return Number(text)
}
