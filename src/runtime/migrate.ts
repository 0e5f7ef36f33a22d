// The stores that a migration fills: those of another configuration, opened alone.

import { realpath } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { type AnyJob, anyJob } from '../maintain/job/any-job.ts'
import { MigrateError, type MigrationTarget } from '../maintain/migrate/contract.ts'
import { createMigrateJob } from '../maintain/migrate/job.ts'
import { createIngestPool } from '../offload/ingest-pool.ts'
import { openFsBlobStore } from '../storage/blob/fs/store.ts'
import type { Logger } from '../telemetry/log.ts'
import { Closers } from './closers.ts'
import { openKeys } from './encryption.ts'
import { pairAnew, requireFreeBlobs } from './pairing.ts'
import { openRestoreTarget, requireOwn } from './restore-target.ts'

export function migrateJob(config: () => Config, log: Logger): AnyJob {
  return anyJob(
    createMigrateJob(() => ({
      kinds: kindsOf(config()),
      openTarget: ({ to }) => openTarget(config(), loadConfig([to]), log),
    })),
  )
}

function kindsOf({ blobStore, metadataStore }: Config): string {
  return `${metadataStore.kind}+${blobStore.kind}`
}

async function openTarget(source: Config, target: Config, log: Logger): Promise<MigrationTarget> {
  // Whatever the configuration says: after a migration the source may be given up.
  const safe = { ...target, storage: { ...target.storage, durability: 'fsync' } } satisfies Config
  await requireOther(source, safe)
  const isInPlace = await sharesBlobs(source, safe)
  const closers = new Closers(log)
  try {
    const { rootDir } = directoryOf(safe)
    if (!isInPlace) await requireOwn(rootDir)
    const { target: records, store } = await openRestoreTarget(safe, log, closers)
    if (!isInPlace) await requireFreeBlobs(safe, store)
    const keys = isInPlace ? undefined : await openKeys(safe)
    const place = { rootDir, ...(keys && { keys }) }
    const blobs = isInPlace ? undefined : await openFsBlobStore({ ...place, durability: 'fsync' })
    if (blobs !== undefined) closers.add(() => blobs.close())
    const ingest = createIngestPool({
      // A thread hashes as fast as disks read; the other half reads, and serves.
      workers: Math.max(1, Math.ceil(availableParallelism() / 2)),
      ...{ slabBytes, slabsPerUpload: 8, memoryBudgetBytes: 64 * slabBytes, durability: 'fsync' },
    })
    closers.add(() => ingest.close())
    return {
      ...{ kinds: kindsOf(safe), records, blobs, ingest },
      openDump: () => store.openDump(),
      pair: () => pairAnew(safe, store, { isMoved: isInPlace }),
      close: () => closers.closeAll(),
    }
  } catch (error) {
    await closers.closeAll()
    throw error
  }
}

const slabBytes = 1 << 20

async function requireOther(source: Config, target: Config): Promise<void> {
  for (const { blobStore, metadataStore } of [source, target]) {
    if (blobStore.kind !== 'memory' && metadataStore.kind !== 'memory') continue
    throw new MigrateError('a store in memory is gone with its process: it cannot be migrated')
  }
  const [from, to] = [source.metadataStore, target.metadataStore]
  if (from.kind === 'lmdb' && to.kind === 'lmdb') {
    if ((await realPath(from.path)) === (await realPath(to.path))) {
      throw new MigrateError(`both configurations have their records in ${to.path}`)
    }
  }
  if (from.kind === 'postgres' && to.kind === 'postgres') {
    const isSame = from.host === to.host && from.port === to.port && from.database === to.database
    if (isSame) throw new MigrateError(`both configurations name the database ${to.database}`)
  }
}

// A bucket can be neither filled nor left by a migration yet: no id is given to it before the records are there.
function directoryOf({ blobStore }: Config): Extract<Config['blobStore'], { kind: 'fs' }> {
  if (blobStore.kind === 'fs') return blobStore
  throw new MigrateError(
    `blobs are migrated from [blob_store.fs] to [blob_store.fs] alone, not with [blob_store.${blobStore.kind}]`,
  )
}

/** Whether the blobs stay where they are. */
async function sharesBlobs(source: Config, target: Config): Promise<boolean> {
  const [from, to] = [directoryOf(source), directoryOf(target)]
  const [a, b] = [await realPath(from.rootDir), await realPath(to.rootDir)]
  if (a === b) return true
  if (isWithin(a, b) || isWithin(b, a)) {
    throw new MigrateError(`${to.rootDir} and ${from.rootDir} lie in each other`)
  }
  return false
}

function isWithin(path: string, folder: string): boolean {
  const way = relative(folder, path)
  return way !== '..' && !way.startsWith('../')
}

/** What is not there yet lies where its parent does. */
async function realPath(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    const isAbsent = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    if (!isAbsent || dirname(path) === path) throw error
    return join(await realPath(dirname(path)), basename(path))
  }
}
