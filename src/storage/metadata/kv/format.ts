// The format of a store, as its row has it: that of the key tree, or that a restore has not ended.

/** Grows with every change of the key tree that an older build would misread. */
export const format = '1'

const begunPrefix = 'restoring '

/**
 * Any build refuses a store of this format, so that nobody serves half of what a backup holds. `run` tells one
 * attempt from the next, which takes the store over from it.
 */
export function begunFormat(snapshot: string, run: string): string {
  return `${begunPrefix}${snapshot} ${run}`
}

/** The snapshot whose restore has begun and not ended; undefined for every other format. */
export function begunSnapshot(found: string): string | undefined {
  return found.startsWith(begunPrefix) ? found.slice(begunPrefix.length).split(' ')[0] : undefined
}

/** Why a store of that format is not opened, for people. */
export function formatRefusal(found: string): string {
  const snapshot = begunSnapshot(found)
  return snapshot === undefined
    ? `metadata store has format ${found}, not ${format}`
    : `metadata store: the restore of snapshot ${snapshot} has not ended; run it again`
}
