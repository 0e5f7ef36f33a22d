// Tags, the tags of a digest, and the history of a tag: the three change together, here alone.

import type { Digest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import { parseTag, type Tag } from '../../../oci/tag.ts'
import type { TagMove } from '../tag-history.ts'
import type { ImmutableTag, IsImmutable } from '../usage.ts'
import type { KeyValueReader, KeyValueTransaction } from './contract.ts'
import { corrupt, decodeDigest, decodeMove, encodeMove } from './encoding.ts'
import {
  below,
  lastPart,
  moveKey,
  movesPrefix,
  present,
  pulledKey,
  pushedKey,
  tagKey,
  tagOfDigestKey,
  tagsOfDigestPrefix,
} from './keys.ts'
import { changeUsage } from './usage.ts'

export function readTag(
  reader: KeyValueReader,
  repository: RepositoryName,
  tag: Tag,
): Digest | undefined {
  const key = tagKey(repository, tag)
  const text = reader.get(key)
  return text === undefined ? undefined : decodeDigest(text, key)
}

/** Nothing, and no entry in the history, where the tag points there already. */
export function moveTag(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  tag: Tag,
  to: Digest,
  { atMs, run }: Pick<TagMove, 'atMs' | 'run'>,
): void {
  const from = readTag(transaction, repository, tag)
  if (from === to) return
  if (from !== undefined) transaction.remove(tagOfDigestKey(repository, from, tag))
  transaction.put(tagKey(repository, tag), to)
  transaction.put(tagOfDigestKey(repository, to, tag), present)
  addMove(transaction, repository, tag, {
    ...(from === undefined ? {} : { from }),
    ...{ to, atMs },
    ...(run === undefined ? {} : { run }),
  })
}

export function deleteTag(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  tag: Tag,
  atMs: number,
  isImmutable?: IsImmutable,
): 'removed' | 'absent' | ImmutableTag {
  const digest = readTag(transaction, repository, tag)
  if (digest === undefined) return 'absent'
  if (isImmutable?.(tag)) return { kind: 'immutable', tag, digest }
  removeTag(transaction, repository, tag, atMs)
  changeUsage(transaction, repository, { bytes: 0n, tags: -1 })
  return 'removed'
}

/** Nothing where there is none. Who calls it, as who calls `moveTag`, counts the tag. */
export function removeTag(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  tag: Tag,
  atMs: number,
): void {
  const from = readTag(transaction, repository, tag)
  if (from === undefined) return
  transaction.remove(tagKey(repository, tag))
  transaction.remove(tagOfDigestKey(repository, from, tag))
  transaction.remove(pushedKey(repository, tag))
  transaction.remove(pulledKey(repository, tag))
  addMove(transaction, repository, tag, { from, atMs })
}

export function tagsOf(reader: KeyValueReader, repository: RepositoryName, digest: Digest): Tag[] {
  const prefix = tagsOfDigestPrefix(repository, digest)
  return reader.keys(below(prefix)).map((key) => decodeTag(lastPart(key, prefix), key))
}

export function decodeTag(text: string, key: string): Tag {
  const tag = parseTag(text)
  if (tag === undefined) throw corrupt(key)
  return tag
}

export function readTagHistory(
  reader: KeyValueReader,
  repository: RepositoryName,
  tag: Tag,
  limit: number,
): TagMove[] {
  const range = { ...below(movesPrefix(repository, tag)), reverse: true, limit }
  return reader.entries(range).map(({ key, value }) => decodeMove(value, key))
}

function addMove(
  transaction: KeyValueTransaction,
  repository: RepositoryName,
  tag: Tag,
  move: TagMove,
): void {
  const prefix = movesPrefix(repository, tag)
  const [last] = transaction.keys({ ...below(prefix), reverse: true, limit: 1 })
  const number = last === undefined ? 0 : Number(lastPart(last, prefix)) + 1
  transaction.put(moveKey(repository, tag, number), encodeMove(move))
}
