// Rows of garbage collection as text and back.

import { type Digest, parseDigest } from '../../../oci/digest.ts'
import { parseRepositoryName, type RepositoryName } from '../../../oci/name.ts'
import type { Dropped, EndedLease } from '../garbage.ts'
import { corrupt, countField, decodeCount, decodeObject, textField } from './encoding.ts'
import { timeDigits, timedParts } from './keys.ts'

/** Beside what its key says. */
export interface DroppedRecord {
  /** Of the blob, in bytes. */
  readonly size: number
  readonly run: string
  /** Of the blob itself: it was that before, and not live. */
  readonly wasQuarantined?: boolean
}

export function encodeDropped(record: DroppedRecord): string {
  return JSON.stringify(record)
}

export function decodeDropped(text: string, key: string): DroppedRecord {
  const { size, run, wasQuarantined } = decodeObject(text, key)
  const record = { size: countField(size, key), run: textField(run, key) }
  return wasQuarantined === true ? { ...record, wasQuarantined } : record
}

export function droppedOfRow(key: string, text: string): Dropped {
  const { size, run } = decodeDropped(text, key)
  const { timeMs: atMs, ...of } = timedKey(key)
  return { atMs, ...of, size, run }
}

export function leaseOfKey(key: string): EndedLease {
  const { timeMs: untilMs, ...of } = timedKey(key)
  return { untilMs, ...of }
}

/** Of a key with a time, a digest and perhaps a repository. */
export function timedKey(key: string): {
  readonly timeMs: number
  readonly digest: Digest
  readonly repository?: RepositoryName
} {
  const parts = timedParts(key)
  if (parts === undefined) throw corrupt(key)
  const digest = parseDigest(parts.digest)
  if (digest === undefined) throw corrupt(key)
  const timeMs = decodeTime(parts.time, key)
  if (parts.repository === '') return { timeMs, digest }
  const repository = parseRepositoryName(parts.repository)
  if (repository === undefined) throw corrupt(key)
  return { timeMs, digest, repository }
}

/** Padded, unlike the numbers of values. */
export function decodeTime(text: string, key: string): number {
  // As it is written: by the time the row is found again, and pages go on behind it.
  if (text.length !== timeDigits) throw corrupt(key)
  return decodeCount(text.replace(/^0+(?=.)/, ''), key)
}
