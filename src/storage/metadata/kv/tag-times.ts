// When tags were last pushed and pulled.

import type { Digest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import type { Tag } from '../../../oci/tag.ts'
import type { Pull, TagTimes } from '../tag-times.ts'
import type { KeyValueReader, KeyValueTransaction } from './contract.ts'
import { decodeCount, decodeDigest, encodeTime } from './encoding.ts'
import { below, lastPart, manifestKey, pulledKey, pushedKey, tagKey, tagsPrefix } from './keys.ts'
import { decodedRows, type OnCorrupt } from './passing-over.ts'
import { decodeTag, readTagHistory } from './tags.ts'

export function recordPulls(transaction: KeyValueTransaction, pulls: readonly Pull[]): void {
  for (const { repository, reference, atMs } of pulls) {
    const named = isDigest(reference)
      ? manifestKey(repository, reference)
      : tagKey(repository, reference)
    if (transaction.get(named) === undefined) continue
    const key = pulledKey(repository, reference)
    const lastMs = readTime(transaction, key)
    if (lastMs === undefined || lastMs < atMs) transaction.put(key, encodeTime(atMs))
  }
}

/** A tag has no colon. */
function isDigest(reference: Tag | Digest): reference is Digest {
  return reference.includes(':')
}

export function listTagTimes(
  reader: KeyValueReader,
  repository: RepositoryName,
  page: { readonly after?: string; readonly limit: number },
  onCorrupt: OnCorrupt,
): TagTimes[] {
  const prefix = tagsPrefix(repository)
  return decodedRows(
    reader,
    below(prefix, page.after),
    page.limit,
    ({ key, value }) => {
      const tag = decodeTag(lastPart(key, prefix), key)
      const digest = decodeDigest(value, key)
      return readTimesOf(reader, repository, tag, digest)
    },
    onCorrupt,
  )
}

export function readTimesOf(
  reader: KeyValueReader,
  repository: RepositoryName,
  tag: Tag,
  digest: Digest,
): TagTimes {
  const [move] = readTagHistory(reader, repository, tag, 1)
  const pushedAtMs = later(move?.atMs, readTime(reader, pushedKey(repository, tag)))
  const pulledAtMs = later(
    readPulledAt(reader, repository, tag),
    readPulledAt(reader, repository, digest),
  )
  return {
    ...{ tag, digest },
    ...(pushedAtMs === undefined ? {} : { pushedAtMs }),
    ...(pulledAtMs === undefined ? {} : { pulledAtMs }),
  }
}

export function readPulledAt(
  reader: KeyValueReader,
  repository: RepositoryName,
  reference: Tag | Digest,
): number | undefined {
  return readTime(reader, pulledKey(repository, reference))
}

function readTime(reader: KeyValueReader, key: string): number | undefined {
  const text = reader.get(key)
  return text === undefined ? undefined : decodeCount(text, key)
}

function later(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other
  return Math.max(one, other)
}
