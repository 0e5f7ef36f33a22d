// Which repository holds which blob, and until when it may without a manifest that references it.

import type { Digest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import { StorageError } from '../../error.ts'
import type { BlobLink } from '../contract.ts'
import type { KeyValueReader, KeyValueTransaction } from './contract.ts'
import {
  type BlobRecord,
  corrupt,
  decodeBlob,
  decodeLease,
  encodeBlob,
  encodeLease,
} from './encoding.ts'
import {
  below,
  blobKey,
  holderKey,
  holdersPrefix,
  leaseKey,
  linkKey,
  present,
  referencesPrefix,
} from './keys.ts'

/** What a repository says of a blob that it holds. */
interface Link {
  /** Undefined while a manifest references the blob. */
  readonly leaseUntilMs: number | undefined
}

export function readBlobRecord(reader: KeyValueReader, digest: Digest): BlobRecord | undefined {
  const key = blobKey(digest)
  const text = reader.get(key)
  return text === undefined ? undefined : decodeBlob(text, key)
}

export function readBlob(
  reader: KeyValueReader,
  repository: RepositoryName,
  digest: Digest,
): BlobLink | undefined {
  const link = readLink(reader, repository, digest)
  if (link === undefined) return undefined
  const record = readBlobRecord(reader, digest)
  if (record === undefined) throw corrupt(blobKey(digest))
  if (record.state !== 'live') return undefined
  const { leaseUntilMs } = link
  return {
    size: record.size,
    referenced: leaseUntilMs === undefined,
    leaseUntilMs: leaseUntilMs ?? 0,
  }
}

/** Errors: StorageError 'corrupt' where the blob is known with another size. */
export function linkBlob(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
  size: number,
  leaseUntilMs: number,
): void {
  const record = readBlobRecord(transaction, digest)
  if (record !== undefined && record.size !== size) {
    throw new StorageError(
      'corrupt',
      `${digest} is recorded with ${record.size} bytes, not ${size}`,
    )
  }
  // A repository holds it from now on, so the record itself keeps no lease; a condemned one lives again.
  if (record?.leaseUntilMs !== undefined) transaction.remove(leaseKey(record.leaseUntilMs, digest))
  if (record?.state !== 'live' || record.leaseUntilMs !== undefined) {
    transaction.put(blobKey(digest), encodeBlob({ size, state: 'live' }))
  }
  hold(transaction, repository, digest, leaseUntilMs)
}

export function mountBlob(
  transaction: KeyValueTransaction,
  source: RepositoryName,
  target: RepositoryName,
  digest: Digest,
  leaseUntilMs: number,
): boolean {
  if (readBlob(transaction, source, digest) === undefined) return false
  hold(transaction, target, digest, leaseUntilMs)
  return true
}

export function renewLease(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
  leaseUntilMs: number,
): boolean {
  if (readBlob(transaction, repository, digest) === undefined) return false
  hold(transaction, repository, digest, leaseUntilMs)
  return true
}

export function unlinkBlob(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
  leaseUntilMs: number,
): 'removed' | 'absent' | 'referenced' {
  const blob = readBlob(transaction, repository, digest)
  if (blob === undefined) return 'absent'
  if (blob.referenced) return 'referenced'
  transaction.remove(linkKey(repository, digest))
  transaction.remove(holderKey(digest, repository))
  transaction.remove(leaseKey(blob.leaseUntilMs, digest, repository))
  const isHeld = transaction.keys({ ...below(holdersPrefix(digest)), limit: 1 }).length > 0
  if (!isHeld) {
    transaction.put(blobKey(digest), encodeBlob({ size: blob.size, state: 'live', leaseUntilMs }))
    transaction.put(leaseKey(leaseUntilMs, digest), present)
  }
  return 'removed'
}

/** A manifest of the repository references the blob now: its lease ends. Nothing where it is absent. */
export function endLease(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
): void {
  const link = readLink(transaction, repository, digest)
  if (link?.leaseUntilMs === undefined) return
  transaction.remove(leaseKey(link.leaseUntilMs, digest, repository))
  transaction.put(linkKey(repository, digest), encodeLease(undefined))
}

/** No manifest of the repository references the blob any more. Nothing where it is absent. */
export function startLease(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
  leaseUntilMs: number,
): void {
  if (readLink(transaction, repository, digest) === undefined) return
  putLeasedLink(transaction, repository, digest, leaseUntilMs)
}

function hold(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
  leaseUntilMs: number,
): void {
  const link = readLink(transaction, repository, digest)
  if (link === undefined) {
    transaction.put(holderKey(digest, repository), present)
    // A sparse manifest may have named the blob before it came.
    const references = transaction.keys({
      ...below(referencesPrefix(repository, digest)),
      limit: 1,
    })
    if (references.length > 0) transaction.put(linkKey(repository, digest), encodeLease(undefined))
    else putLeasedLink(transaction, repository, digest, leaseUntilMs)
  } else if (link.leaseUntilMs !== undefined && link.leaseUntilMs < leaseUntilMs) {
    // Only ever later: another client may rely on the end that it was told of.
    transaction.remove(leaseKey(link.leaseUntilMs, digest, repository))
    putLeasedLink(transaction, repository, digest, leaseUntilMs)
  }
}

function putLeasedLink(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
  leaseUntilMs: number,
): void {
  transaction.put(linkKey(repository, digest), encodeLease(leaseUntilMs))
  transaction.put(leaseKey(leaseUntilMs, digest, repository), present)
}

function readLink(
  reader: KeyValueReader,
  repository: RepositoryName,
  digest: Digest,
): Link | undefined {
  const key = linkKey(repository, digest)
  const text = reader.get(key)
  return text === undefined ? undefined : { leaseUntilMs: decodeLease(text, key) }
}
