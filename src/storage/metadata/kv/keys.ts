// The key tree of a store: every key is built here, and taken apart here.
//
//   r!<repository>!b!<blob>              the repository holds the blob: its lease, none while referenced
//   r!<repository>!b!<blob>!<manifest>   the manifest references the blob
//   r!<repository>!c!<child>!<index>     the index references the child manifest
//   r!<repository>!d!<digest>!<tag>      the tag points at the digest
//   r!<repository>!h!<tag>!<number>      moves of the tag, in their order
//   r!<repository>!m!<digest>            manifest: its media type; among bodies the same key has its bytes
//   r!<repository>!n!<digest>            what the manifest names, to undo it without parsing its bytes
//   r!<repository>!s!<subject>!<digest>  descriptor of a manifest that refers to the subject
//   r!<repository>!t!<tag>               the digest that the tag points at
//   b!<digest>                           blob: size, state, lease of one that no repository holds
//   b!<digest>!<repository>              the same link as above, turned round
//   g!<time>!<digest>!<repository>       leases by their end, for GC; no repository: nobody holds the blob
//   n!<repository>                       the repository holds a manifest
//   u!<id>                               upload session
//   k!<id>                               API key
//   f!<sha256>                           refresh token, by its text
//   o!<user>!<sha256>                    the user has the refresh token
//   x!t!<token>                          the token, by its id, is revoked
//   x!u!<user>                           what the user had is revoked
//   j!<kid>                              key that signs tokens, or did
//   s!<name>                             the store's own: format, lock, probe, revision of credentials
//
// What changes together in a repository lies together: each page that a commit touches is written anew.
// `!` sorts below every character of a name, tag or digest, so that `a` and `a-b` never mix. Users have
// names of any characters, so their keys are hexadecimal digests.

import { hash } from 'node:crypto'
import type { Digest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import type { Tag } from '../../../oci/tag.ts'
import type { UploadId } from '../../../oci/upload-id.ts'
import type { KeyRange } from './contract.ts'

// The character after `!`: it ends the range of all keys below a prefix.
const afterSeparator = '"'

const timeDigits = 15
const numberDigits = 10

/** The value of a row that says all it has to say by being there. */
export const present = '1'

export function blobKey(digest: Digest): string {
  return `b!${digest}`
}

export function holderKey(digest: Digest, repository: RepositoryName): string {
  return `b!${digest}!${repository}`
}

/** Below it are the repositories that hold the blob. */
export function holdersPrefix(digest: Digest): string {
  return `b!${digest}`
}

export function linkKey(repository: RepositoryName, blob: Digest): string {
  return `r!${repository}!b!${blob}`
}

export function referenceKey(repository: RepositoryName, blob: Digest, manifest: Digest): string {
  return `r!${repository}!b!${blob}!${manifest}`
}

/** Below it are the manifests that reference the blob. */
export function referencesPrefix(repository: RepositoryName, blob: Digest): string {
  return `r!${repository}!b!${blob}`
}

/** `repository` is absent for a blob that no repository holds. Units: `untilMs` since 1970. */
export function leaseKey(untilMs: number, digest: Digest, repository?: RepositoryName): string {
  return `g!${String(untilMs).padStart(timeDigits, '0')}!${digest}!${repository ?? ''}`
}

export function childKey(repository: RepositoryName, child: Digest, index: Digest): string {
  return `r!${repository}!c!${child}!${index}`
}

/** Of the record and, among bodies, of the bytes. */
export function manifestKey(repository: RepositoryName, digest: Digest): string {
  return `r!${repository}!m!${digest}`
}

export function manifestsPrefix(repository: RepositoryName): string {
  return `r!${repository}!m`
}

export function contentsKey(repository: RepositoryName, digest: Digest): string {
  return `r!${repository}!n!${digest}`
}

export const repositoriesPrefix = 'n'

export function repositoryKey(repository: RepositoryName): string {
  return `n!${repository}`
}

export function tagKey(repository: RepositoryName, tag: Tag): string {
  return `r!${repository}!t!${tag}`
}

export function tagsPrefix(repository: RepositoryName): string {
  return `r!${repository}!t`
}

export function tagOfDigestKey(repository: RepositoryName, digest: Digest, tag: Tag): string {
  return `r!${repository}!d!${digest}!${tag}`
}

export function tagsOfDigestPrefix(repository: RepositoryName, digest: Digest): string {
  return `r!${repository}!d!${digest}`
}

export function moveKey(repository: RepositoryName, tag: Tag, number: number): string {
  return `r!${repository}!h!${tag}!${String(number).padStart(numberDigits, '0')}`
}

export function movesPrefix(repository: RepositoryName, tag: Tag): string {
  return `r!${repository}!h!${tag}`
}

export function referrerKey(repository: RepositoryName, subject: Digest, digest: Digest): string {
  return `r!${repository}!s!${subject}!${digest}`
}

export function referrersPrefix(repository: RepositoryName, subject: Digest): string {
  return `r!${repository}!s!${subject}`
}

export const uploadsPrefix = 'u'

export function uploadKey(id: UploadId): string {
  return `u!${id}`
}

export const apiKeysPrefix = 'k'

export function apiKeyKey(id: string): string {
  return `k!${id}`
}

export const refreshTokensPrefix = 'f'

export function refreshTokenKey(secretSha256: string): string {
  return `f!${secretSha256}`
}

/** Those whose SHA-256 begins so. */
export function refreshTokensFrom(start: string): KeyRange {
  return { start: refreshTokenKey(start), end: `${refreshTokenKey(start)}g` }
}

/** Below it are the refresh tokens of the user. */
export function ownedRefreshTokensPrefix(username: string): string {
  return `o!${hash('sha256', username)}`
}

export function ownedRefreshTokenKey(username: string, secretSha256: string): string {
  return `${ownedRefreshTokensPrefix(username)}!${secretSha256}`
}

export function revocationsPrefix(of: 'token' | 'user'): string {
  return `x!${of === 'token' ? 't' : 'u'}`
}

/** `subject` is a token's id, or the name of a user. */
export function revocationKey(of: 'token' | 'user', subject: string): string {
  return `${revocationsPrefix(of)}!${of === 'token' ? subject : hash('sha256', subject)}`
}

export const signingKeysPrefix = 'j'

export function signingKeyKey(kid: string): string {
  return `j!${kid}`
}

export const tokenRevisionKey = 's!tokens'
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
