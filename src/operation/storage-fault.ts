// StorageError → OciError, once, at this border.

import { OciError } from '../oci/error.ts'
import { StorageError } from '../storage/error.ts'
import { diskRoomRefusal } from './disk-room.ts'

/** What the client is told of a fault of storage; undefined where the error is something else. */
export function storageFault(error: unknown): OciError | undefined {
  if (!(error instanceof StorageError)) return undefined
  switch (error.kind) {
    case 'full':
      return diskRoomRefusal(error)
    case 'unavailable':
      return new OciError('UNAVAILABLE', { cause: error, headers: [['Retry-After', '5']] })
    case 'frozen':
      return new OciError('READ_ONLY', { headers: [['Retry-After', '30']] })
    case 'conflict':
      return new OciError('BLOB_UPLOAD_INVALID', {
        status: 409,
        message: 'another request changed this at the same time',
        cause: error,
      })
    case 'corrupt':
      return new OciError('INTERNAL', { cause: error })
  }
}
