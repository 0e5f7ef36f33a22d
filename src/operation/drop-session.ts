// Ends an upload session that nobody can go on with.

import type { UploadId } from '../oci/upload-id.ts'
import type { UploadRecord } from '../storage/metadata/contract.ts'
import type { Registry } from './registry.ts'

/** The staged bytes of a session whose record is gone, and what the threads keep for it. */
export function discardStaged(id: UploadId, { blobs, ingest }: Registry): Promise<void> {
  ingest.forget(blobs.stagedTarget(id))
  return blobs.discard(id)
}

/**
 * Record, place in the table and staged bytes. A fault is reported, not thrown: expiry comes by later. What another process
 * has claimed meanwhile is left to it.
 */
export async function dropSession(
  { id, fence }: Pick<UploadRecord, 'id' | 'fence'>,
  registry: Registry,
): Promise<void> {
  registry.uploads.close(id)
  try {
    await registry.metadata.removeUpload(id, fence)
    await discardStaged(id, registry)
  } catch (error) {
    registry.onBackgroundFault('drop upload session', error)
  }
}
