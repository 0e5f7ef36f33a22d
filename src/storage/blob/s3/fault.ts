// Faults of S3 as those of storage.

import { S3Fault } from '../../../s3/fault.ts'
import { StorageError } from '../../error.ts'

/** `what`: was tried. An object that changed or vanished under a reader is no absence: ask again. */
export function storageFault(what: string, cause: unknown): unknown {
  if (!(cause instanceof S3Fault)) return cause
  const kind = cause.kind === 'full' ? 'full' : 'unavailable'
  return new StorageError(kind, `${what}: ${cause.message}`, cause)
}

/** Errors: StorageError in place of S3Fault. */
export async function guarded<Value>(what: string, call: () => Promise<Value>): Promise<Value> {
  try {
    return await call()
  } catch (cause) {
    throw storageFault(what, cause)
  }
}
