// Manifests that go: by a client, by a sweep that finds them unused, or with the tags that no rule keeps.

import type { Digest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import type { Tag } from '../../../oci/tag.ts'
import type { Removal } from '../garbage.ts'
import type { FreedTags, TagTimes } from '../tag-times.ts'
import type { ImmutableTag, IsImmutable } from '../usage.ts'
import { endAwaiting, isAwaited } from './awaited.ts'
import { startLease } from './blobs.ts'
import type { KeyValueReader, KeyValueTransaction } from './contract.ts'
import type { ManifestContents } from './encoding.ts'
import {
  below,
  childKey,
  contentsKey,
  linkKey,
  manifestKey,
  manifestsPrefix,
  present,
  pulledKey,
  referenceKey,
  referrerKey,
  removedByTimeKey,
  removedKey,
  repositoryKey,
  unusedKey,
} from './keys.ts'
import { heldByTag, isOnlyReference, readContents } from './manifests.ts'
import { forgetQuarantinedBody } from './quarantined-bodies.ts'
import { encodeRemoval } from './removal-encoding.ts'
import { readPulledAt, readTimesOf } from './tag-times.ts'
import { readTag, removeTag, tagsOf } from './tags.ts'
import { isListed, readUnusedSince } from './unused.ts'
import { changeUsage } from './usage.ts'

export function deleteManifest(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
  by: Removal & { readonly isKept: boolean },
  isImmutable?: IsImmutable,
): 'removed' | 'absent' | ImmutableTag {
  if (transaction.get(manifestKey(repository, digest)) === undefined) return 'absent'
  const held = isImmutable && heldByTag(transaction, repository, digest, isImmutable)
  if (held !== undefined) return held
  const tags = tagsOf(transaction, repository, digest)
  removeRevision(transaction, repository, digest, tags, by)
  return 'removed'
}

export function removeUnused(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
  by: Removal & { readonly tags?: readonly Tag[]; readonly unusedBeforeMs?: number },
): 'removed' | 'absent' | 'used' {
  const { tags: mayGo = [], unusedBeforeMs } = by
  if (transaction.get(manifestKey(repository, digest)) === undefined) return 'absent'
  const tags = tagsOf(transaction, repository, digest)
  if (tags.some((tag) => !mayGo.includes(tag))) return 'used'
  if (isListed(transaction, repository, digest)) return 'used'
  if (unusedBeforeMs === undefined) {
    if (isAwaited(transaction, repository, digest, by)) return 'used'
  } else {
    const sinceMs = readUnusedSince(transaction, repository, digest)
    const pulledAtMs = readPulledAt(transaction, repository, digest) ?? 0
    if (sinceMs === undefined || Math.max(sinceMs, pulledAtMs) >= unusedBeforeMs) return 'used'
    if (refersToPresent(transaction, repository, digest)) return 'used'
  }
  removeRevision(transaction, repository, digest, tags, by)
  return 'removed'
}

export function freeTags(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
  seen: readonly TagTimes[],
  by: Removal & { readonly isImmutable?: IsImmutable },
): FreedTags {
  const tags = seen
    .filter((times) => isAsSeen(transaction, repository, digest, times))
    .map(({ tag }) => tag)
    .filter((tag, i, all) => all.indexOf(tag) === i && by.isImmutable?.(tag) !== true)
  const isThere = transaction.get(manifestKey(repository, digest)) !== undefined
  const others = tagsOf(transaction, repository, digest).filter((tag) => !tags.includes(tag))
  const isUsed =
    tags.length === 0 ||
    others.length > 0 ||
    isListed(transaction, repository, digest) ||
    isAwaited(transaction, repository, digest, by) ||
    (isThere && refersToPresent(transaction, repository, digest))
  if (isThere && !isUsed) {
    removeRevision(transaction, repository, digest, tags.toSorted(), by)
    return { tags, manifest: 'removed' }
  }
  for (const tag of tags) removeTag(transaction, repository, tag, by.nowMs)
  changeUsage(transaction, repository, { bytes: 0n, tags: -tags.length })
  return { tags, manifest: isThere ? 'used' : 'absent' }
}

/** It is among the referrers of a manifest that is there. */
function refersToPresent(
  reader: KeyValueReader,
  repository: RepositoryName,
  digest: Digest,
): boolean {
  const { subject } = readContents(reader, repository, digest)
  return subject !== undefined && reader.get(manifestKey(repository, subject)) !== undefined
}

function isAsSeen(
  reader: KeyValueReader,
  repository: RepositoryName,
  digest: Digest,
  { tag, pushedAtMs, pulledAtMs }: TagTimes,
): boolean {
  if (readTag(reader, repository, tag) !== digest) return false
  const now = readTimesOf(reader, repository, tag, digest)
  return now.pushedAtMs === pushedAtMs && now.pulledAtMs === pulledAtMs
}

/**
 * `tags` are all that name it. It is kept, and counted no more, until its restore window is over; not where
 * `isKept` is false.
 */
function removeRevision(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
  tags: readonly Tag[],
  by: Removal & { readonly isKept?: boolean },
): void {
  const { nowMs, leaseUntilMs, isKept = true } = by
  const key = manifestKey(repository, digest)
  const size = transaction.bodyLength(key) ?? 0
  const contents = readContents(transaction, repository, digest)
  const { blobs, children, subject } = contents
  // Looked up before anything is written, since a range over own writes costs more.
  const released = blobs.filter((blob) => isOnlyReference(transaction, repository, blob, digest))
  if (isKept) keepRemoved(transaction, repository, digest, contents, { ...by, tags })
  for (const tag of tags) removeTag(transaction, repository, tag, nowMs)
  transaction.remove(key)
  transaction.removeBody(key)
  forgetQuarantinedBody(transaction, repository, digest)
  transaction.remove(contentsKey(repository, digest))
  transaction.remove(unusedKey(repository, digest))
  transaction.remove(pulledKey(repository, digest))
  endAwaiting(transaction, repository, digest)
  for (const blob of blobs) transaction.remove(referenceKey(repository, blob, digest))
  for (const blob of released) startLease(transaction, repository, blob, leaseUntilMs)
  for (const child of children) transaction.remove(childKey(repository, child, digest))
  if (subject !== undefined) transaction.remove(referrerKey(repository, subject, digest))
  const others = transaction.keys({ ...below(manifestsPrefix(repository)), limit: 1 })
  if (others.length === 0) transaction.remove(repositoryKey(repository))
  changeUsage(transaction, repository, { bytes: -BigInt(size), tags: -tags.length })
}

function keepRemoved(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
  contents: ManifestContents,
  { nowMs, run, tags }: Removal & { readonly tags: readonly Tag[] },
): void {
  const key = manifestKey(repository, digest)
  const mediaType = transaction.get(key)
  const body = transaction.getBody(key)
  // Without its bytes there is nothing that could come back.
  if (mediaType === undefined || body === undefined) return
  const { blobs, children, subject } = contents
  const descriptor = subject && transaction.get(referrerKey(repository, subject, digest))
  const isAbsent = (of: string): boolean => transaction.get(of) === undefined
  const lacking = [
    ...blobs.filter((blob) => isAbsent(linkKey(repository, blob))),
    ...children.filter((child) => isAbsent(manifestKey(repository, child))),
  ]
  const removed = removedKey(repository, digest, nowMs)
  transaction.put(
    removed,
    encodeRemoval({
      ...{ mediaType, size: body.length, tags, contents, lacking },
      ...(descriptor === undefined ? {} : { descriptor }),
      ...(run === undefined ? {} : { run }),
    }),
  )
  transaction.putBody(removed, body)
  transaction.put(removedByTimeKey(nowMs, digest, repository), present)
}
