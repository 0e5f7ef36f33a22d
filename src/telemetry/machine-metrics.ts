// Metrics of the machine room: threads and the memory for bodies, caches, the metadata store, disks.

import type { Registry } from 'prom-client'
import type { CacheCounts } from './cache-counts.ts'
import { type ReserveReading, registerDiskMetrics } from './disk-metrics.ts'
import type { IngestFigures } from './ingest-figures.ts'
import type { LmdbFigures } from './lmdb-figures.ts'
import { type PostgresFigures, registerPostgresMetrics } from './postgres-metrics.ts'
import { counter, gauge, type MetricPart, type Sample, single } from './readings.ts'
import { registerS3Metrics, type S3Counts } from './s3-metrics.ts'
import { type QueueFigures, registerThreadMetrics } from './thread-metrics.ts'

/** One cache; what it does not know of itself is left out. */
export interface CacheFigures {
  readonly name: string
  readonly counts: CacheCounts
  readonly entries?: number
  readonly bytes?: number
  readonly bytesMax?: number
}

/** Bodies that are taken whole. */
export interface BodyFigures {
  readonly bytes: number
  readonly bytesMax: number
  /** Since the start. */
  readonly refused: number
}

export interface MachineSources {
  readonly ingest: () => IngestFigures
  readonly bodies: () => BodyFigures
  readonly credentials: () => Readonly<Record<'passwords' | 'signatures', QueueFigures>>
  readonly caches: () => readonly CacheFigures[]
  /** Undefined where metadata is elsewhere. */
  readonly lmdb: () => LmdbFigures | undefined
  /** Undefined where metadata is elsewhere. */
  readonly postgres: () => PostgresFigures | undefined
  /** Undefined where servers of other hosts cannot share the store. */
  readonly nodes: () => number | undefined
  /** Undefined where blobs are not in a bucket. */
  readonly s3: () => S3Counts | undefined
  readonly disks: () => ReserveReading
}

export class MachineMetrics implements MetricPart {
  readonly #sources: MachineSources

  constructor(sources: MachineSources) {
    this.#sources = sources
  }

  register(registry: Registry): void {
    const { ingest, bodies, credentials, caches, lmdb, postgres, nodes, s3, disks } = this.#sources
    bodyMetrics(registry, ingest)
    wholeBodyMetrics(registry, bodies)
    registerThreadMetrics(registry, () => {
      const { inThreads } = ingest()
      const { passwords, signatures } = credentials()
      return { ingest: inThreads, passwords, signatures }
    })
    queueMetrics(registry, credentials)
    cacheMetrics(registry, caches)
    lmdbMetrics(registry, lmdb)
    registerPostgresMetrics(registry, postgres, nodes)
    registerS3Metrics(registry, s3)
    registerDiskMetrics(registry, disks)
  }
}

function wholeBodyMetrics(registry: Registry, read: () => BodyFigures): void {
  for (const [name, help, value] of [
    ['bytes', 'Memory that manifests and logins on their way occupy', 'bytes'],
    ['bytes_max', 'Memory that they may occupy: ingest.body_budget', 'bytesMax'],
  ] as const) {
    gauge(registry, {
      ...{ name: `keelson_body_${name}`, help, aggregator: 'sum' },
      read: single(() => read()[value]),
    })
  }
  counter(registry, {
    name: 'keelson_bodies_refused_total',
    help: 'Manifests and logins answered 503 for want of that memory',
    read: single(() => read().refused),
  })
}

function bodyMetrics(registry: Registry, read: () => IngestFigures): void {
  for (const [name, help, value] of [
    ['slab_bytes', 'Memory that bodies on their way to the disk occupy', 'slabBytesInUse'],
    ['slab_bytes_max', 'Memory that bodies may occupy: ingest.memory_budget', 'slabBytesMax'],
    ['bodies', 'Bodies that are being received', 'receiving'],
  ] as const) {
    gauge(registry, {
      ...{ name: `keelson_ingest_${name}`, help, aggregator: 'sum' },
      read: single(() => read()[value]),
    })
  }
  counter(registry, {
    name: 'keelson_ingest_stalls_total',
    help: 'Times that a body had to wait for memory, or for the disk to catch up',
    read: single(() => read().stalls),
  })
  counter(registry, {
    name: 'keelson_ingest_bytes_total',
    help: 'Bytes of bodies that were received',
    read: single(() => read().bytesReceived),
  })
  for (const [name, help, value] of [
    ['sessions', 'Bodies and rereads that are open in ingest threads', 'sessions'],
    ['queue_bytes', 'Bytes that ingest threads have still to hash or to write', 'bytesInThreads'],
  ] as const) {
    gauge(registry, {
      ...{ name: `keelson_ingest_${name}`, help, aggregator: 'sum' },
      read: single(() => read().inThreads[value]),
    })
  }
  for (const [name, help, value] of [
    [
      'keelson_hash_bytes_total',
      'Bytes that ingest threads have hashed',
      (of: IngestFigures) => of.inThreads.hashedBytes,
    ],
    [
      'keelson_hash_seconds_total',
      'How long ingest threads have hashed, all of them together',
      (of: IngestFigures) => of.inThreads.hashMs / 1000,
    ],
    [
      'keelson_ingest_threads_replaced_total',
      'Ingest threads that died and were started again',
      (of: IngestFigures) => of.inThreads.replaced,
    ],
  ] as const) {
    counter(registry, { name, help, read: single(() => value(read())) })
  }
}

function queueMetrics(registry: Registry, read: MachineSources['credentials']): void {
  const samples = (value: (queue: QueueFigures) => number) => (): readonly Sample[] =>
    Object.entries(read()).map(([kind, queue]) => [{ kind }, value(queue)])
  const labelNames = ['kind']
  gauge(registry, {
    ...{ name: 'keelson_credentials_waiting', labelNames, aggregator: 'sum' },
    help: 'Passwords and signatures that wait for a thread',
    read: samples(({ waiting }) => waiting),
  })
  gauge(registry, {
    ...{ name: 'keelson_credentials_waiting_max', labelNames, aggregator: 'sum' },
    help: 'Passwords and signatures that may wait; beyond that logins get 503',
    read: samples(({ waitingMax }) => waitingMax),
  })
  counter(registry, {
    ...{ name: 'keelson_credentials_checked_total', labelNames },
    help: 'Passwords and signatures that were checked; remembered ones are not',
    read: samples(({ completed }) => completed),
  })
  counter(registry, {
    ...{ name: 'keelson_credentials_refused_total', labelNames },
    help: 'Passwords and signatures that were not checked: the queue was full, or a thread died',
    read: samples(({ refused }) => refused),
  })
}

function cacheMetrics(registry: Registry, read: () => readonly CacheFigures[]): void {
  const labelNames = ['cache']
  counter(registry, {
    ...{ name: 'keelson_cache_requests_total', labelNames: ['cache', 'result'] },
    help: 'Questions to a cache: `hit` where it knew, `miss` where it did not',
    read: () =>
      read().flatMap(({ name: cache, counts }) => [
        [{ cache, result: 'hit' }, counts.hits] as const,
        [{ cache, result: 'miss' }, counts.misses] as const,
      ]),
  })
  counter(registry, {
    ...{ name: 'keelson_cache_evictions_total', labelNames },
    help: 'Entries of a cache that made room for others',
    read: () => read().map(({ name: cache, counts }) => [{ cache }, counts.evictions]),
  })
  for (const [name, help, value] of [
    ['entries', 'What a cache knows', 'entries'],
    ['bytes', 'Memory that a cache occupies', 'bytes'],
    ['bytes_max', 'Memory that a cache may occupy', 'bytesMax'],
  ] as const) {
    gauge(registry, {
      ...{ name: `keelson_cache_${name}`, help, labelNames, aggregator: 'sum' },
      read: () =>
        read().flatMap((cache) => {
          const found = cache[value]
          return found === undefined ? [] : [[{ cache: cache.name }, found] as const]
        }),
    })
  }
}

// All processes see the same file.
function lmdbMetrics(registry: Registry, read: () => LmdbFigures | undefined): void {
  for (const [name, help, value] of [
    ['map_bytes', 'Address space of the metadata store; it is mapped anew beyond', 'mapBytes'],
    ['file_bytes', 'File of the metadata store, up to its last page in use', 'fileBytes'],
    ['used_bytes', 'Pages of the metadata store that hold something', 'usedBytes'],
    ['entries', 'Records and manifests in the metadata store', 'entries'],
    ['readers', 'Places for snapshots of the metadata store that are taken', 'readers'],
    ['stale_readers', 'Such places of processes that are gone', 'staleReaders'],
  ] as const) {
    gauge(registry, {
      ...{ name: `keelson_lmdb_${name}`, help, aggregator: 'max' },
      read: single(() => read()?.[value]),
    })
  }
}
