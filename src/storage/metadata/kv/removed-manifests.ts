// Manifests that were deleted and can still come back.

import type { Digest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import type { GarbageStore, RemovedManifest } from '../garbage.ts'
import { awaitUse, endAwaiting } from './awaited.ts'
import { endLease, hold, putHeld } from './blobs.ts'
import type { KeyValueReader, KeyValueTransaction } from './contract.ts'
import { type BlobRecord, corrupt, encodeContents } from './encoding.ts'
import { readRestorable } from './garbage.ts'
import { decodeTime, timedKey } from './garbage-encoding.ts'
import {
  before,
  below,
  childKey,
  contentsKey,
  lastPart,
  manifestKey,
  present,
  referenceKey,
  referrerKey,
  removalsPrefix,
  removedByTimeKey,
  removedKey,
  removedPrefix,
  repositoryKey,
} from './keys.ts'
import { forgetUnused } from './manifests.ts'
import { decodedRows, type OnCorrupt } from './passing-over.ts'
import { decodeRemoval, type RemovalRecord, removedManifest } from './removal-encoding.ts'
import { moveTag, readTag } from './tags.ts'
import { changeUsage } from './usage.ts'

export function listRemovedManifests(
  reader: KeyValueReader,
  page: { readonly beforeMs?: number; readonly after?: RemovedManifest; readonly limit: number },
  onCorrupt: OnCorrupt,
): RemovedManifest[] {
  const { beforeMs, after, limit } = page
  const afterKey = after && removedByTimeKey(after.atMs, after.digest, after.repository)
  return decodedRows(
    reader,
    before(removedPrefix, beforeMs, afterKey),
    limit,
    ({ key }) => {
      const { timeMs: atMs, digest, repository } = timedKey(key)
      if (repository === undefined) throw corrupt(key)
      const record = readRemoval(reader, repository, digest, atMs)
      if (record === undefined) throw corrupt(key)
      return removedManifest(repository, digest, atMs, record)
    },
    onCorrupt,
  )
}

export function findRemovedManifest(
  reader: KeyValueReader,
  repository: RepositoryName,
  digest: Digest,
): RemovedManifest | undefined {
  const prefix = removalsPrefix(repository, digest)
  const [last] = reader.entries({ ...below(prefix), reverse: true, limit: 1 })
  if (last === undefined) return undefined
  const record = decodeRemoval(last.value, last.key)
  return removedManifest(
    repository,
    digest,
    decodeTime(lastPart(last.key, prefix), last.key),
    record,
  )
}

export function forgetRemovedManifests(
  transaction: KeyValueTransaction,
  removed: readonly Pick<RemovedManifest, 'repository' | 'digest' | 'atMs'>[],
): void {
  for (const { repository, digest, atMs } of removed) {
    const key = removedKey(repository, digest, atMs)
    transaction.remove(key)
    transaction.removeBody(key)
    transaction.remove(removedByTimeKey(atMs, digest, repository))
  }
}

export function restoreManifest(
  transaction: KeyValueTransaction,
  { repository, digest, atMs }: RemovedManifest,
  by: Parameters<GarbageStore['restoreManifest']>[1],
): Awaited<ReturnType<GarbageStore['restoreManifest']>> {
  const record = readRemoval(transaction, repository, digest, atMs)
  if (record === undefined) return { kind: 'absent' }
  const isThere = transaction.get(manifestKey(repository, digest)) !== undefined
  if (!isThere) {
    const body = transaction.getBody(removedKey(repository, digest, atMs))
    if (body === undefined) throw corrupt(removedKey(repository, digest, atMs))
    const found = findContents(transaction, repository, record)
    if (found.missing.length > 0) return { kind: 'missing', digests: found.missing }
    const revision = { repository, digest, record, body }
    restoreRevision(transaction, revision, found.blobs, by.leaseUntilMs)
    // A tag, or an index that lists it, may come back right after it.
    awaitUse(transaction, repository, digest, by.nowMs)
  }
  const tags = [...new Set(by.tags)].filter(
    (tag) => readTag(transaction, repository, tag) === undefined,
  )
  for (const tag of tags) moveTag(transaction, repository, tag, digest, { atMs: by.nowMs })
  if (tags.length > 0) endAwaiting(transaction, repository, digest)
  const bytes = isThere ? 0n : BigInt(record.size)
  changeUsage(transaction, repository, { bytes, tags: tags.length })
  forgetRemovedManifests(transaction, [{ repository, digest, atMs }])
  return { kind: 'restored', tags }
}

function readRemoval(
  reader: KeyValueReader,
  repository: RepositoryName,
  digest: Digest,
  atMs: number,
): RemovalRecord | undefined {
  const key = removedKey(repository, digest, atMs)
  const text = reader.get(key)
  return text === undefined ? undefined : decodeRemoval(text, key)
}

interface FoundBlob {
  readonly digest: Digest
  readonly record: BlobRecord
}

/** What was in the repository when the manifest went, and has to be somewhere now. */
function findContents(
  reader: KeyValueReader,
  repository: RepositoryName,
  { contents, lacking }: RemovalRecord,
): { readonly missing: Digest[]; readonly blobs: FoundBlob[] } {
  const missing: Digest[] = []
  const blobs: FoundBlob[] = []
  const lacked = new Set(lacking)
  for (const digest of contents.blobs.filter((blob) => !lacked.has(blob))) {
    const found = readRestorable(reader, digest)
    // One that is quarantined has to be pushed again, as one that is gone.
    if (found === 'gone' || found.state !== 'live') missing.push(digest)
    else blobs.push({ digest, record: found.record })
  }
  for (const child of contents.children.filter((child) => !lacked.has(child))) {
    if (reader.get(manifestKey(repository, child)) === undefined) missing.push(child)
  }
  return { missing, blobs }
}

interface Revision {
  readonly repository: RepositoryName
  readonly digest: Digest
  readonly record: RemovalRecord
  readonly body: Uint8Array
}

function restoreRevision(
  transaction: KeyValueTransaction,
  { repository, digest, record, body }: Revision,
  held: readonly FoundBlob[],
  leaseUntilMs: number,
): void {
  const { mediaType, contents, descriptor } = record
  const key = manifestKey(repository, digest)
  transaction.put(key, mediaType)
  transaction.putBody(key, body)
  transaction.put(contentsKey(repository, digest), encodeContents(contents))
  transaction.put(repositoryKey(repository), present)
  for (const blob of contents.blobs) {
    transaction.put(referenceKey(repository, blob, digest), present)
  }
  for (const blob of held) {
    const { size } = blob.record
    putHeld(transaction, blob.digest, blob.record, { size, state: 'live' })
    hold(transaction, repository, blob.digest, size, leaseUntilMs)
  }
  for (const blob of contents.blobs) endLease(transaction, repository, blob)
  for (const child of contents.children) {
    transaction.put(childKey(repository, child, digest), present)
    forgetUnused(transaction, repository, child)
  }
  if (contents.subject !== undefined && descriptor !== undefined) {
    transaction.put(referrerKey(repository, contents.subject, digest), descriptor)
  }
}
