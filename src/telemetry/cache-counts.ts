// What a cache counts: plain numbers, since a hit is on the hot path. Metrics read them.

/** Counted up in place by every cache of a kind that this process has had. */
export interface CacheCounts {
  hits: number
  misses: number
  /** Entries that made room for others. */
  evictions: number
}

export function newCacheCounts(): CacheCounts {
  return { hits: 0, misses: 0, evictions: 0 }
}
