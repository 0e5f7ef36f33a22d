// What backups and their checks came to, for people and for programs.

import { counted, roughSize } from '../../telemetry/rough-units.ts'
import type { JobReport } from '../job/contract.ts'
import type { CopiedBlobs } from './copy-blobs.ts'
import { lackedBy, type Snapshot } from './snapshot.ts'
import type { WrittenRows } from './write-rows.ts'

// More than these are in the details alone, and more than those in the snapshot.
const listedMax = 20
const detailedMax = 100

/** `snapshot` is absent in a dry run. */
export function createdReport(
  snapshot: Snapshot | undefined,
  { counts, segments, added, unreadable }: WrittenRows,
  { count, bytes, copied, missing }: CopiedBlobs,
): JobReport {
  const { repositories, tags, manifests } = counts
  const lacked = lackedBy({ missing })
  const copies = `${counted(copied.count, 'blob')} (${roughSize(copied.bytes)})`
  const parts = `${added.segments} of ${segments.length} parts`
  const summary = [
    snapshot === undefined
      ? 'nothing was written: this is what a backup would do now'
      : `snapshot ${snapshot.id}`,
    [
      counted(repositories, 'repository', 'repositories'),
      counted(tags, 'tag'),
      counted(manifests, 'manifest'),
      `${counted(count, 'blob')} (${roughSize(bytes)})`,
    ].join(', '),
    snapshot === undefined
      ? `to be copied: ${copies}; to be written: ${parts} of the metadata`
      : `copied: ${copies}; written: ${parts} of the metadata`,
    ...listed(lacked, ({ digest, reason }) => `not in the backup: ${digest}: ${reason}`),
    ...listed(unreadable, (message) => `in the backup as it is: ${message}`),
  ]
  const details = {
    snapshot: snapshot?.id ?? null,
    ...{ repositories, tags, manifests, blobs: { count, bytes }, copied },
    missing: { count: lacked.length, blobs: lacked.slice(0, detailedMax) },
    unreadable: { count: unreadable.length, records: unreadable.slice(0, detailedMax) },
    segments: { count: segments.length, written: added.segments, writtenBytes: added.bytes },
  }
  return { ok: lacked.length === 0 && unreadable.length === 0, summary, details }
}

export function listed<T>(items: readonly T[], shown: (item: T) => string): string[] {
  const more = items.length - listedMax
  const lines = items.slice(0, listedMax).map(shown)
  return more > 0 ? [...lines, `and ${more} more`] : lines
}
