// Checks how long the disk of the store takes to make a write durable.
import type { Finding } from '../contract.ts'
import { sayingsOf } from '../finding.ts'

/** Units: ms, of 4 KiB written and synced. */
export interface SyncFacts {
  readonly path: string
  readonly medianMs: number
  readonly slowestMs: number
  readonly count: number
}

const slowMs = 5

export const syncRows = {
  'sync-time': {
    title: 'sync of the disk',
    why: 'a push waits for several of them, one behind the other',
    link: 'tuning.md#disks',
    warning: 'half of them take 5 ms or more',
  },
} as const

const say = sayingsOf(syncRows)

// So fast is memory, or a cache that somebody else answers for.
const unlikelyMs = 0.015

export function checkSync(facts: SyncFacts | string | undefined): readonly Finding[] {
  if (facts === undefined) return []
  if (typeof facts === 'string') return [say.unknown('sync-time', facts)]
  const { path, medianMs, slowestMs, count } = facts
  const detail = `${medianMs.toFixed(2)} ms for half of ${count}, ${slowestMs.toFixed(2)} ms at most, in ${path}`
  if (medianMs >= slowMs) {
    const remedy =
      'use a disk whose cache survives a power loss; NVMe takes a tenth of a millisecond'
    return [say.warning('sync-time', detail, { remedy })]
  }
  const doubt =
    medianMs < unlikelyMs ? ': so fast is memory, or a cache that may not survive a power loss' : ''
  return [say.ok('sync-time', `${detail}${doubt}`)]
}
