// Walks the tree by streaming directory reads, and passes over whatever is not ours.

import type { Dirent } from 'node:fs'
import { opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, type DigestAlgorithm, parseDigest } from '../../../oci/digest.ts'
import { parseUploadId, type UploadId } from '../../../oci/upload-id.ts'
import { algorithmKey, dataKey, digestAlgorithms } from '../keys.ts'
import { storageError, systemCode } from './file-call.ts'

/** Errors: StorageError 'unavailable'. */
export async function* listUploads(path: string): AsyncGenerator<UploadId> {
  for await (const entry of entries(path)) {
    const upload = entry.isFile() ? parseUploadId(entry.name) : undefined
    if (upload !== undefined) yield upload
  }
}

/** `sizeOf` answers undefined where a path is absent. Errors: as `sizeOf`; StorageError 'unavailable'. */
export async function* listBlobs(
  root: string,
  sizeOf: (path: string, digest: Digest) => Promise<number | undefined>,
): AsyncGenerator<{ readonly digest: Digest; readonly size: number }> {
  for (const algorithm of digestAlgorithms) {
    for await (const digest of listDigests(root, algorithm)) {
      const size = await sizeOf(join(root, dataKey(digest)), digest)
      if (size !== undefined) yield { digest, size }
    }
  }
}

async function* listDigests(root: string, algorithm: DigestAlgorithm): AsyncGenerator<Digest> {
  const parent = join(root, algorithmKey(algorithm))
  for await (const prefix of entries(parent)) {
    if (!prefix.isDirectory()) continue
    for await (const entry of entries(join(parent, prefix.name))) {
      const digest = entry.isDirectory() ? parseDigest(`${algorithm}:${entry.name}`) : undefined
      // A blob under another prefix than its own would not be found there.
      if (digest !== undefined && entry.name.startsWith(prefix.name)) yield digest
    }
  }
}

async function* entries(path: string): AsyncGenerator<Dirent> {
  try {
    // Closes itself, also where the consumer stops early.
    yield* await opendir(path)
  } catch (error) {
    // A directory that a reclaimer removed meanwhile.
    if (systemCode(error) !== 'ENOENT') throw storageError(`list ${path}`, error)
  }
}
