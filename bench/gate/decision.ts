// When the ratios of a figure are clear of a bar: an interval of their centre by Wilcoxon's signed
// ranks. It asks nothing of the noise but that it hits both sides of a pair alike, and then the
// logarithms of their ratios scatter evenly around the truth, however wildly.

import { median } from '../statistics.ts'

/** Where a ratio lies, as far as the rounds tell. An end that they leave open is undefined. */
export interface Interval {
  readonly median: number
  readonly low: number | undefined
  readonly high: number | undefined
}

/** On which side of its bar a figure is, or `open` while the bar is inside its interval. */
export type Side = 'above' | 'below' | 'open'

/** What counts for a figure: the work per second, per CPU-second of the server, or that both say so. */
export type Witness = 'wall' | 'cpu' | 'both'

/** `falls` and `holds` are said with confidence. */
export type Standing = 'holds' | 'falls' | 'open'

/** The share of intervals whose low end misses the truth: six rounds can be clear. */
export const LOW_ERROR_MAX: number = 1 / 64
/** The same at the high end; more, since a fall is heard twice. */
export const HIGH_ERROR_MAX: number = 1 / 20

const criticalRanks = new Map<string, number>()

/**
 * The highest sum of ranks that chance stays at or below in no more than `errorMax` of all cases, by
 * counting which of `count` ranks may be in the sum; -1 where even 0 is too likely.
 */
function criticalRank(count: number, errorMax: number): number {
  const key = `${count} ${errorMax}`
  const known = criticalRanks.get(key)
  if (known !== undefined) return known
  const sums = (count * (count + 1)) / 2
  const ways = new Float64Array(sums + 1)
  ways[0] = 1
  for (let rank = 1; rank <= count; rank++) {
    for (let sum = sums; sum >= rank; sum--) {
      ways[sum] = (ways[sum] ?? 0) + (ways[sum - rank] ?? 0)
    }
  }
  let critical = -1
  let seen = ways[0]
  while (seen <= errorMax * 2 ** count) {
    critical++
    seen += ways[critical + 1] ?? Number.POSITIVE_INFINITY
  }
  criticalRanks.set(key, critical)
  return critical
}

/** The logarithm of the mean of each pair of ratios, each with itself too; ascending. */
function pairMeans(ratios: readonly number[]): Float64Array {
  const logs = ratios.map(Math.log)
  const means = new Float64Array((logs.length * (logs.length + 1)) / 2)
  let place = 0
  for (const [index, one] of logs.entries()) {
    for (const other of logs.slice(index)) means[place++] = (one + other) / 2
  }
  return means.sort()
}

/** The median of `ratios`, and the interval that misses their centre no more often than it may. */
export function intervalOf(ratios: readonly number[]): Interval {
  const means = pairMeans(ratios)
  const low = means[criticalRank(ratios.length, LOW_ERROR_MAX)]
  const high = means[means.length - 1 - criticalRank(ratios.length, HIGH_ERROR_MAX)]
  return {
    median: median(ratios),
    low: low === undefined ? undefined : Math.exp(low),
    high: high === undefined ? undefined : Math.exp(high),
  }
}

export function sideOf({ low, high }: Interval, bar: number): Side {
  if (low !== undefined && low > bar) return 'above'
  return high !== undefined && high < bar ? 'below' : 'open'
}

/** What one witness says. */
export interface Reading {
  readonly interval: Interval
  readonly bar: number
  readonly side: Side
}

export function readingOf(ratios: readonly number[], bar: number): Reading {
  const interval = intervalOf(ratios)
  return { interval, bar, side: sideOf(interval, bar) }
}

/**
 * Of two witnesses one that is above is enough, and a fall needs both. One that is too noisy to be
 * sure after the last round cannot veto the other, but its median must agree.
 */
export function standingOf(
  witness: Witness,
  wall: Reading,
  cpu: Reading,
  isLast: boolean,
): Standing {
  const heard = witness === 'both' ? [wall, cpu] : [witness === 'wall' ? wall : cpu]
  if (heard.some(({ side }) => side === 'above')) return 'holds'
  const sure = heard.filter(({ side }) => side === 'below').length
  if (sure === heard.length) return 'falls'
  const agreed = heard.every(({ interval, bar }) => interval.median < bar)
  return isLast && sure > 0 && agreed ? 'falls' : 'open'
}
