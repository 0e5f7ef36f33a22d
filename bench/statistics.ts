// Medians, percentiles and spreads of small samples.

import type { Percentiles } from './contract.ts'

/** The value at quantile `q` (0–1) of an ascending, non-empty list, by nearest rank. */
export function quantile(ascending: ArrayLike<number>, q: number): number {
  const rank = Math.min(ascending.length - 1, Math.max(0, Math.ceil(q * ascending.length) - 1))
  return ascending[rank] ?? Number.NaN
}

/** Median; the mean of the middle two where the count is even. NaN for an empty list. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN
  const ascending = [...values].sort((a, b) => a - b)
  const middle = ascending.length >> 1
  const upper = ascending[middle] ?? Number.NaN
  if (ascending.length % 2 === 1) return upper
  return ((ascending[middle - 1] ?? Number.NaN) + upper) / 2
}

export function percentiles(values: readonly number[]): Percentiles | undefined {
  if (values.length === 0) return undefined
  const ascending = Float64Array.from(values).sort()
  return {
    p50: quantile(ascending, 0.5),
    p90: quantile(ascending, 0.9),
    p99: quantile(ascending, 0.99),
    p999: quantile(ascending, 0.999),
  }
}
