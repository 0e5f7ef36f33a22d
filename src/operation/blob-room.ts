// How large a blob may be in one repository at this moment, so that what cannot fit is refused before its bytes.

import type { Digest } from '../oci/digest.ts'
import { OciError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/name.ts'
import type { Registry } from './registry.ts'
import { quotaRefusal } from './rule-refusal.ts'

export interface BlobRoom {
  /** Of the whole blob; no larger one can be linked as things stand. */
  readonly bytesMax: number
  /** For a blob of so many bytes; undefined where all that is known is that they are too many. */
  refusal(bytes: number | undefined): OciError
}

/**
 * Never smaller than what the metadata transaction would let through: without a digest the bytes may
 * be those of any blob that the repository holds already, which costs nothing.
 */
export async function blobRoom(
  repository: RepositoryName,
  digest: Digest | undefined,
  { metadata, rules }: Pick<Registry, 'metadata' | 'rules'>,
): Promise<BlobRoom> {
  const { blobBytesMax, quotas } = rules.rulesFor(repository)
  const withoutQuota: BlobRoom = {
    bytesMax: blobBytesMax,
    refusal: () =>
      new OciError('CONTENT_TOO_LARGE', {
        message: 'the blob is larger than this registry accepts',
        detail: { bytesMax: blobBytesMax },
      }),
  }
  const bounds = quotas.filter(({ bytesMax }) => bytesMax !== undefined)
  if (bounds.length === 0) return withoutQuota
  const isHeld = digest !== undefined && (await metadata.readBlob(repository, digest)) !== undefined
  if (isHeld) return withoutQuota
  const own = digest === undefined ? (await metadata.readUsage(repository)).bytes : 0
  let room = withoutQuota
  for (const { prefix, bytesMax: limit = 0 } of bounds) {
    const used = (await metadata.readUsage(prefix)).bytes
    const bytesMax = Math.max(limit - used, own, 0)
    if (bytesMax >= room.bytesMax) continue
    const full = { kind: 'over-quota', prefix, what: 'bytes', limit, used } as const
    room = {
      bytesMax,
      refusal: (added) => quotaRefusal(added === undefined ? full : { ...full, added }),
    }
  }
  return room
}

/**
 * Units: bytes of the whole blob, as far as they are known. Errors: OciError CONTENT_TOO_LARGE, QuotaRefusal.
 */
export async function requireRoom(
  repository: RepositoryName,
  digest: Digest | undefined,
  bytes: number,
  registry: Pick<Registry, 'metadata' | 'rules'>,
): Promise<void> {
  const room = await blobRoom(repository, digest, registry)
  if (bytes > room.bytesMax) throw room.refusal(bytes)
}
