// Whether the disks have room for a push, so that it is refused before its bytes and while nothing is lost.

import { OciError } from '../oci/error.ts'

/** What the disks have left for pushes. */
export interface DiskRoom {
  /** Whether a push of so many bytes, as far as that is known, may begin. */
  admits(bytes: number): boolean
  /** Whether a push that has begun may go on. */
  mayGoOn(): boolean
}

interface WithDiskRoom {
  /** Without it only a disk that is really full refuses. */
  readonly diskRoom?: DiskRoom | undefined
}

// In seconds: somebody has to delete something first, or to bring a larger disk.
const retryAfter = '30'

/** Units: bytes. Errors: OciError STORAGE_FULL (507). */
export function requireDiskRoom({ diskRoom }: WithDiskRoom, bytes: number): void {
  if (diskRoom?.admits(bytes) === false) throw diskRoomRefusal()
}

/** For what takes no bytes but those that are here already. Errors: OciError STORAGE_FULL (507). */
export function requireDiskToGoOn({ diskRoom }: WithDiskRoom): void {
  if (diskRoom?.mayGoOn() === false) throw diskRoomRefusal()
}

export function diskRoomRefusal(cause?: unknown): OciError {
  return new OciError('STORAGE_FULL', { headers: [['Retry-After', retryAfter]], cause })
}
