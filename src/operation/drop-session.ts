// Ends an upload session that nobody can go on with.

import type { UploadId } from '../oci/upload-id.ts'
import type { Registry } from './registry.ts'

/** Record, place in the table and staged bytes. A fault is reported, not thrown: expiry comes by later. */
export async function dropSession(id: UploadId, registry: Registry): Promise<void> {
  registry.uploads.close(id)
  try {
    await registry.metadata.removeUpload(id)
    await registry.blobs.discard(id)
  } catch (error) {
    registry.onBackgroundFault('drop upload session', error)
  }
}
