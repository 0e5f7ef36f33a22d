// The stores that a migration fills: those of another configuration, opened alone.

import { realpath } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { loadConfig } from '../config/load.ts'
import type { Config, S3Config } from '../config/schema.ts'
import { type AnyJob, anyJob } from '../maintain/job/any-job.ts'
import { MigrateError, type MigrationTarget } from '../maintain/migrate/contract.ts'
import { createMigrateJob } from '../maintain/migrate/job.ts'
import { createIngestPool } from '../offload/ingest-pool.ts'
import { rootOf } from '../storage/blob/s3/root.ts'
import type { Logger } from '../telemetry/log.ts'
import { Closers } from './closers.ts'
import { encryptionProblem } from './encryption.ts'
import { pairAnew, requireFreeBlobs } from './pairing.ts'
import { openRestoreTarget, requireOwn } from './restore-target.ts'
import { openTargetBlobs, openTargetBucket, targetThreads } from './target-blobs.ts'

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
  // Nothing opens them here, but the server that goes on with them.
  const problem = isInPlace ? await encryptionProblem(safe) : undefined
  if (problem !== undefined) throw new MigrateError(problem)
  const closers = new Closers(log)
  try {
    const { blobStore } = safe
    if (!isInPlace && blobStore.kind === 'fs') await requireOwn(blobStore.rootDir)
    const { target: records, store } = await openRestoreTarget(safe, log, closers)
    const bucket =
      blobStore.kind === 's3' ? await openTargetBucket(blobStore, log, closers) : undefined
    if (!isInPlace) await requireFreeBlobs(safe, store, bucket)
    const blobs = isInPlace ? undefined : (bucket ?? (await openTargetBlobs(safe, log, closers)))
    const ingest = createIngestPool({
      workers: targetThreads,
      ...{ slabBytes, slabsPerUpload: 8, memoryBudgetBytes: 64 * slabBytes, durability: 'fsync' },
    })
    closers.add(() => ingest.close())
    return {
      ...{ kinds: kindsOf(safe), records, blobs, ingest },
      openDump: () => store.openDump(),
      pair: () => pairAnew(safe, store, { isMoved: isInPlace, bucket }),
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

/** Whether the blobs stay where they are. */
async function sharesBlobs(source: Config, target: Config): Promise<boolean> {
  const [from, to] = [source.blobStore, target.blobStore]
  if (from.kind === 's3' && to.kind === 's3') {
    return placeInBucket(from) === placeInBucket(to)
  }
  if (from.kind !== 'fs' || to.kind !== 'fs') return false
  const [a, b] = [await realPath(from.rootDir), await realPath(to.rootDir)]
  if (a === b) return true
  if (isWithin(a, b) || isWithin(b, a)) {
    throw new MigrateError(`${to.rootDir} and ${from.rootDir} lie in each other`)
  }
  return false
}

function placeInBucket({ endpoint = '', region, bucket, prefix }: S3Config): string {
  // Of an own server the region is a word, which may differ.
  return JSON.stringify([endpoint, endpoint === '' ? region : '', bucket, rootOf(prefix)])
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
