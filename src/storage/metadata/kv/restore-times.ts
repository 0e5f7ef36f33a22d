// Rows that wait for a time, as they are after a restore: what waited in the backup waits on.

import type { RestoreTimes } from '../dump.ts'
import type { KeyValueEntry } from './contract.ts'
import { decodeBlob, decodeCount, decodeLease, encodeBlob, encodeLease } from './encoding.ts'
import { movedInTime, type TimedRow } from './keys.ts'

/** Errors: StorageError 'corrupt' where its value cannot be read. */
export function restoredRow({ key, value }: KeyValueEntry, times: RestoreTimes): KeyValueEntry {
  const parts = key.split('!')
  const [room, , kind] = parts
  if (room === 'b' && parts.length === 2) return { key, value: restoredBlob(value, key, times) }
  if (room === 'r' && kind === 'b' && parts.length === 4) {
    const untilMs = decodeLease(value, key)
    return { key, value: encodeLease(untilMs === undefined ? undefined : leased(untilMs, times)) }
  }
  // Since when a sweep has found a manifest unused.
  if (room === 'r' && kind === 'u') {
    return { key, value: String(shifted(decodeCount(value, key), times)) }
  }
  return { key: restoredKey(key, times), value }
}

/** Of a row, or of a body that lies under the same key. */
export function restoredKey(key: string, times: RestoreTimes): string {
  const move = (timeMs: number, row: TimedRow): number => {
    return row === 'lease' ? leased(timeMs, times) : shifted(timeMs, times)
  }
  return movedInTime(key, move)
}

function restoredBlob(value: string, key: string, times: RestoreTimes): string {
  const { leaseUntilMs, condemnedAtMs, ...blob } = decodeBlob(value, key)
  return encodeBlob({
    ...blob,
    ...(leaseUntilMs === undefined ? {} : { leaseUntilMs: leased(leaseUntilMs, times) }),
    ...(condemnedAtMs === undefined ? {} : { condemnedAtMs: shifted(condemnedAtMs, times) }),
  })
}

/** A push relies on it, so it has its time again. */
function leased(untilMs: number, { leaseUntilMs }: RestoreTimes): number {
  return Math.max(untilMs, leaseUntilMs)
}

/** Nobody used the store from the backup to the restore. */
function shifted(atMs: number, { takenAtMs, nowMs }: RestoreTimes): number {
  return atMs + Math.max(0, nowMs - takenAtMs)
}
