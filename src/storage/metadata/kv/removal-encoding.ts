// Deleted manifests as text and back.

import type { Digest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import type { Tag } from '../../../oci/tag.ts'
import type { RemovedManifest } from '../garbage.ts'
import {
  contentsOf,
  corrupt,
  countField,
  decodeObject,
  digestsField,
  type ManifestContents,
  textField,
} from './encoding.ts'
import { decodeTag } from './tags.ts'

/** What it takes to bring a manifest back, but for its bytes. */
export interface RemovalRecord {
  readonly mediaType: string
  /** In bytes. */
  readonly size: number
  /** Those that named it. */
  readonly tags: readonly Tag[]
  readonly contents: ManifestContents
  /** Blobs and children that it named, but that were not in the repository. */
  readonly lacking: readonly Digest[]
  /** Encoded: what the list of its subject's referrers said of it. */
  readonly descriptor?: string
  readonly run?: string
}

export function encodeRemoval(record: RemovalRecord): string {
  return JSON.stringify(record)
}

export function decodeRemoval(text: string, key: string): RemovalRecord {
  const { mediaType, size, tags, contents, lacking, descriptor, run } = decodeObject(text, key)
  if (!Array.isArray(tags)) throw corrupt(key)
  if (typeof contents !== 'object' || contents === null) throw corrupt(key)
  return {
    mediaType: textField(mediaType, key),
    size: countField(size, key),
    tags: tags.map((tag) => decodeTag(textField(tag, key), key)),
    contents: contentsOf({ ...contents }, key),
    lacking: digestsField(lacking, key),
    ...(descriptor === undefined ? {} : { descriptor: textField(descriptor, key) }),
    ...(run === undefined ? {} : { run: textField(run, key) }),
  }
}

export function removedManifest(
  repository: RepositoryName,
  digest: Digest,
  atMs: number,
  { mediaType, size, tags, contents, run }: RemovalRecord,
): RemovedManifest {
  const { children } = contents
  const removed = { atMs, repository, digest, mediaType, size, tags, children }
  return run === undefined ? removed : { ...removed, run }
}
