// What a scrub changes once it has looked at bytes: blobs put out of the way, settled, manifests healed.

import type { Digest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import type { RecordAudit } from '../record-audit.ts'
import { isHeld, putHeld, putUnheld } from './blobs.ts'
import type { KeyValueReader, KeyValueTransaction } from './contract.ts'
import { decodeBlob, encodeBlob } from './encoding.ts'
import { decodeDropped, encodeDropped } from './garbage-encoding.ts'
import { below, blobKey, droppedKey, manifestKey, tagsOfDigestPrefix } from './keys.ts'
import { putLostBody } from './quarantined-bodies.ts'
import { decoded } from './record-audit-look.ts'
import { putRevision } from './record-audit-manifests.ts'
import { revisionOf } from './record-audit-revision.ts'
import { changeUsage } from './usage.ts'

type Answer<Method extends keyof RecordAudit> = Awaited<ReturnType<RecordAudit[Method]>>

export function quarantineBlob(
  transaction: KeyValueTransaction,
  digest: Digest,
  isThere: () => boolean,
  unknown?: { readonly size: number; readonly leaseUntilMs: number },
): Answer<'quarantineBlob'> {
  const key = blobKey(digest)
  const text = transaction.get(key)
  const record = text === undefined ? undefined : decoded(() => decodeBlob(text, key))
  if (record === undefined) {
    if (unknown === undefined) return 'unchanged'
    const { size, leaseUntilMs } = unknown
    if (isHeld(transaction, digest))
      transaction.put(key, encodeBlob({ size, state: 'quarantined' }))
    else putUnheld(transaction, digest, size, leaseUntilMs, 'quarantined')
    return 'quarantined'
  }
  // Under the lock of all writers, so that no push can have linked what is not there.
  if (isThere()) return 'there'
  if (record.state === 'live') {
    transaction.put(key, encodeBlob({ ...record, state: 'quarantined' }))
    return 'quarantined'
  }
  if (record.state !== 'condemned' || record.condemnedAtMs === undefined) return 'unchanged'
  const dropped = droppedKey(record.condemnedAtMs, digest)
  const row = transaction.get(dropped)
  const was = row === undefined ? undefined : decoded(() => decodeDropped(row, dropped))
  if (was === undefined || was.wasQuarantined) return 'unchanged'
  transaction.put(dropped, encodeDropped({ ...was, wasQuarantined: true }))
  return 'quarantined'
}

export function settleBlob(
  transaction: KeyValueTransaction,
  { digest, size, leaseUntilMs, isThere }: Parameters<RecordAudit['settleBlob']>[0],
): Answer<'settleBlob'> {
  if (!isThere()) return 'absent'
  const key = blobKey(digest)
  const text = transaction.get(key)
  const record = text === undefined ? undefined : decoded(() => decodeBlob(text, key))
  if (record === undefined) {
    if (isHeld(transaction, digest)) transaction.put(key, encodeBlob({ size, state: 'live' }))
    else putUnheld(transaction, digest, size, leaseUntilMs)
    return 'recorded'
  }
  const { state } = record
  if (state === 'destroying') return 'unchanged'
  if (state === 'quarantined') {
    const lease = record.leaseUntilMs
    if (lease === undefined) putHeld(transaction, digest, record, { size, state: 'live' })
    else transaction.put(key, encodeBlob({ size, state: 'live', leaseUntilMs: lease }))
    return 'revived'
  }
  if (record.size === size) return 'unchanged'
  transaction.put(key, encodeBlob({ ...record, size }))
  return 'resized'
}

export function healManifest(
  transaction: KeyValueTransaction,
  { repository, digest, bytes, leaseUntilMs }: Parameters<RecordAudit['healManifest']>[0],
): Answer<'healManifest'> {
  const key = manifestKey(repository, digest)
  const mediaType = transaction.get(key)
  const revision = revisionOf(digest, bytes, mediaType)
  if (typeof revision === 'string') return 'unfit'
  if (mediaType === undefined && !isTagged(transaction, repository, digest)) return 'unwanted'
  const body = transaction.getBody(key)
  if (body !== undefined) {
    const isRight = revisionOf(digest, body, mediaType) !== 'corrupt'
    if (mediaType !== undefined && isRight) return 'unchanged'
  }
  putLostBody(transaction, repository, digest, bytes)
  putRevision(transaction, repository, digest, revision, leaseUntilMs)
  const added = BigInt(bytes.length) - BigInt(body?.length ?? 0)
  changeUsage(transaction, repository, { bytes: added, tags: 0 })
  return 'healed'
}

function isTagged(reader: KeyValueReader, repository: RepositoryName, digest: Digest): boolean {
  return reader.keys({ ...below(tagsOfDigestPrefix(repository, digest)), limit: 1 }).length > 0
}
