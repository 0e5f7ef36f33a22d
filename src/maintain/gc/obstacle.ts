// What forbids that anything is destroyed.

import type { Liveness } from '../../storage/liveness.ts'
import type { JobRecord, JobStore } from '../../storage/metadata/job-store.ts'
import type { JobContext } from '../job/contract.ts'
import { shownTime } from './tally.ts'

// Whoever cannot be seen is given up after so long a silence; a living one writes every few seconds.
const silenceMsMax = 10 * 60_000

/** For people; undefined where there is none. Nothing may even be condemned. */
export async function adoptionObstacle(metadata: JobStore): Promise<string | undefined> {
  const adoption = await metadata.readAdoption()
  if (adoption === undefined) return undefined
  const since = shownTime(adoption.sinceMs)
  return `nothing is condemned or destroyed: the blobs are those of ${adoption.of}, adopted at ${since}; keelson import --take-over ends that`
}

/**
 * For people; undefined where there is none. Asked after what is to be destroyed was looked for: a backup that
 * begins later has none of it among what it relies on.
 */
export async function backupObstacle({
  liveness,
  metadata,
  now,
}: Pick<JobContext, 'liveness' | 'metadata' | 'now'>): Promise<string | undefined> {
  const backup = await metadata.readJob('backup')
  if (backup === undefined || !isRunning(backup, now(), liveness)) return undefined
  const since = shownTime(backup.startedAtMs)
  return `nothing more is destroyed: a backup is running since ${since}; the next run goes on`
}

function isRunning(
  { owner, endedAtMs, updatedAtMs }: JobRecord,
  nowMs: number,
  liveness: Liveness,
): boolean {
  if (owner === undefined || endedAtMs !== undefined) return false
  if (!liveness.isAlive(owner)) return false
  // Our own may have ended without being able to say so.
  const isSeen = liveness.canTell(owner) && owner !== liveness.owner()
  return isSeen || nowMs - updatedAtMs <= silenceMsMax
}
