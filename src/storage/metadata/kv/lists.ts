// Pages of names, each sorted by its key.

import type { Descriptor } from '../../../oci/descriptor.ts'
import type { Digest } from '../../../oci/digest.ts'
import { parseRepositoryName, type RepositoryName } from '../../../oci/name.ts'
import type { Tag } from '../../../oci/tag.ts'
import type { UploadId } from '../../../oci/upload-id.ts'
import type { Page, UploadRecord } from '../contract.ts'
import { readBlobRecord } from './blobs.ts'
import type { KeyValueReader } from './contract.ts'
import { corrupt, decodeDescriptor } from './encoding.ts'
import {
  below,
  holdersPrefix,
  lastPart,
  referrersPrefix,
  repositoriesPrefix,
  repositoryKey,
  tagsPrefix,
  uploadsPrefix,
} from './keys.ts'
import { decodeTag } from './tags.ts'
import { decodeUpload } from './upload-encoding.ts'

/** Read at a time: each may be as large as a manifest. */
const referrersChunk = 16

export function listTags(
  reader: KeyValueReader,
  repository: RepositoryName,
  page: Page<string>,
): Tag[] | undefined {
  if (reader.get(repositoryKey(repository)) === undefined) return undefined
  const prefix = tagsPrefix(repository)
  const keys = reader.keys({ ...below(prefix, page.after), limit: page.limit })
  return keys.map((key) => decodeTag(lastPart(key, prefix), key))
}

export function listRepositories(reader: KeyValueReader, page: Page<string>): RepositoryName[] {
  return repositoriesBelow(reader, repositoriesPrefix, page)
}

export function repositoriesHolding(
  reader: KeyValueReader,
  digest: Digest,
  limit: number,
): RepositoryName[] {
  if (readBlobRecord(reader, digest)?.state !== 'live') return []
  return repositoriesBelow(reader, holdersPrefix(digest), { limit })
}

export function listReferrers(
  reader: KeyValueReader,
  repository: RepositoryName,
  subject: Digest,
  page: Page<Digest> & { readonly artifactType?: string; readonly jsonLengthMax?: number },
): Descriptor[] {
  const { artifactType, limit, jsonLengthMax = Number.POSITIVE_INFINITY } = page
  const prefix = referrersPrefix(repository, subject)
  const found: Descriptor[] = []
  let after: string | undefined = page.after
  let jsonLength = 0
  while (found.length < limit) {
    const entries = reader.entries({ ...below(prefix, after), limit: referrersChunk })
    for (const { key, value } of entries) {
      const descriptor = decodeDescriptor(value, key)
      after = lastPart(key, prefix)
      if (artifactType !== undefined && descriptor.artifactType !== artifactType) continue
      jsonLength += JSON.stringify(descriptor).length
      const isEnough = found.push(descriptor) > 1 && jsonLength > jsonLengthMax
      if (isEnough || found.length === limit) return found
    }
    if (entries.length < referrersChunk) break
  }
  return found
}

export function listUploads(reader: KeyValueReader, page: Page<UploadId>): UploadRecord[] {
  const entries = reader.entries({ ...below(uploadsPrefix, page.after), limit: page.limit })
  return entries.map(({ key, value }) => decodeUpload(value, key))
}

function repositoriesBelow(
  reader: KeyValueReader,
  prefix: string,
  page: Page<string>,
): RepositoryName[] {
  const keys = reader.keys({ ...below(prefix, page.after), limit: page.limit })
  return keys.map((key) => decodeRepository(lastPart(key, prefix), key))
}

export function decodeRepository(text: string, key: string): RepositoryName {
  const repository = parseRepositoryName(text)
  if (repository === undefined) throw corrupt(key)
  return repository
}
