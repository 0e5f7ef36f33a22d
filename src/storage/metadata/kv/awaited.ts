// Manifests that were pushed by digest and that nothing has used since: whoever pushed one may be about to push
// the index that lists it, as clients do with images of several platforms.

import type { Digest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import type { Removal } from '../garbage.ts'
import type { KeyValueReader, KeyValueTransaction } from './contract.ts'
import { decodeCount, encodeTime } from './encoding.ts'
import { pushedKey } from './keys.ts'

export function awaitUse(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
  nowMs: number,
): void {
  transaction.put(pushedKey(repository, digest), encodeTime(nowMs))
}

/** Nothing where it is not awaited. */
export function endAwaiting(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
): void {
  const key = pushedKey(repository, digest)
  if (transaction.get(key) !== undefined) transaction.remove(key)
}

/** For as long as blobs that were pushed without it would wait. */
export function isAwaited(
  reader: KeyValueReader,
  repository: RepositoryName,
  digest: Digest,
  { leaseUntilMs, nowMs }: Pick<Removal, 'leaseUntilMs' | 'nowMs'>,
): boolean {
  const key = pushedKey(repository, digest)
  const text = reader.get(key)
  return text !== undefined && nowMs < decodeCount(text, key) + (leaseUntilMs - nowMs)
}
