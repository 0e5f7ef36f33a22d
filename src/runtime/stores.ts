// The stores, the pool that fills them, and the registry that works on them.

import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import type { Config } from '../config/schema.ts'
import type { DiskReserve } from '../health/disk-reserve.ts'
import type { IngestPool } from '../offload/contract.ts'
import { createIngestPool } from '../offload/ingest-pool.ts'
import { BlobReaders } from '../operation/blob-readers.ts'
import { BodyRoom } from '../operation/body-room.ts'
import { DamageReport } from '../operation/damage.ts'
import { startUploadExpiry } from '../operation/expire-uploads.ts'
import type { PullRedirects } from '../operation/pull-redirects.ts'
import { PullTimes, startPullTimes } from '../operation/pull-times.ts'
import type { Registry } from '../operation/registry.ts'
import { ReplyCache } from '../operation/reply-cache.ts'
import { createRepositoryRules } from '../operation/repository-rules.ts'
import { SelfReport } from '../operation/self-report.ts'
import { UploadTable } from '../operation/upload-table.ts'
import type { BlobStore } from '../storage/blob/contract.ts'
import { MemoryBlobStore } from '../storage/blob/memory/store.ts'
import type { Liveness } from '../storage/liveness.ts'
import type { MetadataStore } from '../storage/metadata/contract.ts'
import type { MaintenanceStore } from '../storage/metadata/maintenance.ts'
import type { TagTimesStore } from '../storage/metadata/tag-times.ts'
import type { TokenStore } from '../storage/metadata/token-store.ts'
import type { Logger } from '../telemetry/log.ts'
import type { S3Counts } from '../telemetry/s3-metrics.ts'
import { openBlobs } from './blobs.ts'
import type { Closers } from './closers.ts'
import { openLiveness } from './liveness.ts'
import { openMetadata } from './metadata.ts'
import { type OpenReserve, openReserve } from './reserve.ts'

// Open files kept for blobs that nobody reads at the moment.
const idleReadersMax = 256
// For so long a blob that another process has destroyed may keep its room on the disk.
const goneReadersMs = 5_000
// How late the store hears of a pull.
const pullTimesMs = 30_000

export interface OpenStores {
  /** As the first configuration has it: see `registryOf`. */
  readonly registry: Registry
  readonly metadata: MaintenanceStore & TokenStore
  /** After how long an idle upload ends; asked each time. */
  readonly expiry: { ms: number }
  readonly reserve: OpenReserve
  /** Of the processes that share the stores. */
  readonly liveness: Liveness
  /** Undefined where blobs are not in a bucket. */
  readonly s3: S3Counts | undefined
}

/** Errors: Error with a message for the operator: a locked or unusable store. */
export async function openStores(
  config: Config,
  log: Logger,
  closers: Closers,
): Promise<OpenStores> {
  const metadata = await openMetadata(config, log)
  closers.add(() => metadata.close())
  const { blobs, s3, damage, redirects } = await openBlobs(config, metadata, log)
  closers.add(() => blobs.close())
  await adoptTree(blobs, metadata, log)
  const ingest = createPool(config, blobs, log, s3)
  closers.add(() => ingest.close())
  const reserve = await openReserve(config, ingest, log, closers)
  const diskRoom = reserve.disks
  const liveness = await openLiveness(metadata, blobs, log, closers)
  const registry = createRegistry(
    config,
    { metadata, blobs, redirects, ingest, diskRoom, liveness },
    log,
  )
  closers.add(() => registry.readers.close())
  damage.onFound = (digest) => registry.damage?.onFound?.(digest)
  if (registry.shared) closers.add(dropGoneReaders(registry, log))
  const onFault = pullTimesFault(log)
  const noting = startPullTimes(registry.pulls, { intervalMs: pullTimesMs, onFault })
  closers.add(() => noting.end())
  // Changed in place by a reload.
  const expiry = { ms: config.ingest.sessionExpiryMs }
  const expiring = startUploadExpiry(registry, () => expiry.ms)
  closers.add(() => expiring.stop())
  return { registry, metadata, liveness, expiry, reserve, s3 }
}

// A new store in the tree of another registry, which has more to say about its blobs than we know yet. Once
// something is stored here, the operator has decided about it: by an import, or by taking it over.
async function adoptTree(blobs: BlobStore, metadata: MaintenanceStore, log: Logger): Promise<void> {
  if ((await (blobs.audit ?? blobs).isShared?.()) !== true) return
  if ((await metadata.readAdoption()) !== undefined) return
  if ((await metadata.listRepositories({ limit: 1 })).length > 0) return
  const of = 'the registry whose directory "repositories" lies beside them'
  await metadata.setAdoption({ sinceMs: Date.now(), of })
  log.warn('the blobs are those of another registry: nothing is removed till import --take-over')
}

/** Errors: Error where no thread can be started. */
export function createPool(
  config: Config,
  blobs: BlobStore,
  log: Logger,
  s3?: S3Counts,
): IngestPool {
  const { ingest, storage } = config
  return createIngestPool({
    workers: ingest.workers === 'auto' ? Math.max(1, availableParallelism() - 1) : ingest.workers,
    slabBytes: ingest.slabSizeBytes,
    slabsPerUpload: ingest.slabsPerUpload,
    memoryBudgetBytes: ingest.memoryBudgetBytes,
    durability: storage.durability,
    ...(s3 === undefined ? {} : { onS3: (attempt) => s3.add(attempt) }),
    onThreadDeath: (err) => log.error({ err }, 'an ingest thread died and is replaced'),
    ...(blobs instanceof MemoryBlobStore ? { memory: blobs } : {}),
  })
}

interface Stores {
  readonly metadata: MetadataStore & TagTimesStore
  readonly blobs: BlobStore
  readonly redirects: PullRedirects | undefined
  readonly ingest: IngestPool
  readonly diskRoom: DiskReserve
  readonly liveness: Liveness
}

/** The same stores, pools and memory, by the rules and limits of `config`. */
export function registryOf(config: Config, registry: Registry): Registry {
  return { ...registry, ...ruled(config) }
}

function ruled(config: Config): Pick<Registry, 'limits' | 'rules' | 'externalUrl'> {
  const { gc, global, server } = config
  return {
    limits: {
      descriptorsMax: global.descriptorsMax,
      allowMissingManifests: global.allowMissingManifests,
      allowMissingBlobs: global.allowMissingBlobs,
      graceMs: gc.graceMs,
    },
    rules: createRepositoryRules(global, config.repositories),
    externalUrl: server.externalUrl ?? '',
  }
}

function createRegistry(config: Config, { liveness, ...stores }: Stores, log: Logger): Registry {
  const { cache, ingest, storage } = config
  return {
    ...stores,
    ...ruled(config),
    // Not the wall clock: one that is set must not make a client look silent.
    uploads: new UploadTable(ingest.sessionsMax, () => performance.now()),
    bodies: new BodyRoom(ingest.bodyBudgetBytes, config.global.maxManifestSizeBytes),
    replies: new ReplyCache(cache.replyBytes),
    pulls: new PullTimes({
      ...{ store: stores.metadata, now: Date.now, isOn: config.retention.pullTimes },
      onFault: pullTimesFault(log),
    }),
    readers: new BlobReaders(stores.blobs, idleReadersMax, storage.sharing === 'shared'),
    report: new SelfReport(),
    damage: new DamageReport(),
    shared: storage.sharing === 'shared',
    owner: () => liveness.owner(),
    isOwnerAlive: (owner) => liveness.isAlive(owner),
    bootId: bootId(),
    now: Date.now,
    randomUuid: randomUUID,
    onBackgroundFault: (what, error) => log.warn({ err: error }, `${what}: failed`),
  }
}

function pullTimesFault(log: Logger): (error: unknown) => void {
  return (error) => log.warn({ err: error }, 'note when manifests were pulled: failed')
}

/** Answers how to end it. */
function dropGoneReaders({ readers }: Registry, log: Logger): () => void {
  const look = (): void => {
    try {
      readers.dropGone()
    } catch (error) {
      log.warn({ err: error }, 'let go of blobs that are gone: failed')
    }
  }
  const timer = setInterval(look, goneReadersMs).unref()
  return () => clearInterval(timer)
}

// Where there is none, every process counts as another boot: staged bytes are then hashed again.
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return randomUUID()
  }
}
