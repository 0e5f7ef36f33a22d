// What lies at the place of a blob that a restore or a migration is about to fill: from an earlier attempt, or damaged.

import { type Digest, digestAlgorithm } from '../oci/digest.ts'
import { newUploadId } from '../oci/upload-id.ts'
import type { IngestPool } from '../offload/contract.ts'
import type { BlobStore } from '../storage/blob/contract.ts'
import { StorageError } from '../storage/error.ts'

export interface WantedBlob {
  readonly digest: Digest
  /** Units: bytes. */
  readonly size: number
}

/**
 * 'right': it is there, whole and for good, as after a publish. What is not what its digest says is moved out of the way,
 * 'absent'; but where a removal could come late it stays, 'wrong', to be replaced. Errors: StorageError but 'corrupt'.
 */
export async function clearPlace(
  blobs: BlobStore,
  ingest: Pick<IngestPool, 'rehash'>,
  { digest, size }: WantedBlob,
  randomUuid: () => string,
): Promise<'right' | 'wrong' | 'absent'> {
  const found = await orDamaged(blobs.size(digest))
  if (found === undefined) return 'absent'
  const source = blobs.readingTarget?.(digest)
  const is =
    source === undefined || found !== size
      ? undefined
      : await orDamaged(ingest.rehash(source, size, digestAlgorithm(digest)))
  if (is === digest) {
    // Whoever put it there may have died before its name was durable, or the keys were listed that it needs.
    await blobs.publish(newUploadId(randomUuid), digest, size)
    return 'right'
  }
  if (blobs.removalsLateMs !== undefined) return 'wrong'
  await blobs.quarantine(digest)
  return 'absent'
}

/** An encrypted file that was changed has no size and no digest. */
async function orDamaged<T>(asked: Promise<T>): Promise<T | 'damaged'> {
  try {
    return await asked
  } catch (error) {
    if (error instanceof StorageError && error.kind === 'corrupt') return 'damaged'
    throw error
  }
}
