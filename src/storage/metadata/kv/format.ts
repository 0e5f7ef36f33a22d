// The format of a store, as its row has it: that of the key tree, or that a restore has not ended.

/** Grows with every change of the key tree that an older build would misread. */
export const format = '1'

const begunPrefix = 'restoring '

/** Any build refuses a store of this format, so that nobody serves half of what a backup holds. */
export function begunFormat(snapshot: string): string {
  return begunPrefix + snapshot
}

/** The snapshot whose restore has begun and not ended; undefined for every other format. */
export function begunSnapshot(found: string): string | undefined {
  return found.startsWith(begunPrefix) ? found.slice(begunPrefix.length) : undefined
}
