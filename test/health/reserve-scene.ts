// Answers for a reserve over one file system that is a few numbers.

import type { TestContext } from 'node:test'
import type { ReserveFigures } from '../../src/health/contract.ts'
import { DiskReserve } from '../../src/health/disk-reserve.ts'

export interface FakeDisk {
  reserveMib: number
  freeMib: number
  received: number
  awaited: number
  files: number
  ffree: number
}

export interface ReserveScene {
  readonly reserve: DiskReserve
  /** Changed by the test; the next measurement sees it. */
  readonly disk: FakeDisk
  readonly changes: readonly ReserveFigures[]
}

export async function openPlainReserve(
  t: TestContext,
  start: Pick<FakeDisk, 'reserveMib' | 'freeMib'>,
): Promise<ReserveScene> {
  const disk: FakeDisk = { ...start, received: 0, awaited: 0, files: 0, ffree: 0 }
  const changes: ReserveFigures[] = []
  const reserve = await DiskReserve.open({
    places: [{ store: 'blobs', path: '/data' }],
    reserveBytes: () => disk.reserveMib << 20,
    taking: () => disk,
    onChange: (figures) => changes.push(figures),
    measure: async () => ({
      ...{ bsize: 1 << 20, blocks: 1000, bavail: disk.freeMib },
      ...{ files: disk.files, ffree: disk.ffree },
    }),
    deviceOf: async () => 1,
  })
  t.after(() => reserve.close())
  return { reserve, disk, changes }
}
