// What is told of a backup, in lines for people and in fields for programs.
import type { PruneResult, RestoreResult, Snapshot, VerifyResult } from '../runtime/backups.ts'
import { counted, roughSize } from '../telemetry/rough-units.ts'

/** What a command has found, for people and for programs. */
export interface Told {
  readonly ok: boolean
  readonly summary: readonly string[]
  readonly details: object
}

const listedMax = 100

type Listed = Snapshot | { readonly id: string; readonly problem: string }

function list(snapshots: readonly Listed[]): Told {
  const readable = snapshots.filter((each) => !('problem' in each))
  const summary = snapshots.map((each) =>
    'problem' in each ? `${each.id}  ${each.problem}` : lineOf(each),
  )
  const details = snapshots.map((each) => ('problem' in each ? each : detailsOf(each)))
  return {
    ok: readable.length === snapshots.length,
    summary: summary.length > 0 ? summary : ['no snapshot'],
    details: { snapshots: details },
  }
}

function lineOf({ id, repositories, tags, blobs, missing }: Snapshot): string {
  const lacked = missing.filter(({ isHeld }) => isHeld).length
  const lacks =
    lacked === 0 ? '' : `, INCOMPLETE: ${counted(lacked, 'blob is', 'blobs are')} lacking`
  return `${id}  ${holdings(repositories, tags)}, ${counted(blobs.count, 'blob')} (${roughSize(blobs.bytes)})${lacks}`
}

function holdings(repositories: number, tags: number): string {
  return `${counted(repositories, 'repository', 'repositories')}, ${counted(tags, 'tag')}`
}

function detailsOf(snapshot: Snapshot): object {
  const { id, takenAtMs, endedAtMs, repositories, manifests, tags, blobs, missing } = snapshot
  return {
    ...{ id, takenAt: shownTime(takenAtMs), endedAt: shownTime(endedAtMs) },
    ...{ repositories, manifests, tags, blobs, missing, unreadable: snapshot.unreadable },
  }
}

function verified(result: VerifyResult): Told {
  const { blobs, faults, incomplete, orphans, segments, snapshots } = result
  const summary = [
    ...bounded(faults, ({ path, problem }) => `${path}: ${problem}`),
    ...incomplete.map(
      ({ snapshot, missing }) =>
        `snapshot ${snapshot} lacks ${counted(missing, 'blob')} since it was made`,
    ),
    `${counted(snapshots, 'snapshot')}, ${counted(segments, 'part')} of metadata, ${counted(blobs.count, 'blob')} (${roughSize(blobs.bytes)}): ${
      faults.length === 0 ? 'all is as it was written' : counted(faults.length, 'fault')
    }`,
    ...(orphans === undefined || orphans.count === 0
      ? []
      : [
          `${counted(orphans.count, 'file')} (${roughSize(orphans.bytes)}) of no snapshot: prune removes what is such`,
        ]),
    ...(faults.length === 0
      ? []
      : [
          'take what is damaged from another copy; or remove it, and make a new backup: it copies it again',
        ]),
  ]
  return { ok: faults.length === 0, summary, details: result }
}

function pruned(result: PruneResult, isDryRun: boolean): Told {
  const { dropped, files, kept } = result
  const done = isDryRun ? 'would be removed' : 'removed'
  const summary = [
    ...dropped.map((id) => `${done}: ${id}`),
    `${counted(kept.length, 'snapshot stays', 'snapshots stay')}; ${done}: ${counted(dropped.length, 'snapshot')}, ${counted(files.count, 'other file')} (${roughSize(files.bytes)})`,
  ]
  return { ok: true, summary, details: result }
}

function restored(result: RestoreResult): Told {
  const { copied, lacking, snapshot, unreadable, usageFaults } = result
  const { id, repositories, tags, takenAtMs } = snapshot
  const summary = [
    `restored snapshot ${id} of ${shownTime(takenAtMs)}: ${holdings(repositories, tags)}`,
    `copied: ${counted(copied.count, 'blob')} (${roughSize(copied.bytes)})`,
    ...bounded(lacking, ({ digest, reason }) => `lacking: ${digest}: ${reason}`),
    ...bounded(unreadable, (message) => message),
    ...bounded(usageFaults, ({ prefix }) => `the counters of '${prefix}' are wrong: recount them`),
    'what was revoked after that is good again: revoke it once more',
  ]
  const ok = lacking.length + unreadable.length + usageFaults.length === 0
  const details = { snapshot: detailsOf(snapshot), copied, lacking, unreadable, usageFaults }
  return { ok, summary, details }
}

function bounded<T>(items: readonly T[], shown: (item: T) => string): string[] {
  const lines = items.slice(0, listedMax).map(shown)
  const more = items.length - lines.length
  return more > 0 ? [...lines, `and ${more} more: see --json`] : lines
}

function shownTime(ms: number): string {
  return new Date(ms).toISOString()
}

export const backupSummaries: {
  readonly list: typeof list
  readonly verified: typeof verified
  readonly pruned: typeof pruned
  readonly restored: typeof restored
} = { list, verified, pruned, restored }
