// The room on disks that pushes leave alone.

import type { Config } from '../config/schema.ts'
import { type DiskPlace, DiskReserve } from '../health/disk-reserve.ts'
import type { IngestPool } from '../offload/contract.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Closers } from './closers.ts'

export interface OpenReserve {
  readonly disks: DiskReserve
  /** Changed in place by a reload. */
  bytes: number
}

/** Resolves when the disks have been measured once. */
export async function openReserve(
  config: Config,
  ingest: Pick<IngestPool, 'taking'>,
  log: Logger,
  closers: Closers,
): Promise<OpenReserve> {
  const live = { bytes: config.storage.reserveBytes }
  const disks = await DiskReserve.open({
    places: placesOf(config),
    reserveBytes: () => live.bytes,
    taking: () => ingest.taking,
    onChange: ({ disks, isLow, reserveBytes }) => {
      if (isLow) {
        log.error(
          { disks, reserveBytes },
          'storage.reserve is reached: pushes are refused with 507',
        )
      } else log.warn({ disks, reserveBytes }, 'there is room again: pushes are taken')
    },
  })
  closers.add(() => disks.close())
  return Object.assign(live, { disks })
}

function placesOf({ blobStore, metadataStore }: Config): readonly DiskPlace[] {
  const places: DiskPlace[] = []
  if (blobStore.kind === 'fs') places.push({ store: 'blobs', path: blobStore.rootDir })
  if (metadataStore.kind === 'lmdb') places.push({ store: 'metadata', path: metadataStore.path })
  return places
}
