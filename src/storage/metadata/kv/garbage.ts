// What nobody needs any more: dropped from repositories, condemned, brought back, or destroyed.

import type { Digest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import { StorageError } from '../../error.ts'
import type { Destroying, Dropped, EndedLease, LeaseOutcome } from '../garbage.ts'
import {
  endLease,
  endOwnLease,
  hold,
  isHeld,
  isReferenced,
  putHeld,
  putUnheld,
  readBlobRecord,
  readLink,
  release,
} from './blobs.ts'
import type { KeyValueReader, KeyValueTransaction } from './contract.ts'
import {
  type BlobRecord,
  corrupt,
  decodeDestruction,
  decodeDigest,
  decodeLease,
  encodeBlob,
  encodeDestruction,
} from './encoding.ts'
import {
  type DroppedRecord,
  decodeDropped,
  droppedOfRow,
  encodeDropped,
  leaseOfKey,
} from './garbage-encoding.ts'
import {
  adoptionKey,
  before,
  below,
  blobKey,
  destructionKey,
  destructionsPrefix,
  droppedKey,
  droppedOf,
  droppedPrefix,
  holderKey,
  holdersPrefix,
  lastPart,
  leaseKey,
  leasesPrefix,
  linkKey,
} from './keys.ts'
import { decodeRepository } from './lists.ts'
import { decodedRows, type OnCorrupt, passingOver } from './passing-over.ts'
import { changeUsage } from './usage.ts'

export function listEndedLeases(
  reader: KeyValueReader,
  page: { readonly beforeMs: number; readonly after?: EndedLease; readonly limit: number },
  onCorrupt: OnCorrupt,
): EndedLease[] {
  const { beforeMs, after, limit } = page
  const afterKey = after && leaseKey(after.untilMs, after.digest, after.repository)
  const range = before(leasesPrefix, beforeMs, afterKey)
  return decodedRows(reader, range, limit, ({ key }) => leaseOfKey(key), onCorrupt)
}

export function listDropped(
  reader: KeyValueReader,
  page: { readonly beforeMs?: number; readonly after?: Dropped; readonly limit: number },
  onCorrupt: OnCorrupt,
): Dropped[] {
  const { beforeMs, after, limit } = page
  const afterKey = after && droppedKey(after.atMs, after.digest, after.repository)
  const range = before(droppedPrefix, beforeMs, afterKey)
  const decode = ({ key, value }: { key: string; value: string }): Dropped =>
    droppedOfRow(key, value)
  return decodedRows(reader, range, limit, decode, onCorrupt)
}

interface By {
  readonly nowMs: number
  readonly run: string
}

export function condemn(
  transaction: KeyValueTransaction,
  leases: readonly EndedLease[],
  by: By,
  onCorrupt: OnCorrupt,
): LeaseOutcome[] {
  return leases.map((lease) => {
    if (lease.untilMs >= by.nowMs) return 'kept'
    const { repository } = lease
    return repository === undefined
      ? condemnUnheld(transaction, lease, by, onCorrupt)
      : condemnLink(transaction, repository, lease, by, onCorrupt)
  })
}

function condemnLink(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  { digest, untilMs }: EndedLease,
  by: By,
  onCorrupt: OnCorrupt,
): LeaseOutcome {
  const read = passingOver(() => {
    const link = readLink(transaction, repository, digest)
    const record = readBlobRecord(transaction, digest)
    if (link !== undefined && record === undefined) throw corrupt(blobKey(digest))
    return { link, record }
  }, onCorrupt)
  if (read === undefined) return 'kept'
  const { link, record } = read
  if (record === undefined || link?.leaseUntilMs !== untilMs) {
    // Renewed or gone, so its row, should it still be there, is of nothing.
    transaction.remove(leaseKey(untilMs, digest, repository))
    return 'kept'
  }
  if (isReferenced(transaction, repository, digest)) {
    endLease(transaction, repository, digest)
    return 'kept'
  }
  release(transaction, repository, digest, { size: record.size, leaseUntilMs: untilMs })
  const dropped = { size: record.size, run: by.run }
  transaction.put(droppedKey(by.nowMs, digest, repository), encodeDropped(dropped))
  if (isHeld(transaction, digest) || !isBytes(record)) return 'unlinked'
  putCondemned(transaction, digest, record, by)
  return 'condemned'
}

function condemnUnheld(
  transaction: KeyValueTransaction,
  { digest, untilMs }: EndedLease,
  by: By,
  onCorrupt: OnCorrupt,
): LeaseOutcome {
  const read = passingOver(() => ({ record: readBlobRecord(transaction, digest) }), onCorrupt)
  if (read === undefined) return 'kept'
  const { record } = read
  if (record === undefined || !isBytes(record) || record.leaseUntilMs !== untilMs) {
    transaction.remove(leaseKey(untilMs, digest))
    return 'kept'
  }
  if (isHeld(transaction, digest)) {
    putHeld(transaction, digest, record, record)
    return 'kept'
  }
  putCondemned(transaction, digest, record, by)
  return 'condemned'
}

/** A record whose bytes are there, or put aside; not one that is condemned already. */
type Bytes = BlobRecord & { readonly state: 'live' | 'quarantined' }

function isBytes(record: BlobRecord): record is Bytes {
  return record.state === 'live' || record.state === 'quarantined'
}

function putCondemned(
  transaction: KeyValueTransaction,
  digest: Digest,
  record: Bytes,
  { nowMs, run }: By,
): void {
  const { size, state } = record
  endOwnLease(transaction, digest, record)
  transaction.put(blobKey(digest), encodeBlob({ size, state: 'condemned', condemnedAtMs: nowMs }))
  const dropped: DroppedRecord = { size, run }
  const wasQuarantined = state === 'quarantined'
  transaction.put(
    droppedKey(nowMs, digest),
    encodeDropped(wasQuarantined ? { ...dropped, wasQuarantined } : dropped),
  )
}

export function restoreDropped(
  transaction: KeyValueTransaction,
  dropped: readonly Dropped[],
  leaseUntilMs: number,
  onCorrupt: OnCorrupt,
): ('restored' | 'absent')[] {
  return dropped.map(({ atMs, digest, repository }) => {
    const read = passingOver(() => readRestorable(transaction, digest), onCorrupt)
    const key = droppedKey(atMs, digest, repository)
    if (read === undefined || transaction.get(key) === undefined) return 'absent'
    transaction.remove(key)
    if (read === 'gone') return 'absent'
    const { record, state } = read
    const { size } = record
    if (repository !== undefined) {
      if (transaction.get(linkKey(repository, digest)) !== undefined) return 'absent'
      putHeld(transaction, digest, record, { size, state })
      hold(transaction, repository, digest, size, leaseUntilMs)
      return 'restored'
    }
    if (record.state !== 'condemned' || record.condemnedAtMs !== atMs) return 'absent'
    if (isHeld(transaction, digest)) putHeld(transaction, digest, record, { size, state })
    else putUnheld(transaction, digest, size, leaseUntilMs, state)
    return 'restored'
  })
}

/** What a blob is when it is condemned no more; 'gone' where its bytes are, or are about to be. */
export function readRestorable(
  reader: KeyValueReader,
  digest: Digest,
): { readonly record: BlobRecord; readonly state: 'live' | 'quarantined' } | 'gone' {
  const record = readBlobRecord(reader, digest)
  if (record === undefined || record.state === 'destroying') return 'gone'
  if (isBytes(record)) return { record, state: record.state }
  const { condemnedAtMs } = record
  if (condemnedAtMs === undefined) return { record, state: 'live' }
  const key = droppedKey(condemnedAtMs, digest)
  const text = reader.get(key)
  const was = text === undefined ? undefined : decodeDropped(text, key)
  return { record, state: was?.wasQuarantined ? 'quarantined' : 'live' }
}

/** What lies at its key may be damaged: in the tree of another registry nothing is taken out of the way. */
export function isDoubtful(reader: KeyValueReader, digest: Digest): boolean {
  const read = readRestorable(reader, digest)
  return read !== 'gone' && read.state === 'quarantined'
}

export function beginDestroy(
  transaction: KeyValueTransaction,
  dropped: readonly Dropped[],
  beganAtMs: number | undefined,
  onCorrupt: OnCorrupt,
): { digest: Digest; size: number }[] {
  if (transaction.get(adoptionKey) !== undefined) {
    throw new StorageError('conflict', 'the blobs lie in the tree of another registry')
  }
  const begun: { digest: Digest; size: number }[] = []
  for (const { atMs, digest, repository } of dropped) {
    if (repository !== undefined) {
      transaction.remove(droppedKey(atMs, digest, repository))
      continue
    }
    const read = passingOver(() => readRestorable(transaction, digest), onCorrupt)
    if (read === undefined) continue
    transaction.remove(droppedKey(atMs, digest))
    if (read === 'gone' || read.record.condemnedAtMs !== atMs) continue
    const { size } = read.record
    if (isHeld(transaction, digest)) {
      // Condemned in error, and nothing is lost yet.
      putHeld(transaction, digest, read.record, { size, state: read.state })
      continue
    }
    for (const key of transaction.keys(droppedOf(atMs, digest))) transaction.remove(key)
    transaction.put(blobKey(digest), encodeBlob({ size, state: 'destroying' }))
    transaction.put(destructionKey(digest), encodeDestruction(size, beganAtMs))
    begun.push({ digest, size })
  }
  return begun
}

export function renewDestroy(
  transaction: KeyValueTransaction,
  digests: readonly Digest[],
  beganAtMs: number,
): Destroying[] {
  return digests.flatMap((digest) => {
    const record = readBlobRecord(transaction, digest)
    if (record?.state !== 'destroying') return []
    const { size } = record
    transaction.put(destructionKey(digest), encodeDestruction(size, beganAtMs))
    return [{ digest, size, beganAtMs }]
  })
}

export function endDestroy(transaction: KeyValueTransaction, digests: readonly Digest[]): void {
  for (const digest of digests) {
    const record = readBlobRecord(transaction, digest)
    transaction.remove(destructionKey(digest))
    if (record?.state !== 'destroying') continue
    transaction.remove(blobKey(digest))
    dropHolders(transaction, digest, record.size)
  }
}

/** There are none, unless the store is damaged: then nothing may go on naming what is gone. */
function dropHolders(transaction: KeyValueTransaction, digest: Digest, size: number): void {
  const prefix = holdersPrefix(digest)
  for (const key of transaction.keys(below(prefix))) {
    const repository = decodeRepository(lastPart(key, prefix), key)
    const link = linkKey(repository, digest)
    const text = transaction.get(link)
    transaction.remove(holderKey(digest, repository))
    if (text === undefined) continue
    const untilMs = decodeLease(text, link)
    if (untilMs !== undefined) transaction.remove(leaseKey(untilMs, digest, repository))
    transaction.remove(link)
    changeUsage(transaction, repository, { bytes: -BigInt(size), tags: 0 })
  }
}

export function listDestroying(
  reader: KeyValueReader,
  limit: number,
  after: Digest | undefined,
  onCorrupt: OnCorrupt,
): Destroying[] {
  return decodedRows(
    reader,
    below(destructionsPrefix, after),
    limit,
    ({ key, value }) => {
      const digest = decodeDigest(lastPart(key, destructionsPrefix), key)
      return { digest, ...decodeDestruction(value, key) }
    },
    onCorrupt,
  )
}
