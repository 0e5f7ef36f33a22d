// Which repository holds which blob, and until when it may without a manifest that references it.

import type { Digest } from '../../../oci/digest.ts'
import { parseRepositoryName, type RepositoryName } from '../../../oci/name.ts'
import { StorageError } from '../../error.ts'
import type { BlobLink } from '../contract.ts'
import type { OverQuota, Quota } from '../usage.ts'
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
  droppedKey,
  holderKey,
  holdersPrefix,
  lastPart,
  leaseKey,
  linkKey,
  present,
  referencesPrefix,
} from './keys.ts'
import { changeUsage, overQuota } from './usage.ts'

/** What a repository says of a blob that it holds. */
export interface Link {
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

/**
 * 'busy' while the blob is being destroyed.
 * Errors: StorageError 'corrupt' where the blob is known with another size.
 */
export function linkBlob(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
  size: number,
  leaseUntilMs: number,
  quotas: readonly Quota[],
): 'linked' | 'busy' | OverQuota {
  const record = readBlobRecord(transaction, digest)
  if (record?.state === 'destroying') return 'busy'
  if (record !== undefined && record.size !== size && record.state !== 'quarantined') {
    throw new StorageError(
      'corrupt',
      `${digest} is recorded with ${record.size} bytes, not ${size}`,
    )
  }
  const refusal = roomRefusal(transaction, repository, digest, size, quotas)
  if (refusal !== undefined) {
    // The bytes are under their digest already; by its lease garbage collection finds them.
    if (record === undefined) putUnheld(transaction, digest, size, leaseUntilMs)
    return refusal
  }
  // Of a quarantined one nobody may have known the size.
  if (record !== undefined) changeSize(transaction, digest, size - record.size)
  // These are its bytes again, so one that was condemned or out of the way lives again.
  putHeld(transaction, digest, record, { size, state: 'live' })
  hold(transaction, repository, digest, size, leaseUntilMs)
  return 'linked'
}

/** Each of its holders has grown by so many bytes. */
function changeSize(transaction: KeyValueTransaction, digest: Digest, bytes: number): void {
  if (bytes === 0) return
  const prefix = holdersPrefix(digest)
  for (const key of transaction.keys(below(prefix))) {
    const repository = parseRepositoryName(lastPart(key, prefix))
    if (repository === undefined) continue
    changeUsage(transaction, repository, { bytes: BigInt(bytes), tags: 0 })
  }
}

/** A repository holds it from now on: the record itself has no lease, and is not condemned. */
export function putHeld(
  transaction: KeyValueTransaction,
  digest: Digest,
  before: BlobRecord | undefined,
  record: { readonly size: number; readonly state: 'live' | 'quarantined' },
): void {
  const isSame = before?.state === record.state && before.size === record.size
  if (isSame && before.leaseUntilMs === undefined) return
  endOwnLease(transaction, digest, before)
  transaction.put(blobKey(digest), encodeBlob(record))
}

/** The rows, by their time, of a blob that no repository holds: its lease, or that it is condemned. */
export function endOwnLease(
  transaction: KeyValueTransaction,
  digest: Digest,
  record: BlobRecord | undefined,
): void {
  if (record?.leaseUntilMs !== undefined) transaction.remove(leaseKey(record.leaseUntilMs, digest))
  if (record?.condemnedAtMs !== undefined) {
    transaction.remove(droppedKey(record.condemnedAtMs, digest))
  }
}

export function mountBlob(
  transaction: KeyValueTransaction,
  source: RepositoryName,
  target: RepositoryName,
  digest: Digest,
  leaseUntilMs: number,
  quotas: readonly Quota[],
): 'mounted' | 'absent' | OverQuota {
  const blob = readBlob(transaction, source, digest)
  if (blob === undefined) return 'absent'
  const refusal = roomRefusal(transaction, target, digest, blob.size, quotas)
  if (refusal !== undefined) return refusal
  hold(transaction, target, digest, blob.size, leaseUntilMs)
  return 'mounted'
}

export function renewLease(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
  leaseUntilMs: number,
): boolean {
  const blob = readBlob(transaction, repository, digest)
  if (blob === undefined) return false
  hold(transaction, repository, digest, blob.size, leaseUntilMs)
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
  release(transaction, repository, digest, blob)
  if (!isHeld(transaction, digest)) putUnheld(transaction, digest, blob.size, leaseUntilMs)
  return 'removed'
}

/** The repository, whose lease it is, holds the blob no more. */
export function release(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
  link: { readonly size: number; readonly leaseUntilMs: number },
): void {
  transaction.remove(linkKey(repository, digest))
  transaction.remove(holderKey(digest, repository))
  transaction.remove(leaseKey(link.leaseUntilMs, digest, repository))
  changeUsage(transaction, repository, { bytes: -BigInt(link.size), tags: 0 })
}

/** Whether any repository holds the blob. */
export function isHeld(reader: KeyValueReader, digest: Digest): boolean {
  return reader.keys({ ...below(holdersPrefix(digest)), limit: 1 }).length > 0
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

/** What is there already needs no room. */
function roomRefusal(
  reader: KeyValueReader,
  repository: RepositoryName,
  digest: Digest,
  size: number,
  quotas: readonly Quota[],
): OverQuota | undefined {
  if (quotas.length === 0 || readLink(reader, repository, digest) !== undefined) return undefined
  return overQuota(reader, quotas, { bytes: BigInt(size), tags: 0 })
}

/** The blob store has it, no repository does. */
export function putUnheld(
  transaction: KeyValueTransaction,
  digest: Digest,
  size: number,
  leaseUntilMs: number,
  state: 'live' | 'quarantined' = 'live',
): void {
  transaction.put(blobKey(digest), encodeBlob({ size, state, leaseUntilMs }))
  transaction.put(leaseKey(leaseUntilMs, digest), present)
}

/** Its record is there, and live or about to be. Counts what is new to the repository. */
export function hold(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
  size: number,
  leaseUntilMs: number,
): void {
  const link = readLink(transaction, repository, digest)
  if (link === undefined) {
    changeUsage(transaction, repository, { bytes: BigInt(size), tags: 0 })
    transaction.put(holderKey(digest, repository), present)
    // A sparse manifest may have named the blob before it came.
    if (isReferenced(transaction, repository, digest)) {
      transaction.put(linkKey(repository, digest), encodeLease(undefined))
    } else putLeasedLink(transaction, repository, digest, leaseUntilMs)
  } else if (link.leaseUntilMs !== undefined && link.leaseUntilMs < leaseUntilMs) {
    // Only ever later: another client may rely on the end that it was told of.
    transaction.remove(leaseKey(link.leaseUntilMs, digest, repository))
    putLeasedLink(transaction, repository, digest, leaseUntilMs)
  }
}

/** Whether a manifest of the repository names the blob, be it there or not. */
export function isReferenced(
  reader: KeyValueReader,
  repository: RepositoryName,
  digest: Digest,
): boolean {
  return reader.keys({ ...below(referencesPrefix(repository, digest)), limit: 1 }).length > 0
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

/** Live or not. */
export function readLink(
  reader: KeyValueReader,
  repository: RepositoryName,
  digest: Digest,
): Link | undefined {
  const key = linkKey(repository, digest)
  const text = reader.get(key)
  return text === undefined ? undefined : { leaseUntilMs: decodeLease(text, key) }
}
