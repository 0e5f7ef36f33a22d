// How a cost grows with a number: the exponent of n that fits the measured points best.

export interface Point {
  readonly n: number
  readonly cost: number
}

export type Growth = 'flat' | 'logarithmic' | 'grows'

// A cost of a + b log n that begins with a = 0 at n = 1,000 has 0.11 over two decades; what is measured
// twice on a machine that others use differs by some hundredths.
const flatMax = 0.05
const logarithmicMax = 0.15

/**
 * The slope of log cost over log n, by least squares: 0 is flat, 1 linear.
 * NaN for fewer than two different n. Limits: n and cost above 0.
 */
export function exponentOf(points: readonly Point[]): number {
  const logs = points.map(({ n, cost }) => ({ x: Math.log(n), y: Math.log(cost) }))
  const meanX = logs.reduce((sum, { x }) => sum + x, 0) / logs.length
  const meanY = logs.reduce((sum, { y }) => sum + y, 0) / logs.length
  const along = logs.reduce((sum, { x, y }) => sum + (x - meanX) * (y - meanY), 0)
  const spread = logs.reduce((sum, { x }) => sum + (x - meanX) ** 2, 0)
  return along / spread
}

/** By the whole and by its last step alone, where a small linear part shows first. Ascending n. */
export function growthOf(points: readonly Point[]): Growth {
  const exponent = Math.max(exponentOf(points), exponentOf(points.slice(-2)))
  if (exponent <= flatMax) return 'flat'
  return exponent <= logarithmicMax ? 'logarithmic' : 'grows'
}
