// Which check a record gets, by its key: the same tree as in keys.ts.

import { type Digest, parseDigest } from '../../../oci/digest.ts'
import { parseRepositoryName, type RepositoryName } from '../../../oci/name.ts'
import { parseTag, type Tag } from '../../../oci/tag.ts'
import type { KeyValueEntry } from './contract.ts'
import { decodeCount, decodeMove, decodeUsage } from './encoding.ts'
import { decodeTime, timedKey } from './garbage-encoding.ts'
import {
  below,
  contentsKey,
  contentsPrefix,
  manifestsPrefix,
  ownedRefreshTokenKey,
  present,
  refreshTokenKey,
  removedByTimeKey,
  removedKey,
  tagsPrefix,
} from './keys.ts'
import { checkBlob, checkDestruction, checkDropped, checkLeaseIndex } from './record-audit-blobs.ts'
import { checkHolder, checkLink, checkReference } from './record-audit-links.ts'
import { decoded, type Look } from './record-audit-look.ts'
import {
  checkManifest,
  checkOwner,
  checkQuarantinedBody,
  doesName,
  isTagged,
} from './record-audit-manifests.ts'
import { checkTag, checkTagIndex } from './record-audit-tags.ts'
import { decodeRemoval } from './removal-encoding.ts'
import {
  decodeApiKey,
  decodeRefreshToken,
  decodeRevocation,
  decodeSigningKey,
} from './token-encoding.ts'
import { decodeUpload } from './upload-encoding.ts'

/** Its parts behind the first; false where they are none of this table's. */
type Check = (look: Look, parts: readonly string[], row: KeyValueEntry) => boolean

export function checkRow(look: Look, row: KeyValueEntry): void {
  const [kind = '', ...parts] = row.key.split('!')
  const check = Object.hasOwn(checks, kind) ? checks[kind] : undefined
  if (check === undefined || !check(look, parts, row)) look.hopeless('record-unknown', row.key)
}

const checks: Readonly<Record<string, Check>> = {
  r: (look, [name = '', kind = '', ...parts], row) => {
    const repository = parseRepositoryName(name)
    const check = Object.hasOwn(inRepository, kind) ? inRepository[kind] : undefined
    if (repository === undefined || check === undefined) return false
    return check(look, repository, parts, row)
  },
  b: (look, [text = '', name, ...more], row) => {
    const digest = parseDigest(text)
    if (digest === undefined || more.length > 0) return false
    if (name === undefined) {
      checkBlob(look, digest, row.value)
      return true
    }
    const repository = parseRepositoryName(name)
    if (repository !== undefined) checkHolder(look, digest, repository)
    return repository !== undefined
  },
  d: (look, _, { key, value }) => {
    checkDropped(look, key, value)
    return true
  },
  g: (look, _, { key }) => {
    checkLeaseIndex(look, key)
    return true
  },
  n: (look, [name = '', ...more], { key }) => {
    const repository = parseRepositoryName(name)
    if (repository === undefined || more.length > 0) return false
    const isThere = (prefix: string): boolean =>
      look.reader.keys({ ...below(prefix), limit: 1 }).length > 0
    // Contents and tags without a manifest are told of by their own checks, which may bring it back.
    const isEmpty =
      !isThere(manifestsPrefix(repository)) &&
      !isThere(contentsPrefix(repository)) &&
      !isThere(tagsPrefix(repository))
    if (isEmpty) look.repairable('catalogue-extra', key, (t) => t.remove(key))
    return true
  },
  q: (look, _, { key, value }) => {
    // Removed, it counts nothing, which the comparison of counters then puts right.
    if (decoded(() => decodeUsage(value, key)) === undefined) {
      look.repairable('record-unreadable', key, (t) => t.remove(key))
    }
    return true
  },
  u: readable(decodeUpload),
  y: (look, [text = '', ...more], { value }) => {
    const digest = parseDigest(text)
    if (digest === undefined || more.length > 0) return false
    checkDestruction(look, digest, value)
    return true
  },
  w: (look, _, { key }) => {
    const of = decoded(() => timedKey(key))
    if (of?.repository === undefined) return false
    const removed = removedKey(of.repository, of.digest, of.timeMs)
    if (look.has(removed)) return true
    look.repairable('deleted-manifest-extra', key, (t) => t.remove(key))
    return true
  },
  k: readable(decodeApiKey),
  f: (look, _, { key, value }) => {
    const token = decoded(() => decodeRefreshToken(value, key))
    if (token === undefined) look.hopeless('record-unreadable', key)
    else {
      const index = ownedRefreshTokenKey(token.username, token.secretSha256)
      if (!look.has(index)) {
        look.repairable('refresh-token-index-missing', index, (t) => t.put(index, present))
      }
    }
    return true
  },
  o: (look, [owner = '', secretSha256 = '', ...more], { key }) => {
    if (more.length > 0) return false
    const token = refreshTokenKey(secretSha256)
    const text = look.get(token)
    const record = text === undefined ? undefined : decoded(() => decodeRefreshToken(text, token))
    if (text !== undefined && record === undefined) return true
    const isOwners =
      record !== undefined && ownedRefreshTokenKey(record.username, secretSha256) === key
    if (isOwners || owner === '') return isOwners
    look.repairable('refresh-token-index-extra', key, (t) => t.remove(key))
    return true
  },
  x: readable(decodeRevocation),
  j: readable(decodeSigningKey),
  // The store's own.
  s: () => true,
}

type CheckIn = (
  look: Look,
  repository: RepositoryName,
  parts: readonly string[],
  row: KeyValueEntry,
) => boolean

const inRepository: Readonly<Record<string, CheckIn>> = {
  b: (look, repository, parts, { value }) => {
    const [blob, manifest] = digests(parts)
    if (blob === undefined || parts.length > 2) return false
    if (parts.length === 1) checkLink(look, repository, blob, value)
    else if (manifest === undefined) return false
    else checkReference(look, repository, blob, manifest)
    return true
  },
  c: (look, repository, parts, { key }) => {
    const [child, index] = digests(parts)
    if (child === undefined || index === undefined || parts.length > 2) return false
    if (!doesName(look, repository, index, child, 'child')) {
      look.repairable('child-extra', key, (t) => t.remove(key))
    }
    return true
  },
  d: (look, repository, [text = '', name = '', ...more]) => {
    const digest = parseDigest(text)
    const tag = parseTag(name)
    if (digest === undefined || tag === undefined || more.length > 0) return false
    checkTagIndex(look, repository, digest, tag)
    return true
  },
  h: (look, _, parts, { key, value }) => {
    if (parts.length !== 2) return false
    if (decoded(() => decodeMove(value, key)) === undefined) {
      look.hopeless('record-unreadable', key)
    }
    return true
  },
  l: isTime,
  m: ofDigest((look, repository, digest, { value }) =>
    checkManifest(look, repository, digest, value),
  ),
  n: ofDigest((look, repository, digest) => checkOwner(look, repository, digest)),
  p: isTime,
  q: ofDigest((look, repository, digest) => checkQuarantinedBody(look, repository, digest)),
  s: (look, repository, parts, { key }) => {
    const [subject, manifest] = digests(parts)
    if (subject === undefined || manifest === undefined || parts.length > 2) return false
    if (!doesName(look, repository, manifest, subject, 'subject')) {
      look.repairable('referrer-extra', key, (t) => t.remove(key))
    }
    return true
  },
  t: (look, repository, [name = '', ...more], { value }) => {
    const tag: Tag | undefined = parseTag(name)
    if (tag === undefined || more.length > 0) return false
    checkTag(look, repository, tag, value)
    return true
  },
  u: isTime,
  w: (look, repository, [text = '', time = '', ...more], { key, value }) => {
    const digest = parseDigest(text)
    const atMs = decoded(() => decodeTime(time, key))
    if (digest === undefined || atMs === undefined || more.length > 0) return false
    const index = removedByTimeKey(atMs, digest, repository)
    if (!look.has(index)) {
      look.repairable('deleted-manifest-missing', index, (t) => t.put(index, present))
    }
    if (decoded(() => decodeRemoval(value, key)) === undefined) {
      look.hopeless('record-unreadable', key)
    }
    return true
  },
}

function digests(parts: readonly string[]): (Digest | undefined)[] {
  return parts.map(parseDigest)
}

function ofDigest(
  check: (look: Look, repository: RepositoryName, digest: Digest, row: KeyValueEntry) => void,
): CheckIn {
  return (look, repository, [text = '', ...more], row) => {
    const digest = parseDigest(text)
    if (digest === undefined || more.length > 0) return false
    check(look, repository, digest, row)
    return true
  }
}

function isTime(
  look: Look,
  _repository: RepositoryName,
  parts: readonly string[],
  { key, value }: KeyValueEntry,
): boolean {
  if (parts.length !== 1) return false
  if (decoded(() => decodeCount(value, key)) === undefined) look.hopeless('record-unreadable', key)
  return true
}

function readable(decode: (text: string, key: string) => unknown): Check {
  return (look, _, { key, value }) => {
    if (decoded(() => decode(value, key)) === undefined) look.hopeless('record-unreadable', key)
    return true
  }
}

/** Of a body: there is a record that it belongs to, or can be again. */
export function checkBody(key: string, look: Look): void {
  if (look.get(key) !== undefined) return
  const [first, name = '', kind, text = ''] = key.split('!')
  const repository = parseRepositoryName(name)
  const digest = parseDigest(text)
  // The checks of its contents and tags bring the record back, or tell that it is lost.
  const isKnown =
    first === 'r' &&
    kind === 'm' &&
    repository !== undefined &&
    digest !== undefined &&
    (look.has(contentsKey(repository, digest)) || isTagged(look, repository, digest))
  if (!isKnown) look.hopeless('body-extra', key)
}
