// The key tree of a store: every key is built here, and taken apart here.
//
//   b!<digest>                               blob: size, state, lease of one that no repository holds
//   l!<digest>!<repository>                  the repository holds the blob: its lease, none while referenced
//   g!<time>!<digest>!<repository>           leases by their end, for GC; no repository: nobody holds the blob
//   f!<repository>!<blob>!<manifest>         the manifest references the blob
//   c!<repository>!<child>!<index>           the index references the child manifest
//   m!<repository>!<digest>                  manifest: its media type; its body has the same key among bodies
//   x!<repository>!<digest>                  what the manifest names, to undo it without parsing the body
//   n!<repository>                           the repository holds a manifest
//   t!<repository>!<tag>                     digest
//   d!<repository>!<digest>!<tag>            the same, turned round
//   h!<repository>!<tag>!<number>            moves of the tag, in their order
//   r!<repository>!<subject>!<digest>        descriptor of a manifest that refers to the subject
//   u!<id>                                   upload session
//   s!<name>                                 the store's own: format, lock, probe
//
// `!` sorts below every character of a name, tag or digest, so that `a` and `a-b` never mix.

import type { Digest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import type { Tag } from '../../../oci/tag.ts'
import type { UploadId } from '../../../oci/upload-id.ts'
import type { KeyRange } from './contract.ts'

// The character after `!`: it ends the range of all keys below a prefix.
const afterSeparator = '"'

const timeDigits = 15
const numberDigits = 10

export function blobKey(digest: Digest): string {
  return `b!${digest}`
}

export function linkKey(digest: Digest, repository: RepositoryName): string {
  return `l!${digest}!${repository}`
}

export function linksPrefix(digest: Digest): string {
  return `l!${digest}`
}

/** `repository` is absent for a blob that no repository holds. Units: `untilMs` since 1970. */
export function leaseKey(untilMs: number, digest: Digest, repository?: RepositoryName): string {
  return `g!${String(untilMs).padStart(timeDigits, '0')}!${digest}!${repository ?? ''}`
}

export function referenceKey(repository: RepositoryName, blob: Digest, manifest: Digest): string {
  return `f!${repository}!${blob}!${manifest}`
}

export function referencesPrefix(repository: RepositoryName, blob: Digest): string {
  return `f!${repository}!${blob}`
}

export function childKey(repository: RepositoryName, child: Digest, index: Digest): string {
  return `c!${repository}!${child}!${index}`
}

/** Of the record and, among bodies, of the body. */
export function manifestKey(repository: RepositoryName, digest: Digest): string {
  return `m!${repository}!${digest}`
}

export function manifestsPrefix(repository: RepositoryName): string {
  return `m!${repository}`
}

export function contentsKey(repository: RepositoryName, digest: Digest): string {
  return `x!${repository}!${digest}`
}

export const repositoriesPrefix = 'n'

export function repositoryKey(repository: RepositoryName): string {
  return `n!${repository}`
}

export function tagKey(repository: RepositoryName, tag: Tag): string {
  return `t!${repository}!${tag}`
}

export function tagsPrefix(repository: RepositoryName): string {
  return `t!${repository}`
}

export function tagOfDigestKey(repository: RepositoryName, digest: Digest, tag: Tag): string {
  return `d!${repository}!${digest}!${tag}`
}

export function tagsOfDigestPrefix(repository: RepositoryName, digest: Digest): string {
  return `d!${repository}!${digest}`
}

export function moveKey(repository: RepositoryName, tag: Tag, number: number): string {
  return `h!${repository}!${tag}!${String(number).padStart(numberDigits, '0')}`
}

export function movesPrefix(repository: RepositoryName, tag: Tag): string {
  return `h!${repository}!${tag}`
}

export function referrerKey(repository: RepositoryName, subject: Digest, digest: Digest): string {
  return `r!${repository}!${subject}!${digest}`
}

export function referrersPrefix(repository: RepositoryName, subject: Digest): string {
  return `r!${repository}!${subject}`
}

export const uploadsPrefix = 'u'

export function uploadKey(id: UploadId): string {
  return `u!${id}`
}

export const formatKey = 's!format'
export const lockKey = 's!lock'
export const probeKey = 's!probe'

/** All keys below `prefix`, or those whose last part sorts after `after`. */
export function below(prefix: string, after?: string): KeyRange {
  // With its own separator behind it `after` itself is left out, and what merely begins with it is not.
  const start = after === undefined ? `${prefix}!` : `${prefix}!${after}!`
  return { start, end: prefix + afterSeparator }
}

/** The part of `key` behind `prefix` and its separator. */
export function lastPart(key: string, prefix: string): string {
  return key.slice(prefix.length + 1)
}
