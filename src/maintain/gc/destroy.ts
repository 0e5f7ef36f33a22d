// Ends blobs for good: their restore window is over, or a run that was killed had begun with them.
//
// Method: a record says that the blob is being destroyed, and only then its bytes go; after them the record.
// So whoever brings the blob again meanwhile finds either the old state, or that it has to wait a moment,
// and a run that is killed in between leaves a record that says what is to be finished. Where a removal may happen
// long after it was sent, what failed, or was cut short, is not begun with anew before that time is over: the blob
// could be there again.

import type { Digest } from '../../oci/digest.ts'
import { StorageError } from '../../storage/error.ts'
import type { Destroying, Dropped } from '../../storage/metadata/garbage.ts'
import type { RecordAudit } from '../../storage/metadata/record-audit.ts'
import { counted, roughDuration } from '../../telemetry/rough-units.ts'
import { adoptionObstacle, backupObstacle } from './obstacle.ts'
import type { GcRun } from './settings.ts'
import { type Amount, isCorrupt, shownTime } from './tally.ts'

interface Doomed {
  readonly digest: Digest
  readonly size: number
}

// A push of one of them waits until all of these are gone, and any other one while the disk syncs that.
const blobsPerTurn = 16
// Threads that read for requests are four.
const unlinksAtOnce = 2
// Of one turn, from its begin on.
const removalsMsMax = 3 * 60_000
// They are read with all that they name.
const manifestsPerPage = 10

/**
 * What a killed run has left. A backup is no obstacle: it cannot rely on what was being destroyed when it began.
 * Errors: as `context.pace`; StorageError 'unavailable', 'full'.
 */
export async function finishDestroying(run: GcRun): Promise<void> {
  const { context, input, tally } = run
  const { metadata } = context
  let after: Digest | undefined
  for (;;) {
    if (context.shared) metadata.refresh()
    const doomed = await metadata.listDestroying(blobsPerTurn, {
      onCorrupt: tally.onCorrupt,
      ...(after === undefined ? {} : { after }),
    })
    if (doomed.length === 0) break
    await context.pace({ items: doomed.length, bytes: bytesOf(run, doomed) })
    const lost = await begunAnew(run, await unheld(run, doomed))
    const ended = input.dryRun ? lost : await destroy(run, lost)
    tell(run, ended, tally.finished, 'a run that was cut short had begun with it')
    // Those that could not be removed are left to the next run.
    after = doomed.at(-1)?.digest
  }
  await overwriteRemoved(run)
}

// In a sound store all of them are: what is in use, or was, is never taken for what was being destroyed.
async function unheld(run: GcRun, doomed: readonly Destroying[]): Promise<readonly Destroying[]> {
  const { context, tally } = run
  const audit = context.metadata.openAudit()
  const found: Destroying[] = []
  for (const each of doomed) {
    const why = await whyNot(audit, each.digest)
    if (why === undefined) found.push(each)
    else tally.fault(`${each.digest} is left`, `${why}; keelson scrub tells more`)
  }
  return found
}

async function begunAnew(
  { context, input, tally }: GcRun,
  doomed: readonly Destroying[],
): Promise<readonly Doomed[]> {
  const { blobs, metadata } = context
  const { removalsLateMs } = blobs
  if (removalsLateMs === undefined) return doomed
  const dueBeforeMs = context.now() - removalsLateMs
  const due = doomed.filter(({ beganAtMs = 0 }) => beganAtMs <= dueBeforeMs)
  if (due.length < doomed.length) {
    const wait = roughDuration(removalsLateMs)
    tally.skip(
      `${counted(doomed.length - due.length, 'blob')} whose removal was cut short wait ${wait} for it, since it may still happen`,
    )
  }
  if (input.dryRun) return due
  const digests = due.map(({ digest }) => digest)
  return metadata.renewDestroy(digests, context.now())
}

async function whyNot(audit: RecordAudit, digest: Digest): Promise<string | undefined> {
  // Not `repositoriesHolding`, which says of whatever is not live that nobody holds it.
  const [holder] = await audit.holders(digest, 1)
  if (holder !== undefined) return `${holder} holds it`
  const record = (await audit.readBlobRecord(digest))?.record
  if (record === undefined) return undefined
  if (record === 'unreadable') return 'its record cannot be read'
  return record.state === 'destroying' ? undefined : `its record says that it is ${record.state}`
}

/** Errors: as `context.pace`; StorageError 'unavailable', 'full'. */
export async function destroyDropped(run: GcRun): Promise<void> {
  const { context, input, tally } = run
  const { metadata } = context
  let after: Dropped | undefined
  let done = 0
  for (;;) {
    if (context.shared) metadata.refresh()
    const dropped = await metadata.listDropped({
      ...{ beforeMs: context.now() - run.settings().restoreWindowMs, limit: blobsPerTurn },
      onCorrupt: tally.onCorrupt,
      ...(after === undefined ? {} : { after }),
    })
    if (dropped.length === 0) return
    await context.pace({ items: dropped.length, bytes: bytesOf(run, dropped.filter(isBlob)) })
    const obstacle = (await adoptionObstacle(metadata)) ?? (await backupObstacle(context))
    if (obstacle !== undefined) return tally.skip(obstacle)
    const ended = input.dryRun ? await foresee(run, dropped) : await begin(run, dropped)
    const reason = 'nothing names it, and its restore window is over'
    tell(run, ended, tally.destroyed, reason)
    if (ended.length > 0) await overwriteRemoved(run)
    done += dropped.length
    context.progress({ phase: 'destroy', done, bytes: tally.destroyed.bytes })
    after = dropped.at(-1)
  }
}

/** Of manifests that were deleted nothing is left then. Errors: as `context.pace`; StorageError. */
export async function forgetManifests(run: GcRun): Promise<void> {
  const { context, input, settings, tally } = run
  const { metadata } = context
  let after: Awaited<ReturnType<typeof metadata.listRemovedManifests>>[number] | undefined
  for (;;) {
    if (context.shared) metadata.refresh()
    const removed = await metadata.listRemovedManifests({
      ...{ beforeMs: context.now() - settings().restoreWindowMs, limit: manifestsPerPage },
      onCorrupt: tally.onCorrupt,
      ...(after === undefined ? {} : { after }),
    })
    if (removed.length === 0) return
    await context.pace({ items: removed.length, bytes: 0 })
    if (!input.dryRun) await metadata.forgetRemovedManifests(removed)
    for (const { digest, repository, size, atMs } of removed) {
      tally.add(tally.forgotten, size)
      if (input.dryRun) continue
      const reason = `it was deleted at ${shownTime(atMs)}, and its restore window is over`
      context.record({ deed: 'forget-manifest', repository, digest, bytes: size, reason })
    }
    after = removed.at(-1)
  }
}

async function begin(run: GcRun, dropped: readonly Dropped[]): Promise<readonly Doomed[]> {
  const { context, tally } = run
  const { onCorrupt } = tally
  const isLate = context.blobs.removalsLateMs !== undefined
  const by = { onCorrupt, ...(isLate ? { beganAtMs: context.now() } : {}) }
  return destroy(run, await context.metadata.beginDestroy(dropped, by))
}

// Answers those that are gone. It is not cut short: whoever pushes one of them would have to wait for the next run.
async function destroy(run: GcRun, doomed: readonly Doomed[]): Promise<readonly Doomed[]> {
  const { context } = run
  const { blobs, now } = context
  const beganAtMs = now()
  // Those that are sent so much later could still happen when the time for them is over.
  const requireHeld = (): void => {
    context.requireHeld()
    const isLate = blobs.removalsLateMs !== undefined && now() - beganAtMs > removalsMsMax
    if (isLate) throw new StorageError('unavailable', 'the removals before it took too long')
  }
  const waiting = [...doomed]
  const removed: Doomed[] = []
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      if (await remove(run, next, requireHeld)) removed.push(next)
    }
  }
  const done = await Promise.allSettled(Array.from({ length: unlinksAtOnce }, work))
  context.forgetBytes(removed.map(({ digest }) => digest))
  const gone = await synced(run, removed)
  await end(run, gone)
  for (const each of done) if (each.status === 'rejected') throw each.reason
  return gone
}

// Together, since each sync of a directory makes pushes wait for the disk.
async function synced(run: GcRun, removed: readonly Doomed[]): Promise<readonly Doomed[]> {
  try {
    await run.context.blobs.syncRemoved(removed.map(({ digest }) => digest))
    return removed
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
    run.tally.fault(`${counted(removed.length, 'blob')} wait for the next run`, error)
    return []
  }
}

async function end({ context, tally }: GcRun, gone: readonly Doomed[]): Promise<void> {
  const { metadata } = context
  if (gone.length === 0) return
  // Whoever has taken it over may have sent a removal of its own.
  if (context.blobs.removalsLateMs !== undefined) context.requireHeld()
  try {
    return await metadata.endDestroy(gone.map(({ digest }) => digest))
  } catch (error) {
    if (!isCorrupt(error)) throw error
  }
  // One of them cannot be read: the others must not wait for it, run after run.
  for (const { digest } of gone) {
    try {
      await metadata.endDestroy([digest])
    } catch (error) {
      if (!isCorrupt(error)) throw error
      tally.fault(`the record of ${digest}, whose bytes are gone, is left`, error)
    }
  }
}

async function remove(run: GcRun, { digest }: Doomed, requireHeld: () => void): Promise<boolean> {
  const { context, settings, tally } = run
  await requireOurs(run)
  try {
    await context.blobs.remove(digest, {
      ...{ overwrite: settings().overwrite, isSyncedLater: true },
      requireHeld,
    })
    return true
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
    tally.fault(`${digest} is left for the next run`, error)
    return false
  }
}

// A process that was stopped for so long that another one took the job over must not go on where it was: what it
// was about to remove may have been pushed again since.
async function requireOurs({ context }: GcRun): Promise<void> {
  if (!context.shared) return
  context.metadata.refresh()
  const record = await context.metadata.readJob('gc')
  if (record !== undefined && record.run !== context.run) {
    throw new StorageError('conflict', 'another process has taken garbage collection over')
  }
}

async function foresee(
  { context }: GcRun,
  dropped: readonly Dropped[],
): Promise<readonly Doomed[]> {
  const doomed: Doomed[] = []
  const audit = context.metadata.openAudit()
  for (const each of dropped) {
    if (!isBlob(each)) continue
    // Pushed again since, or condemned in error.
    const holders = await audit.holders(each.digest, 1)
    if (holders.length === 0) doomed.push(each)
  }
  return doomed
}

async function overwriteRemoved({ context, input, tally }: GcRun): Promise<void> {
  if (input.dryRun) return
  const mayGoOn = (bytes: number): Promise<void> => context.pace({ items: 0, bytes })
  for await (const erased of context.blobs.eraseRemoved(mayGoOn)) {
    switch (erased.kind) {
      case 'overwritten':
        tally.add(tally.overwritten, erased.size)
        break
      case 'unlinked':
        tally.add(tally.hardLinked, erased.size)
        break
      case 'failed':
        tally.fault(`${erased.place} could not be overwritten and is left there`, erased.error)
        break
      default:
        erased satisfies never
    }
  }
}

function tell(
  { context, input, tally }: GcRun,
  ended: readonly Doomed[],
  to: Amount,
  reason: string,
): void {
  for (const { digest, size } of ended) {
    tally.add(to, size)
    tally.example('destroyed', digest)
    if (!input.dryRun) context.record({ deed: 'destroy-blob', digest, bytes: size, reason })
  }
}

function isBlob({ repository }: Dropped): boolean {
  return repository === undefined
}

// Those that are overwritten are counted when they are.
function bytesOf({ settings }: GcRun, blobs: readonly { readonly size: number }[]): number {
  return settings().overwrite ? 0 : blobs.reduce((sum, { size }) => sum + size, 0)
}
