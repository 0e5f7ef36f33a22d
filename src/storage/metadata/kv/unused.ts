// What a sweep sees of the manifests of a repository, and since when it has found them unused.

import type { Digest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import type { ManifestSummary } from '../garbage.ts'
import type { KeyValueEntry, KeyValueReader, KeyValueTransaction } from './contract.ts'
import { corrupt, decodeCount, decodeDigest, encodeTime } from './encoding.ts'
import { below, childrenPrefix, lastPart, manifestKey, manifestsPrefix, unusedKey } from './keys.ts'
import { readContents } from './manifests.ts'
import { decodedRows, type OnCorrupt } from './passing-over.ts'
import { tagsOf } from './tags.ts'

export function listManifests(
  reader: KeyValueReader,
  repository: RepositoryName,
  page: { readonly after?: Digest; readonly limit: number },
  onCorrupt: OnCorrupt,
): ManifestSummary[] {
  const prefix = manifestsPrefix(repository)
  const decode = ({ key, value: mediaType }: KeyValueEntry): ManifestSummary => {
    const digest = decodeDigest(lastPart(key, prefix), key)
    const size = reader.bodyLength(key)
    if (size === undefined) throw corrupt(key)
    const { blobs, children, subject } = readContents(reader, repository, digest)
    const unusedSinceMs = readUnusedSince(reader, repository, digest)
    return {
      ...{ digest, mediaType, size, children, blobs },
      tags: tagsOf(reader, repository, digest),
      isListed: isListed(reader, repository, digest),
      ...(subject === undefined ? {} : { subject }),
      ...(unusedSinceMs === undefined ? {} : { unusedSinceMs }),
    }
  }
  return decodedRows(reader, below(prefix, page.after), page.limit, decode, onCorrupt)
}

/** Whether an index of the repository names it. */
export function isListed(
  reader: KeyValueReader,
  repository: RepositoryName,
  digest: Digest,
): boolean {
  return reader.keys({ ...below(childrenPrefix(repository, digest)), limit: 1 }).length > 0
}

export function markUnused(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  marks: { readonly unused: readonly Digest[]; readonly used: readonly Digest[] },
  nowMs: number,
): void {
  for (const digest of marks.unused) {
    const key = unusedKey(repository, digest)
    if (transaction.get(key) !== undefined) continue
    if (transaction.get(manifestKey(repository, digest)) === undefined) continue
    transaction.put(key, encodeTime(nowMs))
  }
  for (const digest of marks.used) transaction.remove(unusedKey(repository, digest))
}

export function readUnusedSince(
  reader: KeyValueReader,
  repository: RepositoryName,
  digest: Digest,
): number | undefined {
  const key = unusedKey(repository, digest)
  const text = reader.get(key)
  return text === undefined ? undefined : decodeCount(text, key)
}
