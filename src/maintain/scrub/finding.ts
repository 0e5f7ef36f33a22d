// What a scrub can find, and what became of it.

import type { RecordFaultKind } from '../../storage/metadata/record-audit.ts'

/**
 * Of blobs and their files. `record-size`: the bytes are right, and the record says another size.
 * `bytes-returned`: a blob that was out of the way has its bytes again.
 */
export type BlobFindingKind =
  | 'bytes-returned'
  | 'corrupt'
  | 'misplaced-blob'
  | 'missing'
  | 'not-a-file'
  | 'orphan-file'
  | 'quarantined-before'
  | 'record-size'
  | 'unknown-file'
  | 'unreadable-file'
  | 'wrong-mode'

export type FindingKind = RecordFaultKind | BlobFindingKind | 'usage-wrong'

/**
 * `found`: a dry run, which would have done something. `left`: nothing can be done here. `quarantined`: it
 * reads as absent, and a push heals it. `healed`: with bytes of a peer.
 */
export type Outcome = 'found' | 'healed' | 'left' | 'quarantined' | 'repaired'

export interface Finding {
  readonly kind: FindingKind
  /** The record, the blob or the file. */
  readonly what: string
  readonly outcome: Outcome
  readonly reason?: string
}

// To be seen by a person, but nothing that was pushed suffers from it.
const harmless: ReadonlySet<FindingKind> = new Set<FindingKind>([
  'body-extra',
  'misplaced-blob',
  'orphan-file',
  'record-unknown',
  'unknown-file',
  'wrong-mode',
])

/** Whether somebody has to do something about it. */
export function isDamage({ kind, outcome }: Pick<Finding, 'kind' | 'outcome'>): boolean {
  if (outcome === 'repaired' || outcome === 'healed') return false
  return outcome === 'found' || !harmless.has(kind)
}
