// Manifest revisions and everything that stands or falls with them: references, referrers, the catalogue.

import assert from 'node:assert'
import type { Digest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import type { ManifestPut, ManifestPutResult, StoredManifest } from '../contract.ts'
import { endLease, readBlob, startLease } from './blobs.ts'
import type { KeyValueReader, KeyValueTransaction } from './contract.ts'
import {
  corrupt,
  decodeContents,
  encodeContents,
  encodeDescriptor,
  type ManifestContents,
} from './encoding.ts'
import {
  below,
  childKey,
  contentsKey,
  manifestKey,
  manifestsPrefix,
  present,
  referenceKey,
  referencesPrefix,
  referrerKey,
  repositoryKey,
} from './keys.ts'
import { moveTag, removeTag, tagsOf } from './tags.ts'

export function readManifest(
  reader: KeyValueReader,
  repository: RepositoryName,
  digest: Digest,
): StoredManifest | undefined {
  const key = manifestKey(repository, digest)
  const mediaType = reader.get(key)
  if (mediaType === undefined) return undefined
  const bytes = reader.getBody(key)
  if (bytes === undefined) throw corrupt(key)
  return { digest, mediaType, bytes }
}

export function putManifest(transaction: KeyValueTransaction, put: ManifestPut): ManifestPutResult {
  const { repository, digest } = put
  const digests = missingContent(transaction, put)
  if (digests.length > 0) return { kind: 'missing', digests }
  // The bytes of a digest never change, so what is there already keeps its references.
  const isNew = transaction.get(manifestKey(repository, digest)) === undefined
  if (isNew) addRevision(transaction, put)
  for (const tag of new Set(put.tags)) moveTag(transaction, repository, tag, digest, put.nowMs)
  return { kind: 'stored' }
}

export function deleteManifest(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
  nowMs: number,
  leaseUntilMs: number,
): boolean {
  const key = manifestKey(repository, digest)
  if (transaction.get(key) === undefined) return false
  const { blobs, children, subject } = readContents(transaction, repository, digest)
  // Looked up before anything is written, since a range over own writes costs more.
  const released = blobs.filter((blob) => isOnlyReference(transaction, repository, blob, digest))
  for (const tag of tagsOf(transaction, repository, digest)) {
    removeTag(transaction, repository, tag, nowMs)
  }
  transaction.remove(key)
  transaction.removeBody(key)
  transaction.remove(contentsKey(repository, digest))
  for (const blob of blobs) transaction.remove(referenceKey(repository, blob, digest))
  for (const blob of released) startLease(transaction, repository, blob, leaseUntilMs)
  for (const child of children) transaction.remove(childKey(repository, child, digest))
  if (subject !== undefined) transaction.remove(referrerKey(repository, subject, digest))
  const others = transaction.keys({ ...below(manifestsPrefix(repository)), limit: 1 })
  if (others.length === 0) transaction.remove(repositoryKey(repository))
  return true
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
  }
  if (subject !== undefined && descriptor !== undefined) {
    transaction.put(referrerKey(repository, subject, digest), encodeDescriptor(descriptor))
  }
}

function readContents(
  reader: KeyValueReader,
  repository: RepositoryName,
  digest: Digest,
): ManifestContents {
  const key = contentsKey(repository, digest)
  const text = reader.get(key)
  if (text === undefined) throw corrupt(key)
  return decodeContents(text, key)
}

function isOnlyReference(
  reader: KeyValueReader,
  repository: RepositoryName,
  blob: Digest,
  manifest: Digest,
): boolean {
  const own = referenceKey(repository, blob, manifest)
  const keys = reader.keys({ ...below(referencesPrefix(repository, blob)), limit: 2 })
  return keys.every((key) => key === own)
}
