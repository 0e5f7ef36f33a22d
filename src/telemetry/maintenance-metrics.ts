// Metrics of maintenance jobs: what this process has done, and how the last runs went, whichever process ran them.

import type { Registry } from 'prom-client'
import type { MaintenanceCounts } from './maintenance-counts.ts'
import { counter, gauge, type MetricPart, type Sample } from './readings.ts'

/** One kind of job as its record tells. Units: ms, the times since 1970. */
export interface JobReading {
  readonly kind: string
  readonly isRunning: boolean
  /** Undefined where none went through yet. */
  readonly lastOkAtMs: number | undefined
  /** Of the last run that ended. */
  readonly tookMs: number | undefined
  /** Whether the last run found nothing to look at; undefined where it was cut short, or none ended yet. */
  readonly isOk: boolean | undefined
  /** 0: it is not run by itself. */
  readonly everyMs: number
  /** How the store was after the last run that told. */
  readonly figures: Readonly<Record<string, number>>
}

export interface MaintenanceSources {
  readonly counts: MaintenanceCounts
  readonly jobs: () => Promise<readonly JobReading[]>
}

export class MaintenanceMetrics implements MetricPart {
  readonly #sources: MaintenanceSources

  constructor(sources: MaintenanceSources) {
    this.#sources = sources
  }

  register(registry: Registry): void {
    this.#counters(registry)
    this.#condemned(registry)
    const { jobs } = this.#sources
    // All processes read the same records.
    for (const [name, help, value] of [
      [
        'running',
        '1 while a maintenance job runs, in whatever process',
        ({ isRunning }: JobReading) => (isRunning ? 1 : 0),
      ],
      [
        'last_success_timestamp_seconds',
        'When a job last went through with nothing to look at, in seconds since the epoch',
        ({ lastOkAtMs }: JobReading) => lastOkAtMs && lastOkAtMs / 1000,
      ],
      [
        'duration_seconds',
        'How long the last run of a job took',
        ({ tookMs }: JobReading) => (tookMs === undefined ? undefined : tookMs / 1000),
      ],
      [
        'interval_seconds',
        'How often the server runs a job by itself; 0 where it does not',
        ({ everyMs }: JobReading) => everyMs / 1000,
      ],
      [
        'last_ok',
        '1 where the last run of a job found nothing to look at, 0 where it did; absent where it was cut short',
        ({ isOk }: JobReading) => (isOk === undefined ? undefined : Number(isOk)),
      ],
    ] as const) {
      gauge(registry, {
        ...{ name: `keelson_maintenance_${name}`, help, labelNames: ['kind'], aggregator: 'max' },
        read: async () =>
          (await jobs()).flatMap((job): readonly Sample[] => {
            const found = value(job)
            return found === undefined ? [] : [[{ kind: job.kind }, found]]
          }),
      })
    }
  }

  #condemned(registry: Registry): void {
    const { jobs } = this.#sources
    for (const [name, help] of [
      ['condemnedBlobs', 'Condemned blobs that the last garbage collection left on the disk'],
      ['condemnedBytes', 'Bytes of the condemned blobs that the last garbage collection left'],
    ] as const) {
      gauge(registry, {
        name:
          name === 'condemnedBlobs' ? 'keelson_gc_condemned_blobs' : 'keelson_gc_condemned_bytes',
        ...{ help, aggregator: 'max' },
        read: async () => {
          const value = (await jobs()).find(({ kind }) => kind === 'gc')?.figures[name]
          return value === undefined ? [] : [[{}, value]]
        },
      })
    }
  }

  #counters(registry: Registry): void {
    const { counts } = this.#sources
    counter(registry, {
      name: 'keelson_maintenance_runs_total',
      help: 'Runs of maintenance jobs that ended, by how, and those that could not begin',
      labelNames: ['kind', 'result'],
      read: () => counts.runs().map(({ labels, count }) => [labels, count]),
    })
    counter(registry, {
      name: 'keelson_maintenance_items_total',
      help: 'What maintenance jobs went through, and what they did with it',
      labelNames: ['kind', 'deed'],
      read: () => counts.items().map(({ labels, count }) => [labels, count]),
    })
    counter(registry, {
      name: 'keelson_maintenance_bytes_total',
      help: 'Bytes that maintenance jobs went through, and of what they did something with',
      labelNames: ['kind', 'deed'],
      read: () => counts.bytes().map(({ labels, count }) => [labels, count]),
    })
  }
}
