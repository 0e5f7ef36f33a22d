// Tags, and the same turned round.

import { type Digest, parseDigest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import type { Tag } from '../../../oci/tag.ts'
import { decodeMove } from './encoding.ts'
import {
  below,
  contentsKey,
  manifestKey,
  movesPrefix,
  present,
  tagKey,
  tagOfDigestKey,
} from './keys.ts'
import { decoded, type Look } from './record-audit-look.ts'
import { tellLostRecord } from './record-audit-manifests.ts'
import { readRevision } from './record-audit-revision.ts'

export function checkTag(look: Look, repository: RepositoryName, tag: Tag, value: string): void {
  const key = tagKey(repository, tag)
  const digest = parseDigest(value)
  if (digest === undefined) {
    const last = lastTarget(look, repository, tag)
    if (last === undefined || !look.has(tagOfDigestKey(repository, last, tag))) {
      look.hopeless('record-unreadable', key)
    } else look.repairable('record-unreadable', key, (t) => t.put(key, last))
    return
  }
  checkTarget(look, repository, tag, digest)
  const index = tagOfDigestKey(repository, digest, tag)
  if (!look.has(index)) look.repairable('tag-index-missing', index, (t) => t.put(index, present))
}

function checkTarget(look: Look, repository: RepositoryName, tag: Tag, digest: Digest): void {
  if (look.has(manifestKey(repository, digest))) return
  const sight = readRevision(look, repository, digest, undefined)
  if (typeof sight === 'string') {
    look.hopeless('tag-dangling', tagKey(repository, tag), { repository, digest })
  } else if (!look.has(contentsKey(repository, digest))) {
    tellLostRecord(look, repository, digest, sight)
  }
}

/** A tag by its digest: the tag points there. */
export function checkTagIndex(
  look: Look,
  repository: RepositoryName,
  digest: Digest,
  tag: Tag,
): void {
  const own = tagKey(repository, tag)
  const value = look.get(own)
  if (value === digest) return
  // One that cannot be read is put right from here.
  if (value !== undefined && parseDigest(value) === undefined) return
  const key = tagOfDigestKey(repository, digest, tag)
  const isLost =
    value === undefined &&
    look.has(manifestKey(repository, digest)) &&
    lastTarget(look, repository, tag) === digest
  // A tag that was deleted has said so in its history, in the same transaction.
  if (isLost) look.repairable('tag-missing', own, (t) => t.put(own, digest))
  else look.repairable('tag-index-extra', key, (t) => t.remove(key))
}

/** Where its history says that it points. */
function lastTarget(look: Look, repository: RepositoryName, tag: Tag): Digest | undefined {
  const range = { ...below(movesPrefix(repository, tag)), reverse: true, limit: 1 }
  look.reads++
  const [last] = look.reader.entries(range)
  return last && decoded(() => decodeMove(last.value, last.key))?.to
}
