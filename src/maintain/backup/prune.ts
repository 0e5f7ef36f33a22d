// Old snapshots go, and then what no other one names. Never while anything of those that stay cannot be read.

import { lstat, open } from 'node:fs/promises'
import type { Digest } from '../../oci/digest.ts'
import { NamedBlobs, readSegment, sharedSegments } from './contents.ts'
import { NewNames, removeFile } from './durable-files.ts'
import { BackupError, explainedFault, unlessAbsent } from './error.ts'
import { clearTemporary, prepareDirectory, requireIdentity } from './identity.ts'
import { fileMode, type Layout } from './layout.ts'
import { type DirectoryLock, lockDirectory } from './lock.ts'
import { type PresentFile, presentBlobs, presentSegments } from './present.ts'
import { lackedBy, listSnapshotIds, readSnapshot, type Snapshot } from './snapshot.ts'

export interface PruneOptions {
  /** How many complete snapshots stay, at least 1. */
  readonly keep: number
  readonly isDryRun: boolean
  readonly signal: AbortSignal
  readonly randomUuid: () => string
}

export interface PruneResult {
  readonly kept: readonly string[]
  readonly dropped: readonly string[]
  /** Blobs and segments that are gone. */
  readonly files: { readonly count: number; readonly bytes: number }
}

/**
 * The latest `keep` complete snapshots stay, and whatever is later than the oldest of them. What a kill cuts
 * short the next one ends.
 * Errors: BackupError where there is no backup, somebody writes to it, or a snapshot cannot be read.
 */
export async function pruneBackup(layout: Layout, options: PruneOptions): Promise<PruneResult> {
  const { isDryRun, randomUuid } = options
  await requireIdentity(layout)
  let lock: DirectoryLock | undefined
  try {
    if (!isDryRun) {
      await prepareDirectory(layout)
      lock = await lockDirectory(layout, { randomUuid })
      await clearTemporary(layout)
    }
    return await prune(layout, options)
  } catch (error) {
    throw explainedFault(error, layout.root)
  } finally {
    await lock?.release()
  }
}

async function prune(layout: Layout, options: PruneOptions): Promise<PruneResult> {
  const { keep, isDryRun, signal } = options
  const snapshots: Snapshot[] = []
  for (const id of await listSnapshotIds(layout)) {
    // One that cannot be read may name anything.
    snapshots.push(await readSnapshot(layout, id))
  }
  const { kept, dropped } = divide(snapshots, keep)
  const named = await namedBy(layout, kept, signal)
  const names = new NewNames()
  const remove = async (path: string): Promise<void> => {
    if (!isDryRun) await removeFile(path, names)
  }
  if (!isDryRun && dropped.length > 0) await note(layout, { event: 'begin', kept, dropped })
  for (const { id } of dropped) await remove(layout.snapshot(id))
  // A snapshot must not outlive what it names.
  await names.sync()
  const files = { count: 0, bytes: 0 }
  const sweep = async (
    present: AsyncIterable<PresentFile>,
    isNamed: (digest: Digest) => boolean,
  ): Promise<void> => {
    for await (const { path, digest } of present) {
      signal.throwIfAborted()
      // A file of another name is somebody else's.
      if (digest === undefined || isNamed(digest)) continue
      const found = await unlessAbsent(lstat(path))
      await remove(path)
      files.count += 1
      files.bytes += found?.size ?? 0
    }
  }
  await sweep(presentBlobs(layout), (digest) => named.blobs.has(digest))
  await sweep(presentSegments(layout), (digest) => named.segments.has(digest))
  await names.sync()
  if (!isDryRun && files.count + dropped.length > 0) {
    await note(layout, { event: 'end', kept, dropped, files })
  }
  return { kept: kept.map(({ id }) => id), dropped: dropped.map(({ id }) => id), files }
}

/** Oldest first. An incomplete one takes no place of a complete one. */
function divide(
  snapshots: readonly Snapshot[],
  keep: number,
): { readonly kept: readonly Snapshot[]; readonly dropped: readonly Snapshot[] } {
  const complete = snapshots.filter((snapshot) => lackedBy(snapshot).length === 0)
  const oldest = complete.at(-keep)
  // With fewer complete ones than that, none goes.
  const from = oldest === undefined ? 0 : snapshots.indexOf(oldest)
  return { kept: snapshots.slice(from), dropped: snapshots.slice(0, from) }
}

async function namedBy(
  layout: Layout,
  snapshots: readonly Snapshot[],
  signal: AbortSignal,
): Promise<{ readonly blobs: NamedBlobs; readonly segments: ReadonlyMap<Digest, unknown> }> {
  const blobs = new NamedBlobs()
  const segments = sharedSegments(snapshots)
  for (const { name, users } of segments.values()) {
    signal.throwIfAborted()
    if (name.kind !== 'blob') continue
    try {
      blobs.add(await readSegment(layout, name), users)
    } catch (error) {
      if (!(error instanceof BackupError)) throw error
      const path = layout.segment(name.digest)
      throw new BackupError(`nothing was removed, since ${path} cannot be read: ${error.message}`)
    }
  }
  return { blobs, segments }
}

interface Note {
  readonly event: 'begin' | 'end'
  readonly kept: readonly Snapshot[]
  readonly dropped: readonly Snapshot[]
  readonly files?: PruneResult['files']
}

// Who removed what, and when: a backup may be pruned where there is no registry, and so no audit log.
async function note({ pruned }: Layout, { event, kept, dropped, files }: Note): Promise<void> {
  const told = {
    ...{ time: new Date().toISOString(), event, uid: process.geteuid?.() },
    dropped: dropped.map(({ id }) => id),
    kept: kept.length,
    ...(files === undefined ? {} : { files }),
  }
  const file = await open(pruned, 'a', fileMode)
  try {
    await file.writeFile(`${JSON.stringify(told)}\n`)
    await file.datasync()
  } finally {
    await file.close()
  }
}
