// Where our own blobs lie, to tell a directory of others from it.

import { realpath } from 'node:fs/promises'
import { digestFromHex } from '../../oci/digest.ts'
import type { BlobStore } from '../../storage/blob/contract.ts'
import { dataKey } from '../../storage/blob/keys.ts'

/** Without symbolic links, nor a slash at the end; undefined where it is no directory. Errors: the system's own. */
export async function ownRoot(blobs: BlobStore): Promise<string | undefined> {
  const digest = digestFromHex('sha256', '0'.repeat(64))
  const target = blobs.readingTarget?.(digest)
  if (target?.kind !== 'fs') return undefined
  return realpath(target.path.slice(0, -dataKey(digest).length))
}
