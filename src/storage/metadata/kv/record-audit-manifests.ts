// Manifests and all that is made from them: contents, references, children, referrers, the catalogue.

import type { Digest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import { endLease, startLease } from './blobs.ts'
import type { KeyValueTransaction } from './contract.ts'
import {
  decodeContents,
  decodeDescriptor,
  encodeContents,
  type ManifestContents,
} from './encoding.ts'
import {
  below,
  childKey,
  contentsKey,
  manifestKey,
  present,
  quarantinedBodyKey,
  referenceKey,
  referencesPrefix,
  referrerKey,
  repositoryKey,
  tagsOfDigestPrefix,
} from './keys.ts'
import { isBodyQuarantined, quarantineBody } from './quarantined-bodies.ts'
import { decoded, type Look } from './record-audit-look.ts'
import {
  type BodySight,
  type Revision,
  readRevision,
  sameContents,
} from './record-audit-revision.ts'

export function checkManifest(
  look: Look,
  repository: RepositoryName,
  digest: Digest,
  mediaType: string,
): void {
  const key = manifestKey(repository, digest)
  const catalogue = repositoryKey(repository)
  if (!look.has(catalogue)) {
    look.repairable('catalogue-missing', catalogue, (t) => t.put(catalogue, present))
  }
  const sight = readRevision(look, repository, digest, mediaType)
  if (sight === 'missing' || sight === 'corrupt') checkLost(look, repository, digest, sight)
  const revision = typeof sight === 'string' ? undefined : sight
  if (revision !== undefined && revision.mediaType !== mediaType) {
    look.repairable('media-type-wrong', key, (t) => t.put(key, revision.mediaType))
  }
  const recorded = checkContents(look, repository, digest, revision)
  const contents = revision?.contents ?? recorded
  if (contents !== undefined) checkNamed(look, repository, digest, contents)
  if (revision !== undefined) checkReferrer(look, repository, digest, revision)
}

function checkLost(
  look: Look,
  repository: RepositoryName,
  digest: Digest,
  sight: 'missing' | 'corrupt',
): void {
  if (sight === 'missing' && isBodyQuarantined(look.reader, repository, digest)) {
    look.want(repository, digest)
    return
  }
  const kind = sight === 'missing' ? 'body-missing' : 'body-corrupt'
  const key = manifestKey(repository, digest)
  const putAside = (t: KeyValueTransaction): void => quarantineBody(t, repository, digest)
  look.setAside(kind, key, putAside, { repository, digest })
}

/** What is recorded of it, where that can be read. */
function checkContents(
  look: Look,
  repository: RepositoryName,
  digest: Digest,
  revision: Revision | undefined,
): ManifestContents | undefined {
  const key = contentsKey(repository, digest)
  const text = look.get(key)
  const recorded = text === undefined ? undefined : decoded(() => decodeContents(text, key))
  const kind =
    text === undefined
      ? 'contents-missing'
      : recorded === undefined
        ? 'record-unreadable'
        : 'contents-wrong'
  if (revision === undefined) {
    if (recorded === undefined) look.hopeless(kind, key)
    return recorded
  }
  if (recorded !== undefined && sameContents(recorded, revision.contents)) return recorded
  look.repairable(kind, key, (t) => {
    t.put(key, encodeContents(revision.contents))
    if (recorded !== undefined) dropOthers(t, look, repository, digest, recorded, revision.contents)
  })
  return recorded
}

/** What was made from contents that were wrong. */
function dropOthers(
  transaction: KeyValueTransaction,
  look: Look,
  repository: RepositoryName,
  digest: Digest,
  wrong: ManifestContents,
  right: ManifestContents,
): void {
  for (const blob of wrong.blobs.filter((each) => !right.blobs.includes(each))) {
    dropReference(transaction, repository, blob, digest, look.leaseUntilMs)
  }
  for (const child of wrong.children.filter((each) => !right.children.includes(each))) {
    transaction.remove(childKey(repository, child, digest))
  }
  if (wrong.subject !== undefined && wrong.subject !== right.subject) {
    transaction.remove(referrerKey(repository, wrong.subject, digest))
  }
}

/** The lease starts that the last of them has kept from running. */
export function dropReference(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  blob: Digest,
  manifest: Digest,
  leaseUntilMs: number,
): void {
  const key = referenceKey(repository, blob, manifest)
  const prefix = referencesPrefix(repository, blob)
  const others = transaction.keys({ ...below(prefix), limit: 2 }).filter((other) => other !== key)
  transaction.remove(key)
  if (others.length === 0) startLease(transaction, repository, blob, leaseUntilMs)
}

function checkNamed(
  look: Look,
  repository: RepositoryName,
  digest: Digest,
  { blobs, children }: ManifestContents,
): void {
  for (const blob of blobs) {
    const key = referenceKey(repository, blob, digest)
    if (look.has(key)) continue
    look.repairable('reference-missing', key, (t) => {
      t.put(key, present)
      endLease(t, repository, blob)
    })
  }
  for (const child of children) {
    const key = childKey(repository, child, digest)
    if (!look.has(key)) look.repairable('child-missing', key, (t) => t.put(key, present))
  }
}

function checkReferrer(
  look: Look,
  repository: RepositoryName,
  digest: Digest,
  { contents, descriptor }: Revision,
): void {
  if (contents.subject === undefined || descriptor === undefined) return
  const key = referrerKey(repository, contents.subject, digest)
  const text = look.get(key)
  if (text === descriptor) return
  const kind =
    text === undefined
      ? 'referrer-missing'
      : decoded(() => decodeDescriptor(text, key)) === undefined
        ? 'record-unreadable'
        : 'referrer-wrong'
  look.repairable(kind, key, (t) => t.put(key, descriptor))
}

/** Of contents: the manifest that they are of is there, or can be again. */
export function checkOwner(look: Look, repository: RepositoryName, digest: Digest): void {
  if (look.has(manifestKey(repository, digest))) return
  const sight = readRevision(look, repository, digest, undefined)
  if (typeof sight !== 'string') {
    tellLostRecord(look, repository, digest, sight)
    return
  }
  // What a tag names is missed, and its check tells of it.
  if (isTagged(look, repository, digest)) return
  const key = contentsKey(repository, digest)
  look.repairable('contents-extra', key, (t) => t.remove(key))
}

/** Everything of a deletion happens at once, so bytes and contents, or bytes and a tag, were not deleted. */
export function tellLostRecord(
  look: Look,
  repository: RepositoryName,
  digest: Digest,
  revision: Revision,
): void {
  look.repairable('manifest-record-missing', manifestKey(repository, digest), (t) =>
    putRevision(t, repository, digest, revision, look.leaseUntilMs),
  )
}

/** All that follows from the bytes of a manifest, which are there. Idempotent. */
export function putRevision(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  digest: Digest,
  { mediaType, contents, descriptor }: Revision,
  leaseUntilMs: number,
): void {
  const key = contentsKey(repository, digest)
  const text = transaction.get(key)
  const before = text === undefined ? undefined : decoded(() => decodeContents(text, key))
  transaction.put(manifestKey(repository, digest), mediaType)
  transaction.put(repositoryKey(repository), present)
  transaction.put(key, encodeContents(contents))
  for (const blob of before?.blobs ?? []) {
    if (contents.blobs.includes(blob)) continue
    dropReference(transaction, repository, blob, digest, leaseUntilMs)
  }
  for (const blob of contents.blobs) {
    transaction.put(referenceKey(repository, blob, digest), present)
    endLease(transaction, repository, blob)
  }
  for (const child of contents.children) {
    transaction.put(childKey(repository, child, digest), present)
  }
  if (contents.subject !== undefined && descriptor !== undefined) {
    transaction.put(referrerKey(repository, contents.subject, digest), descriptor)
  }
}

export function isTagged(look: Look, repository: RepositoryName, digest: Digest): boolean {
  look.reads++
  return look.reader.keys({ ...below(tagsOfDigestPrefix(repository, digest)), limit: 1 }).length > 0
}

/**
 * Whether the manifest names it, as blob, child or subject. True where its records do not tell, since their
 * own checks do.
 */
export function doesName(
  look: Look,
  repository: RepositoryName,
  manifest: Digest,
  named: Digest,
  as: 'blob' | 'child' | 'subject',
): boolean {
  const key = contentsKey(repository, manifest)
  const text = look.get(key)
  const isRecorded = look.has(manifestKey(repository, manifest))
  if (text === undefined && isRecorded) return true
  // Far quicker than to read all of it; wrong only where the same digest is named as something else.
  if (text?.includes(named) && isRecorded) return true
  const sight: BodySight = readRevision(look, repository, manifest, undefined)
  const isKept = isRecorded || text !== undefined || isTagged(look, repository, manifest)
  if (typeof sight !== 'string') return isKept && names(sight.contents, named, as)
  if (text === undefined || (!isRecorded && !isTagged(look, repository, manifest))) return false
  const recorded = decoded(() => decodeContents(text, key))
  return recorded === undefined || names(recorded, named, as)
}

function names(
  { blobs, children, subject }: ManifestContents,
  named: Digest,
  as: 'blob' | 'child' | 'subject',
): boolean {
  if (as === 'subject') return subject === named
  return (as === 'blob' ? blobs : children).includes(named)
}

/** Of a body that is out of the way: its manifest is there, and has none. */
export function checkQuarantinedBody(look: Look, repository: RepositoryName, digest: Digest): void {
  const manifest = manifestKey(repository, digest)
  if (look.has(manifest) && look.reader.bodyLength(manifest) === undefined) return
  const key = quarantinedBodyKey(repository, digest)
  look.repairable('quarantine-extra', key, (t) => {
    t.remove(key)
    t.removeBody(key)
  })
}
