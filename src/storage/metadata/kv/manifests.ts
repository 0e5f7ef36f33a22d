// Manifest revisions and everything that stands or falls with them: references, referrers, the catalogue.

import assert from 'node:assert'
import type { Digest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import type { ManifestPut, ManifestPutResult, StoredManifest } from '../contract.ts'
import type { ImmutableTag, IsImmutable } from '../usage.ts'
import { awaitUse, endAwaiting } from './awaited.ts'
import { endLease, readBlob } from './blobs.ts'
import type { KeyValueReader, KeyValueTransaction } from './contract.ts'
import {
  corrupt,
  decodeContents,
  decodeDigest,
  encodeContents,
  encodeDescriptor,
  encodeTime,
  type ManifestContents,
} from './encoding.ts'
import {
  below,
  childKey,
  childrenPrefix,
  contentsKey,
  lastPart,
  manifestKey,
  present,
  pushedKey,
  referenceKey,
  referencesPrefix,
  referrerKey,
  repositoryKey,
  unusedKey,
} from './keys.ts'
import { isBodyQuarantined, putLostBody } from './quarantined-bodies.ts'
import { moveTag, readTag, tagsOf } from './tags.ts'
import { changeUsage, overQuota } from './usage.ts'

export function readManifest(
  reader: KeyValueReader,
  repository: RepositoryName,
  digest: Digest,
): StoredManifest | undefined {
  const key = manifestKey(repository, digest)
  const mediaType = reader.get(key)
  if (mediaType === undefined) return undefined
  const bytes = reader.getBody(key)
  if (bytes === undefined) {
    // Known to be lost: whoever has the manifest can push it again.
    if (isBodyQuarantined(reader, repository, digest)) return undefined
    throw corrupt(key)
  }
  return { digest, mediaType, bytes }
}

export function putManifest(transaction: KeyValueTransaction, put: ManifestPut): ManifestPutResult {
  const { repository, digest, quotas } = put
  const tags = [...new Set(put.tags)]
  const named = tags.map((tag) => ({ tag, from: readTag(transaction, repository, tag) }))
  for (const { tag, from } of named) {
    if (from === undefined || from === digest || !put.isImmutable(tag)) continue
    return { kind: 'immutable', tag, digest: from }
  }
  const digests = missingContent(transaction, put)
  if (digests.length > 0) return { kind: 'missing', digests }
  // The bytes of a digest never change, so what is there already keeps its references.
  const isNew = transaction.get(manifestKey(repository, digest)) === undefined
  const isLost = !isNew && transaction.bodyLength(manifestKey(repository, digest)) === undefined
  const bytes = isNew || isLost ? BigInt(put.bytes.length) : 0n
  const added = { bytes, tags: named.filter(({ from }) => from === undefined).length }
  const refusal = overQuota(transaction, quotas, added)
  if (refusal !== undefined) return refusal
  if (isNew) addRevision(transaction, put)
  else if (isLost) putLostBody(transaction, repository, digest, put.bytes)
  const { run, movedAtMs: atMs = put.nowMs } = { ...put.imported }
  const move = run === undefined ? { atMs } : { atMs, run }
  for (const tag of tags) moveTag(transaction, repository, tag, digest, move)
  // Whoever pushes it is about to use it.
  if (!isNew)
    for (const each of [digest, ...put.children]) forgetUnused(transaction, repository, each)
  if (tags.length === 0) awaitUse(transaction, repository, digest, put.nowMs)
  for (const { tag, from } of named) {
    // What is moved has its time in the history, but for an import: that is of another push.
    if (from === digest || put.imported !== undefined) {
      transaction.put(pushedKey(repository, tag), encodeTime(put.nowMs))
    }
  }
  changeUsage(transaction, repository, added)
  return { kind: 'stored' }
}

/** It is in use now, or about to be. */
export function forgetUnused(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
): void {
  const key = unusedKey(repository, digest)
  if (transaction.get(key) !== undefined) transaction.remove(key)
  endAwaiting(transaction, repository, digest)
}

/** An immutable tag that names the manifest, or an index above it: what a tag names stays whole. */
export function heldByTag(
  reader: KeyValueReader,
  repository: RepositoryName,
  digest: Digest,
  isImmutable: IsImmutable,
): ImmutableTag | undefined {
  // Grows while it is gone through.
  const above = new Set([digest])
  for (const each of above) {
    const tag = tagsOf(reader, repository, each).find(isImmutable)
    if (tag !== undefined) return { kind: 'immutable', tag, digest: each }
    const prefix = childrenPrefix(repository, each)
    for (const key of reader.keys(below(prefix)))
      above.add(decodeDigest(lastPart(key, prefix), key))
  }
  return undefined
}

function missingContent(reader: KeyValueReader, put: ManifestPut): Digest[] {
  const { repository, blobs, children } = put
  const missing = new Set<Digest>()
  // A condemned blob reads as absent, so a push that relies on it has to bring it again.
  for (const blob of put.allowMissingBlobs ? [] : blobs) {
    if (readBlob(reader, repository, blob) === undefined) missing.add(blob)
  }
  for (const child of put.allowMissingChildren ? [] : children) {
    if (reader.get(manifestKey(repository, child)) === undefined) missing.add(child)
  }
  return [...missing]
}

function addRevision(transaction: KeyValueTransaction, put: ManifestPut): void {
  const { repository, digest, mediaType, bytes, subject, descriptor } = put
  assert((subject === undefined) === (descriptor === undefined), 'a subject needs a descriptor')
  const contents: ManifestContents = {
    // Absent ones too: whoever brings them later finds them referenced.
    blobs: [...new Set([...put.blobs, ...put.optionalBlobs])],
    children: [...new Set(put.children)],
    ...(subject === undefined ? {} : { subject }),
  }
  const key = manifestKey(repository, digest)
  transaction.put(key, mediaType)
  transaction.putBody(key, bytes)
  transaction.put(contentsKey(repository, digest), encodeContents(contents))
  transaction.put(repositoryKey(repository), present)
  for (const blob of contents.blobs) {
    transaction.put(referenceKey(repository, blob, digest), present)
    endLease(transaction, repository, blob)
  }
  for (const child of contents.children) {
    transaction.put(childKey(repository, child, digest), present)
    forgetUnused(transaction, repository, child)
  }
  if (subject !== undefined && descriptor !== undefined) {
    transaction.put(referrerKey(repository, subject, digest), encodeDescriptor(descriptor))
  }
}

export function readContents(
  reader: KeyValueReader,
  repository: RepositoryName,
  digest: Digest,
): ManifestContents {
  const key = contentsKey(repository, digest)
  const text = reader.get(key)
  if (text === undefined) throw corrupt(key)
  return decodeContents(text, key)
}

export function isOnlyReference(
  reader: KeyValueReader,
  repository: RepositoryName,
  blob: Digest,
  manifest: Digest,
): boolean {
  const own = referenceKey(repository, blob, manifest)
  const keys = reader.keys({ ...below(referencesPrefix(repository, blob)), limit: 2 })
  return keys.every((key) => key === own)
}
