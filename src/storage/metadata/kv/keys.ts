// The key tree of a store: every key is built here, and taken apart here.
//
//   r!<repository>!b!<blob>              the repository holds the blob: its lease, none while referenced
//   r!<repository>!b!<blob>!<manifest>   the manifest references the blob
//   r!<repository>!c!<child>!<index>     the index references the child manifest
//   r!<repository>!d!<digest>!<tag>      the tag points at the digest
//   r!<repository>!h!<tag>!<number>      moves of the tag, in their order
//   r!<repository>!l!<tag or digest>     when it was last pulled by that name
//   r!<repository>!m!<digest>            manifest: its media type; among bodies the same key has its bytes
//   r!<repository>!n!<digest>            what the manifest names, to undo it without parsing its bytes
//   r!<repository>!p!<tag>               when it was last pushed without being moved
//   r!<repository>!p!<digest>            when it was last pushed by digest, until something uses it
//   r!<repository>!q!<digest>            its bytes are lost, or wrong: then among bodies they are here
//   r!<repository>!s!<subject>!<digest>  descriptor of a manifest that refers to the subject
//   r!<repository>!t!<tag>               the digest that the tag points at
//   r!<repository>!u!<digest>            since when sweeps find the manifest unused
//   r!<repository>!w!<digest>!<time>     manifest that was deleted then; among bodies its bytes
//   b!<digest>                           blob: size, state, lease of one that no repository holds; of a
//                                        condemned one since when it is that, in place of the lease
//   b!<digest>!<repository>              the same link as above, turned round
//   d!<time>!<digest>!<repository>       what GC has dropped then; no repository: the blob is condemned
//   g!<time>!<digest>!<repository>       leases by their end, for GC; no repository: nobody holds the blob
//   n!<repository>                       the repository holds a manifest
//   q!<prefix>                           bytes and tags of the repositories at and below the prefix
//   u!<id>                               upload session
//   w!<time>!<digest>!<repository>       deleted manifests by their time
//   y!<digest>                           size of a blob that is being destroyed
//   k!<id>                               API key
//   f!<sha256>                           refresh token, by its text
//   o!<user>!<sha256>                    the user has the refresh token
//   x!t!<token>                          the token, by its id, is revoked
//   x!u!<user>                           what the user had is revoked
//   x!k!<id>                             the API key of another store is revoked
//   j!<kid>                              key that signs tokens, or did
//   s!job!<kind>                         who runs the maintenance job, and how far it is
//   s!<name>                             the store's own: format, lock, probe, revision of credentials,
//                                        how the counters of `q` count, what its processes alone know,
//                                        whose tree the blobs lie in
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

/** Of a time as a part of a key. */
export const timeDigits = 15
const timeMaxMs = 999_999_999_999_999
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
  return `${leasesPrefix}!${timeText(untilMs)}!${digest}!${repository ?? ''}`
}

/** `repository` is absent for the blob itself. Units: `atMs` since 1970. */
export function droppedKey(atMs: number, digest: Digest, repository?: RepositoryName): string {
  return `${droppedPrefix}!${timeText(atMs)}!${digest}!${repository ?? ''}`
}

/** The blob itself, and the repositories from which it was dropped at the same time. */
export function droppedOf(atMs: number, digest: Digest): KeyRange {
  return below(`${droppedPrefix}!${timeText(atMs)}!${digest}`)
}

export const leasesPrefix = 'g'
export const droppedPrefix = 'd'
export const removedPrefix = 'w'

/** Of the rows below `prefix`, whose keys begin with a time: those before it, and behind the key `after`. */
export function before(prefix: string, beforeMs: number | undefined, after?: string): KeyRange {
  const all = below(prefix)
  return {
    start: after === undefined ? all.start : keyBehind(after),
    end: beforeMs === undefined ? all.end : `${prefix}!${timeText(beforeMs)}`,
  }
}

/** Where a range starts that leaves out `key`, and none of those behind it. */
export function keyBehind(key: string): string {
  return `${key}!`
}

/** The parts of a key with a time, a digest and perhaps a repository. */
export function timedParts(
  key: string,
): { readonly time: string; readonly digest: string; readonly repository: string } | undefined {
  const [, time, digest, repository, more] = key.split('!')
  if (time === undefined || digest === undefined || repository === undefined) return undefined
  return more === undefined ? { time, digest, repository } : undefined
}

/** Whether the time in it is when a lease ends, or when something was dropped or deleted. */
export type TimedRow = 'lease' | 'dropped'

/** The same key with its time moved. Those without one, and those that are none, come back as they are. */
export function movedInTime(key: string, move: (timeMs: number, row: TimedRow) => number): string {
  const parts = key.split('!')
  const [room, , kind] = parts
  const isManifest = room === 'r' && kind === removedPrefix && parts.length === 5
  const isTimed = room === leasesPrefix || room === droppedPrefix || room === removedPrefix
  const at = isManifest ? 4 : isTimed ? 1 : undefined
  const text = at === undefined ? undefined : parts[at]
  if (at === undefined || text === undefined || !/^\d+$/.test(text)) return key
  return parts
    .with(at, timeText(move(Number(text), room === leasesPrefix ? 'lease' : 'dropped')))
    .join('!')
}

/** The manifest that was deleted then; among bodies its bytes. */
export function removedKey(repository: RepositoryName, digest: Digest, atMs: number): string {
  return `${removalsPrefix(repository, digest)}!${timeText(atMs)}`
}

/** Below it are the removals of the manifest, in their order. */
export function removalsPrefix(repository: RepositoryName, digest: Digest): string {
  return `r!${repository}!w!${digest}`
}

export function removedByTimeKey(atMs: number, digest: Digest, repository: RepositoryName): string {
  return `${removedPrefix}!${timeText(atMs)}!${digest}!${repository}`
}

export const destructionsPrefix = 'y'

export function destructionKey(digest: Digest): string {
  return `${destructionsPrefix}!${digest}`
}

/** Sorts as the times do. Later ones are those of no clock. */
function timeText(timeMs: number): string {
  const wholeMs = Math.ceil(Math.min(Math.max(timeMs, 0), timeMaxMs))
  return String(wholeMs).padStart(timeDigits, '0')
}

export function childKey(repository: RepositoryName, child: Digest, index: Digest): string {
  return `r!${repository}!c!${child}!${index}`
}

/** Below it are the indexes that list the child. */
export function childrenPrefix(repository: RepositoryName, child: Digest): string {
  return `r!${repository}!c!${child}`
}

/** Of the record and, among bodies, of the bytes. */
export function manifestKey(repository: RepositoryName, digest: Digest): string {
  return `r!${repository}!m!${digest}`
}

export function manifestsPrefix(repository: RepositoryName): string {
  return `r!${repository}!m`
}

export function quarantinedBodyKey(repository: RepositoryName, digest: Digest): string {
  return `r!${repository}!q!${digest}`
}

export function contentsPrefix(repository: RepositoryName): string {
  return `r!${repository}!n`
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

export function pushedKey(repository: RepositoryName, reference: Tag | Digest): string {
  return `r!${repository}!p!${reference}`
}

export function pulledKey(repository: RepositoryName, reference: Tag | Digest): string {
  return `r!${repository}!l!${reference}`
}

export function unusedKey(repository: RepositoryName, digest: Digest): string {
  return `r!${repository}!u!${digest}`
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

export const usagesPrefix = 'q'

/** '' stands for every repository. */
export function usageKey(prefix: string): string {
  return `q!${prefix}`
}

const repositoryRowsPrefix = 'r'

/** Rows of every repository that sorts after this one; of all without it. */
export function repositoryRowsAfter(repository?: string): KeyRange {
  const { start, end } = below(repositoryRowsPrefix)
  return { start: repository === undefined ? start : `${start}${repository}${afterSeparator}`, end }
}

/** Of a key below `repositoryRowsAfter`. */
export function repositoryOf(key: string): string {
  const start = repositoryRowsPrefix.length + 1
  return key.slice(start, key.indexOf('!', start))
}

/** Below it are the blobs that the repository holds, and the references to them. */
export function linksPrefix(repository: RepositoryName): string {
  return `r!${repository}!b`
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

type Revoked = 'token' | 'user' | 'api-key'

const revokedLetters: Readonly<Record<Revoked, string>> = { token: 't', user: 'u', 'api-key': 'k' }

export function revocationsPrefix(of: Revoked): string {
  return `x!${revokedLetters[of]}`
}

/** `subject` is the id of a token or an API key, or the name of a user. */
export function revocationKey(of: Revoked, subject: string): string {
  return `${revocationsPrefix(of)}!${of === 'user' ? hash('sha256', subject) : subject}`
}

export const signingKeysPrefix = 'j'

export function signingKeyKey(kid: string): string {
  return `j!${kid}`
}

export function jobKey(kind: string): string {
  return `s!job!${kind}`
}

export const adoptionKey = 's!adoption'
export const usageFormatKey = 's!usage'
export const tokenRevisionKey = 's!tokens'
export const formatKey = 's!format'
export const lockKey = 's!lock'
export const probeKey = 's!probe'
export const secretKey = 's!secret'

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
