// Backups without a server: what proves and prunes them needs no store, what restores one has it alone.

import { randomUUID } from 'node:crypto'
import type { Audit } from '../audit/audit.ts'
import type { Config } from '../config/schema.ts'
import type { BackupSettings } from '../maintain/backup/create.ts'
import { requireIdentity } from '../maintain/backup/identity.ts'
import { Layout } from '../maintain/backup/layout.ts'
import { type PruneResult, pruneBackup } from '../maintain/backup/prune.ts'
import { type RestoreResult, restoreBackup } from '../maintain/backup/restore.ts'
import { listSnapshotIds, readSnapshot, type Snapshot } from '../maintain/backup/snapshot.ts'
import { type VerifyResult, verifyBackup } from '../maintain/backup/verify.ts'
import type { JobProgress } from '../maintain/job/contract.ts'
import { createIngestPool, type RunningIngestPool } from '../offload/ingest-pool.ts'
import { createLog } from '../telemetry/log.ts'
import { counted } from '../telemetry/rough-units.ts'
import { openConfiguredAudit } from './audit.ts'
import { Closers } from './closers.ts'
import { requireFreeBlobs } from './pairing.ts'
import { openRestoreTarget, requireOwn } from './restore-target.ts'
import { openTargetBlobs, openTargetBucket, targetThreads } from './target-blobs.ts'

export type { PruneResult, RestoreResult, Snapshot, VerifyResult }

/** What a backup is told of the configuration in force. */
export function backupSettings({ backup, blobStore, gc, metadataStore }: Config): BackupSettings {
  const storePaths = [
    ...(blobStore.kind === 'fs' ? [blobStore.rootDir] : []),
    ...(metadataStore.kind === 'lmdb' ? [metadataStore.path] : []),
  ]
  return { storePaths, overwrites: gc.overwrite, rateBytes: backup.rateBytes }
}

/** How a person follows it, and ends it. */
export interface Watch {
  readonly signal: AbortSignal
  readonly onProgress: (progress: JobProgress) => void
}

/** Each with why it cannot be read, where it cannot. Errors: Error with a message for the operator. */
export async function listBackups(
  folder: string,
): Promise<readonly ({ readonly id: string; readonly problem: string } | Snapshot)[]> {
  const layout = new Layout(folder)
  await requireIdentity(layout)
  const ids = await listSnapshotIds(layout)
  return Promise.all(
    ids.map((id) =>
      readSnapshot(layout, id).catch((error: unknown) => ({
        id,
        problem: error instanceof Error ? error.message : String(error),
      })),
    ),
  )
}

/** Errors: Error with a message for the operator; AbortError. */
export function verifyBackupIn(
  folder: string,
  options: { readonly at: string | undefined; readonly isQuick: boolean },
  watch: Watch,
): Promise<VerifyResult> {
  return withThreads((ingest) => verifyBackup(new Layout(folder), { ...options, ...watch, ingest }))
}

/** Errors: Error with a message for the operator; AbortError. */
export function pruneBackupIn(
  folder: string,
  options: { readonly keep: number; readonly isDryRun: boolean },
  { signal }: Watch,
): Promise<PruneResult> {
  return pruneBackup(new Layout(folder), { ...options, signal, randomUuid: randomUUID })
}

export interface RestoreChoice {
  readonly at: string | undefined
  readonly mayLack: boolean
  readonly keepsBlobs: boolean
}

/**
 * To the stores of the configuration, durably, whatever that says of durability.
 * Errors: Error with a message for the operator; AbortError.
 */
export async function restoreBackupFrom(
  folder: string,
  config: Config,
  choice: RestoreChoice,
  watch: Watch,
): Promise<RestoreResult> {
  const { blobStore, gc, metadataStore } = config
  if (blobStore.kind === 'memory' || metadataStore.kind === 'memory') {
    throw new Error('a store in memory is gone with this command: configure one on disk')
  }
  const layout = new Layout(folder)
  // Before a store is made for it.
  await requireIdentity(layout)
  if (blobStore.kind === 'fs') await requireOwn(blobStore.rootDir)
  const { log, flush } = createLog({ ...config.log, level: 'warn', descriptor: 2 })
  const closers = new Closers(log)
  try {
    const { target, store } = await openRestoreTarget(config, log, closers)
    const bucket =
      blobStore.kind === 's3' ? await openTargetBucket(blobStore, log, closers) : undefined
    // Of a directory that was asked before.
    if (bucket !== undefined && !choice.keepsBlobs) await requireFreeBlobs(config, store, bucket)
    const blobs = bucket ?? (await openTargetBlobs(config, log, closers))
    // After the store: whoever has its lock is alone with the audit log, too.
    const audit = await openConfiguredAudit(config, log, closers)
    return await audited(audit, folder, () =>
      withThreads((ingest) =>
        restoreBackup(
          layout,
          { target, blobs, ingest },
          {
            ...choice,
            ...watch,
            ...{ graceMs: gc.graceMs, now: Date.now, randomUuid: randomUUID },
          },
        ),
      ),
    )
  } finally {
    await closers.closeAll()
    await flush()
  }
}

async function audited(
  audit: Audit,
  folder: string,
  restore: () => Promise<RestoreResult>,
): Promise<RestoreResult> {
  const run = { job: 'restore', run: randomUUID() } as const
  audit.maintenance({ ...run, deed: 'begin', reason: `from ${folder}` })
  let came = 'cut short'
  try {
    const result = await restore()
    const { copied, lacking, snapshot } = result
    came = `ok: snapshot ${snapshot.id}, ${counted(copied.count, 'blob')} copied, ${lacking.length} lacking`
    return result
  } catch (error) {
    came = `failed: ${error instanceof Error ? error.message : String(error)}`
    throw error
  } finally {
    audit.maintenance({ ...run, deed: 'end', reason: came })
  }
}

const slabBytes = 1 << 20

async function withThreads<T>(action: (ingest: RunningIngestPool) => Promise<T>): Promise<T> {
  const ingest = createIngestPool({
    workers: targetThreads,
    ...{ slabBytes, slabsPerUpload: 8, memoryBudgetBytes: 64 * slabBytes, durability: 'fsync' },
  })
  try {
    return await action(ingest)
  } finally {
    await ingest.close()
  }
}
