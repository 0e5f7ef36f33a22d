// Where a run of retention that was cut short goes on.

import type { Counts } from './tally.ts'

export interface PruneCheckpoint {
  /** The last repository that is done; undefined: none is. */
  readonly after?: string
  /** Ids of the runs that have come so far, this one included. */
  readonly runs: readonly string[]
  readonly counts: Partial<Counts>
}

// Each was killed. What older ones left behind is long finished.
const runsMax = 100

/** `value`: what an earlier run has stored; anything else begins at the start. */
export function parseCheckpoint(
  value: unknown,
  { run }: { readonly run: string },
): PruneCheckpoint {
  const isObject = typeof value === 'object' && value !== null
  const { after, runs, counts } = (isObject ? value : {}) as Readonly<Record<string, unknown>>
  const before = Array.isArray(runs) ? runs.filter((id) => typeof id === 'string') : []
  return {
    ...(typeof after === 'string' ? { after } : {}),
    runs: [...before, run].slice(-runsMax),
    counts: countsOf(counts),
  }
}

function countsOf(value: unknown): Partial<Counts> {
  if (typeof value !== 'object' || value === null) return {}
  const numbers = Object.entries(value).filter(([, count]) => typeof count === 'number')
  return Object.fromEntries(numbers)
}
