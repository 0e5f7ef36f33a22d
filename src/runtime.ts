// Configuration → the running registry. The only place that makes long-lived things, and ends them.

import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { createAuthorize } from './authorize/authorize.ts'
import type { Config } from './config/schema.ts'
import type { IngestPool } from './offload/contract.ts'
import { createIngestPool } from './offload/ingest-pool.ts'
import { BlobReaders } from './operation/blob-readers.ts'
import { startUploadExpiry } from './operation/expire-uploads.ts'
import type { Registry } from './operation/registry.ts'
import { ReplyCache } from './operation/reply-cache.ts'
import { UploadTable } from './operation/upload-table.ts'
import { type AdminListener, listenAdmin } from './server/admin.ts'
import { chooseTransport } from './server/listen.ts'
import { Pipeline } from './server/pipeline.ts'
import type { Listener } from './server/transport/exchange.ts'
import type { BlobStore } from './storage/blob/contract.ts'
import { openFsBlobStore } from './storage/blob/fs/store.ts'
import { MemoryBlobStore } from './storage/blob/memory/store.ts'
import type { MetadataStore } from './storage/metadata/contract.ts'
import { openLmdbMetadataStore } from './storage/metadata/lmdb/open.ts'
import { MemoryMetadataStore } from './storage/metadata/memory/store.ts'
import { isProcessAlive, processIdentity } from './storage/process-identity.ts'
import type { Logger } from './telemetry/log.ts'

// Open files kept for blobs that nobody reads at the moment.
const idleReadersMax = 256

export interface Runtime {
  readonly listener: Listener
  readonly transport: 'uws' | 'node'
  readonly admin: AdminListener | undefined
  /**
   * Stop taking connections, wait for what is in flight (`server.shutdown_timeout`), then end
   * everything in the order that keeps acknowledged writes. True where nothing had to be cut.
   */
  stop(): Promise<boolean>
}

/** Errors: Error with a message for the operator: a locked or unusable store, a taken port. */
export async function startRuntime(config: Config, log: Logger): Promise<Runtime> {
  const closers: Array<() => unknown> = []
  try {
    return await build(config, log, closers)
  } catch (error) {
    await closeAll(closers, log)
    throw error
  }
}

// The last made ends first. One that fails must not keep the others, least of all the store, from ending.
async function closeAll(closers: ReadonlyArray<() => unknown>, log: Logger): Promise<void> {
  for (const close of closers.toReversed()) {
    try {
      await close()
    } catch (error) {
      log.error({ err: error }, 'stopping: a part did not end well')
    }
  }
}

async function build(config: Config, log: Logger, closers: Array<() => unknown>): Promise<Runtime> {
  const { server } = config
  const { name, transport } = chooseTransport(server.transport, log)
  const metadata = await openMetadata(config, log)
  closers.push(() => metadata.close())
  const blobs = await openBlobs(config)
  closers.push(() => blobs.close())
  const ingest = createPool(config, blobs)
  closers.push(() => ingest.close())
  const registry = createRegistry(config, { metadata, blobs, ingest }, log)
  closers.push(() => registry.readers.close())
  const expiry = startUploadExpiry(registry, config.ingest.sessionExpiryMs)
  closers.push(() => expiry.stop())

  const policy = config.global.accessPolicy
  const authorize = createAuthorize(policy.configured ? policy : undefined)
  const pipeline = new Pipeline({ registry, authorize, log })
  const listener = await transport({
    address: server.bindAddress,
    port: server.port,
    handler: (exchange) => pipeline.handle(exchange),
    refuse: (reason) => pipeline.refuse(reason),
    onFault: (error) => pipeline.fault(error),
  })
  closers.push(() => listener.close())
  const admin = await openAdmin(config, registry, listener)
  if (admin !== undefined) closers.push(() => admin.close())
  return {
    listener,
    transport: name,
    admin,
    stop: async () => {
      const idle = await drain(listener, server.shutdownTimeoutMs)
      await closeAll(closers, log)
      return idle
    },
  }
}

async function openMetadata(config: Config, log: Logger): Promise<MetadataStore> {
  const { metadataStore, storage } = config
  if (metadataStore.kind === 'memory') return new MemoryMetadataStore()
  await mkdir(metadataStore.path, { recursive: true, mode: 0o700 })
  return openLmdbMetadataStore({
    path: metadataStore.path,
    durability: storage.durability,
    sharing: storage.sharing,
    now: Date.now,
    onNotice: (notice: string) => log.info(notice),
  })
}

function openBlobs(config: Config): Promise<BlobStore> {
  const { blobStore, storage } = config
  if (blobStore.kind === 'memory') return Promise.resolve(new MemoryBlobStore())
  return openFsBlobStore({ rootDir: blobStore.rootDir, durability: storage.durability })
}

function createPool(config: Config, blobs: BlobStore): IngestPool {
  const { ingest, storage } = config
  return createIngestPool({
    workers: ingest.workers === 'auto' ? Math.max(1, availableParallelism() - 1) : ingest.workers,
    slabBytes: ingest.slabSizeBytes,
    slabsPerUpload: ingest.slabsPerUpload,
    memoryBudgetBytes: ingest.memoryBudgetBytes,
    durability: storage.durability,
    ...(blobs instanceof MemoryBlobStore ? { memory: blobs } : {}),
  })
}

interface Stores {
  readonly metadata: MetadataStore
  readonly blobs: BlobStore
  readonly ingest: IngestPool
}

function createRegistry(config: Config, stores: Stores, log: Logger): Registry {
  const { cache, gc, global, ingest, server, storage } = config
  return {
    ...stores,
    limits: {
      manifestBytesMax: global.maxManifestSizeBytes,
      blobBytesMax: global.maxBlobSizeBytes,
      descriptorsMax: global.descriptorsMax,
      allowMissingManifests: global.allowMissingManifests,
      allowMissingBlobs: global.allowMissingBlobs,
      graceMs: gc.graceMs,
    },
    // Not the wall clock: one that is set must not make a client look silent.
    uploads: new UploadTable(ingest.sessionsMax, () => performance.now()),
    replies: new ReplyCache(cache.replyBytes),
    readers: new BlobReaders(stores.blobs, idleReadersMax),
    shared: storage.sharing === 'shared',
    owner: processIdentity(),
    isOwnerAlive: isProcessAlive,
    bootId: bootId(),
    externalUrl: server.externalUrl ?? '',
    now: Date.now,
    randomUuid: randomUUID,
    onBackgroundFault: (what, error) => log.warn({ err: error }, `${what}: failed`),
  }
}

// Where there is none, every process counts as another boot: staged bytes are then hashed again.
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return randomUUID()
  }
}

function openAdmin(
  config: Config,
  registry: Registry,
  listener: Listener,
): Promise<AdminListener | undefined> {
  const { admin, blobStore } = config
  const socket =
    admin.socket ??
    (blobStore.kind === 'fs' ? join(blobStore.rootDir, '_keelson', 'admin.sock') : undefined)
  if (socket === undefined) return Promise.resolve(undefined)
  const startedAtMs = Date.now()
  return mkdir(dirname(socket), { recursive: true, mode: 0o700 }).then(() =>
    listenAdmin(socket, {
      '/healthz': () => ({ status: 'ok' }),
      '/readyz': async () => {
        await Promise.all([registry.metadata.probe(), registry.blobs.probe()])
        return { status: 'ready' }
      },
      '/status': () => ({
        pid: process.pid,
        uptimeSeconds: Math.round((Date.now() - startedAtMs) / 1000),
        listening: listener.local,
        requestsInFlight: listener.inFlight(),
        uploadsOpen: registry.uploads.size,
        ingest: registry.ingest.gauges,
      }),
    }),
  )
}

async function drain(listener: Listener, timeoutMs: number): Promise<boolean> {
  listener.stopAccepting()
  const deadline = Date.now() + timeoutMs
  while (listener.inFlight() > 0 && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return listener.inFlight() === 0
}
