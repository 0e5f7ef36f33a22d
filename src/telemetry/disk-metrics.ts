// Metrics of the disks that the stores are on, and of the reserve on them.

import type { Registry } from 'prom-client'
import { counter, gauge, single } from './readings.ts'

/** One file system. */
export interface DiskReading {
  /** Which stores lie on it: `blobs`, `metadata`, or both. */
  readonly stores: readonly string[]
  readonly freeBytes: number
  readonly sizeBytes: number
  /** Undefined where the file system has no bound on files. */
  readonly inodes: number | undefined
  readonly freeInodes: number | undefined
}

export interface ReserveReading {
  /** Those that answer. */
  readonly disks: readonly DiskReading[]
  readonly reserveBytes: number
  /** Pushes are refused at the moment. */
  readonly isLow: boolean
  readonly refused: number
}

// All processes see the same disks, each at its own moment.
export function registerDiskMetrics(registry: Registry, read: () => ReserveReading): void {
  for (const [name, help, aggregator, value] of [
    ['bytes', 'Size of the disk that a store is on', 'max', 'sizeBytes'],
    ['free_bytes', 'Room on the disk that a store is on', 'min', 'freeBytes'],
    ['inodes', 'Files that this disk can hold; absent where it has no bound', 'max', 'inodes'],
    ['free_inodes', 'Files that it can still take', 'min', 'freeInodes'],
  ] as const) {
    gauge(registry, {
      ...{ name: `keelson_disk_${name}`, help, labelNames: ['store'], aggregator },
      read: () =>
        read().disks.flatMap((disk) =>
          disk.stores.flatMap((store) => {
            const found = disk[value]
            return found === undefined ? [] : [[{ store }, found] as const]
          }),
        ),
    })
  }
  gauge(registry, {
    name: 'keelson_disk_reserve_bytes',
    help: 'Room below which no push begins: storage.reserve; 0 for none',
    aggregator: 'max',
    read: single(() => read().reserveBytes),
  })
  gauge(registry, {
    name: 'keelson_disk_reserve_reached',
    help: '1 while pushes are refused for want of room',
    aggregator: 'max',
    read: single(() => (read().isLow ? 1 : 0)),
  })
  counter(registry, {
    name: 'keelson_disk_refusals_total',
    help: 'Pushes that were refused for want of room',
    read: single(() => read().refused),
  })
}
