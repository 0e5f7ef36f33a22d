// Which repository holds which blob: links, references, and the same turned round.

import { type Digest, parseDigest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import { endLease, endOwnLease, isHeld, putHeld, putUnheld, startLease } from './blobs.ts'
import type { KeyValueTransaction } from './contract.ts'
import { decodeBlob, decodeLease, encodeBlob, encodeLease } from './encoding.ts'
import {
  below,
  blobKey,
  holderKey,
  holdersPrefix,
  lastPart,
  leaseKey,
  linkKey,
  manifestKey,
  present,
  referenceKey,
  referencesPrefix,
} from './keys.ts'
import { decoded, type Look } from './record-audit-look.ts'
import { doesName, dropReference } from './record-audit-manifests.ts'
import { readRevision } from './record-audit-revision.ts'

// Of the references to one blob in one repository. If none of them holds, the others are not believed to.
const referencesRead = 16

export function checkLink(
  look: Look,
  repository: RepositoryName,
  blob: Digest,
  value: string,
): void {
  const key = linkKey(repository, blob)
  checkRecord(look, repository, blob)
  const holder = holderKey(blob, repository)
  if (!look.has(holder)) {
    look.rememberHeld(blob)
    look.repairable('holder-missing', holder, (t) => putHolder(t, repository, blob))
  }
  const references = referencesIn(look, repository, blob)
  const lease = decoded(() => ({ untilMs: decodeLease(value, key) }))
  const { leaseUntilMs } = look
  if (lease === undefined) {
    look.repairable('record-unreadable', key, (t) => {
      if (references === 'valid') t.put(key, encodeLease(undefined))
      else restartLease(t, repository, blob, leaseUntilMs)
    })
    return
  }
  const { untilMs } = lease
  if (untilMs === undefined) {
    // Where all that are there are extra, the lease starts as they go.
    if (references !== 'none') return
    look.repairable('lease-missing', key, (t) => startLease(t, repository, blob, leaseUntilMs))
  } else if (references === 'valid') {
    look.repairable('lease-extra', key, (t) => endLease(t, repository, blob))
  } else {
    const index = leaseKey(untilMs, blob, repository)
    if (!look.has(index)) {
      look.repairable('lease-index-missing', index, (t) => t.put(index, present))
    }
  }
}

function putHolder(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  blob: Digest,
): void {
  transaction.put(holderKey(blob, repository), present)
  const key = blobKey(blob)
  const text = transaction.get(key)
  const record = text === undefined ? undefined : decoded(() => decodeBlob(text, key))
  if (record === undefined || record.leaseUntilMs === undefined) return
  const { size, state } = record
  if (state === 'live' || state === 'quarantined')
    putHeld(transaction, blob, record, { size, state })
}

function restartLease(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  blob: Digest,
  untilMs: number,
): void {
  transaction.put(linkKey(repository, blob), encodeLease(untilMs))
  transaction.put(leaseKey(untilMs, blob, repository), present)
}

/** A held blob without a record reads as absent until its bytes are looked at. */
function checkRecord(look: Look, repository: RepositoryName, blob: Digest): void {
  const key = blobKey(blob)
  if (look.has(key)) return
  // Told once, whatever the number of its holders.
  const prefix = holdersPrefix(blob)
  const [first] = look.reader.keys({ ...below(prefix), limit: 1 })
  if (first !== undefined && lastPart(first, prefix) < repository) return
  look.rememberRebuilt(blob)
  look.repairable('blob-record-missing', key, (t) => {
    const size = sizeNamed(look, repository, blob)
    t.put(key, encodeBlob({ size, state: 'quarantined' }))
  })
}

/** By the first manifest that names it; 0 where none does, until the bytes tell. */
export function sizeNamed(look: Look, repository: RepositoryName, blob: Digest): number {
  const prefix = referencesPrefix(repository, blob)
  for (const key of look.reader.keys({ ...below(prefix), limit: referencesRead })) {
    const manifest = parseDigest(lastPart(key, prefix))
    if (manifest === undefined) continue
    const mediaType = look.get(manifestKey(repository, manifest))
    const sight = readRevision(look, repository, manifest, mediaType)
    const size = typeof sight === 'string' ? undefined : sight.sizes.get(blob)
    if (size !== undefined) return size
  }
  return 0
}

/** `extra`: there are some, and none of them holds. */
function referencesIn(
  look: Look,
  repository: RepositoryName,
  blob: Digest,
): 'none' | 'valid' | 'extra' {
  const prefix = referencesPrefix(repository, blob)
  look.reads++
  const keys = look.reader.keys({ ...below(prefix), limit: referencesRead })
  if (keys.length === 0) return 'none'
  const isValid = keys.some((key) => {
    const manifest = parseDigest(lastPart(key, prefix))
    return manifest !== undefined && doesName(look, repository, manifest, blob, 'blob')
  })
  return isValid ? 'valid' : 'extra'
}

export function checkReference(
  look: Look,
  repository: RepositoryName,
  blob: Digest,
  manifest: Digest,
): void {
  if (doesName(look, repository, manifest, blob, 'blob')) return
  look.repairable('reference-extra', referenceKey(repository, blob, manifest), (t) =>
    dropReference(t, repository, blob, manifest, look.leaseUntilMs),
  )
}

export function checkHolder(look: Look, blob: Digest, repository: RepositoryName): void {
  const link = linkKey(repository, blob)
  if (look.has(link)) return
  const key = holderKey(blob, repository)
  // A link that was taken away has taken its holder with it, and none is while a manifest names the blob.
  if (referencesIn(look, repository, blob) === 'valid') {
    look.repairable('link-missing', link, (t) => t.put(link, encodeLease(undefined)))
    return
  }
  look.repairable('holder-extra', key, (t) => {
    t.remove(key)
    letGo(t, blob, look.leaseUntilMs)
  })
}

/** Where that was the last hold on it. */
function letGo(transaction: KeyValueTransaction, blob: Digest, leaseUntilMs: number): void {
  if (isHeld(transaction, blob)) return
  const key = blobKey(blob)
  const text = transaction.get(key)
  const record = text === undefined ? undefined : decoded(() => decodeBlob(text, key))
  if (record?.state !== 'live' && record?.state !== 'quarantined') return
  endOwnLease(transaction, blob, record)
  putUnheld(transaction, blob, record.size, leaseUntilMs, record.state)
}
