// What a metadata store must answer, in plain sets and maps: no leases by time, no indexes, no bytes.

import type { Digest } from '../../src/oci/digest.ts'
import type { RepositoryName } from '../../src/oci/name.ts'
import type { Tag } from '../../src/oci/tag.ts'
import type { UploadId } from '../../src/oci/upload-id.ts'
import type {
  BlobLink,
  ManifestPut,
  ManifestPutResult,
  UploadProgress,
  UploadRecord,
} from '../../src/storage/metadata/contract.ts'
import type { Removal, RemovedManifest } from '../../src/storage/metadata/garbage.ts'
import type {
  ImmutableTag,
  IsImmutable,
  OverQuota,
  Quota,
  Usage,
} from '../../src/storage/metadata/usage.ts'
import { BlobModels } from './blob-models.ts'
import { namedBlobs, RepositoryModel } from './repository-model.ts'

export const conflict = 'conflict'

/** A manifest that was deleted, and what of its contents was not there even then. */
export interface RemovedModel {
  readonly removed: RemovedManifest
  readonly put: ManifestPut
  readonly lacking: readonly Digest[]
}

export class MetadataModel {
  readonly blobs: BlobModels = new BlobModels()
  readonly uploads: Map<UploadId, UploadRecord> = new Map()
  readonly removed: Map<string, RemovedModel> = new Map()
  readonly repositories: Map<RepositoryName, RepositoryModel> = new Map()

  at(name: RepositoryName): RepositoryModel {
    const found = this.repositories.get(name) ?? new RepositoryModel()
    this.repositories.set(name, found)
    return found
  }

  readBlob(name: RepositoryName, digest: Digest): BlobLink | undefined {
    const leaseUntilMs = this.at(name).links.get(digest)
    if (leaseUntilMs === undefined) return undefined
    const referenced = this.at(name).isReferenced(digest)
    return {
      size: this.blobs.size(digest),
      referenced,
      leaseUntilMs: referenced ? 0 : leaseUntilMs,
    }
  }

  linkBlob(
    name: RepositoryName,
    digest: Digest,
    size: number,
    leaseUntilMs: number,
    quotas: readonly Quota[],
    upload?: { readonly id: UploadId; readonly owner: string; readonly fence: number },
  ): 'conflict' | 'linked' | 'busy' | OverQuota {
    if (upload && !this.#isHeld(upload.id, upload.owner, upload.fence)) return conflict
    if (this.blobs.destroying.has(digest)) return 'busy'
    const isNew = !this.blobs.sizes.has(digest)
    this.blobs.sizes.set(digest, size)
    const added = this.at(name).links.has(digest) ? 0 : size
    const over = this.#overQuota(quotas, { bytes: added, tags: 0 })
    if (over && isNew) this.blobs.unheld.set(digest, leaseUntilMs)
    if (over) return over
    if (upload) this.uploads.delete(upload.id)
    this.hold(name, digest, leaseUntilMs)
    return 'linked'
  }

  /** Added up anew each time. */
  usage(prefix: string): Usage {
    let bytes = 0
    let tags = 0
    for (const [name, { links, manifests, tags: names }] of this.repositories) {
      if (prefix !== '' && name !== prefix && !name.startsWith(`${prefix}/`)) continue
      for (const digest of links.keys()) bytes += this.blobs.size(digest)
      for (const put of manifests.values()) bytes += put.bytes.length
      tags += names.size
    }
    return { bytes, tags }
  }

  mountBlob(
    source: RepositoryName,
    target: RepositoryName,
    digest: Digest,
    leaseUntilMs: number,
    quotas: readonly Quota[],
  ): 'mounted' | 'absent' | OverQuota {
    if (!this.at(source).links.has(digest)) return 'absent'
    const added = this.at(target).links.has(digest) ? 0 : this.blobs.size(digest)
    const over = this.#overQuota(quotas, { bytes: added, tags: 0 })
    if (over) return over
    this.hold(target, digest, leaseUntilMs)
    return 'mounted'
  }

  renewLease(name: RepositoryName, digest: Digest, leaseUntilMs: number): boolean {
    return this.mountBlob(name, name, digest, leaseUntilMs, []) === 'mounted'
  }

  unlinkBlob(
    name: RepositoryName,
    digest: Digest,
    leaseUntilMs: number,
  ): 'removed' | 'absent' | 'referenced' {
    const repository = this.at(name)
    if (!repository.links.has(digest)) return 'absent'
    if (repository.isReferenced(digest)) return 'referenced'
    repository.links.delete(digest)
    if (!this.isHeld(digest)) this.blobs.unheld.set(digest, leaseUntilMs)
    return 'removed'
  }

  isHeld(digest: Digest): boolean {
    return [...this.repositories.values()].some(({ links }) => links.has(digest))
  }

  putManifest(put: ManifestPut): ManifestPutResult {
    const repository = this.at(put.repository)
    for (const tag of put.tags) {
      const digest = repository.tags.get(tag)
      const isMoved = digest !== undefined && digest !== put.digest
      if (isMoved && put.isImmutable(tag)) return { kind: 'immutable', tag, digest }
    }
    const missing = new Set<Digest>()
    for (const blob of put.allowMissingBlobs ? [] : put.blobs) {
      if (!repository.links.has(blob)) missing.add(blob)
    }
    for (const child of put.allowMissingChildren ? [] : put.children) {
      if (!repository.manifests.has(child)) missing.add(child)
    }
    if (missing.size > 0) return { kind: 'missing', digests: [...missing] }
    const over = this.#overQuota(put.quotas, {
      bytes: repository.manifests.has(put.digest) ? 0 : put.bytes.length,
      tags: put.tags.filter((tag) => !repository.tags.has(tag)).length,
    })
    if (over) return over
    if (!repository.manifests.has(put.digest)) repository.add(put)
    else for (const each of [put.digest, ...put.children]) repository.use(each)
    if (put.tags.length === 0) repository.awaited.set(put.digest, put.nowMs)
    for (const tag of put.tags) {
      if (repository.tags.get(tag) === put.digest) repository.pushes.set(tag, put.nowMs)
      else repository.pointTag(tag, put.digest, put.nowMs)
    }
    return { kind: 'stored' }
  }

  deleteManifest(
    name: RepositoryName,
    digest: Digest,
    nowMs: number,
    leaseUntilMs: number,
    isImmutable: IsImmutable,
  ): 'removed' | 'absent' | ImmutableTag['kind'] {
    const repository = this.at(name)
    const put = repository.manifests.get(digest)
    if (put === undefined) return 'absent'
    const needed = [...repository.tags].some(
      ([tag, to]) => isImmutable(tag) && repository.needs(to, digest),
    )
    if (needed) return 'immutable'
    this.removeRevision(name, put, { nowMs, leaseUntilMs })
    return 'removed'
  }

  removeRevision(name: RepositoryName, put: ManifestPut, by: Removal): void {
    const { nowMs, leaseUntilMs, run } = by
    const { digest, mediaType, bytes, children } = put
    const repository = this.at(name)
    const tags = repository.tagsOf(digest)
    this.removed.set(`${nowMs} ${digest} ${name}`, {
      put,
      lacking: [
        ...namedBlobs(put).filter((blob) => !repository.links.has(blob)),
        ...children.filter((child) => !repository.manifests.has(child)),
      ],
      removed: {
        ...{ atMs: nowMs, repository: name, digest, mediaType, size: bytes.length, tags, children },
        ...(run === undefined ? {} : { run }),
      },
    })
    repository.manifests.delete(digest)
    repository.use(digest)
    repository.pulls.delete(digest)
    for (const blob of [...put.blobs, ...put.optionalBlobs]) {
      if (repository.links.has(blob) && !repository.isReferenced(blob)) {
        repository.links.set(blob, leaseUntilMs)
      }
    }
    for (const tag of tags) repository.pointTag(tag, undefined, nowMs)
  }

  deleteTag(
    name: RepositoryName,
    tag: Tag,
    nowMs: number,
    isImmutable: IsImmutable,
  ): 'removed' | 'absent' | ImmutableTag['kind'] {
    if (!this.at(name).tags.has(tag)) return 'absent'
    if (isImmutable(tag)) return 'immutable'
    this.at(name).pointTag(tag, undefined, nowMs)
    return 'removed'
  }

  claimUpload(
    id: UploadId,
    owner: string,
    nowMs: number,
    mayTake: boolean,
  ): UploadRecord | 'conflict' | undefined {
    const record = this.uploads.get(id)
    if (record === undefined) return undefined
    if (record.owner !== undefined && record.owner !== owner && !mayTake) return conflict
    const claimed = { ...record, owner, fence: record.fence + 1, touchedAtMs: nowMs }
    this.uploads.set(id, claimed)
    return claimed
  }

  saveUpload(
    id: UploadId,
    owner: string,
    fence: number,
    progress: UploadProgress,
  ): 'conflict' | undefined {
    if (!this.#isHeld(id, owner, fence)) return conflict
    const { owner: _owner, digest: _digest, hashState: _state, ...kept } = this.uploads.get(id)!
    const { nowMs, release, ...saved } = progress
    const held = release ? {} : { owner }
    this.uploads.set(id, { ...kept, ...held, ...saved, touchedAtMs: nowMs })
    return undefined
  }

  removeUpload(id: UploadId, fence: number): 'conflict' | undefined {
    const record = this.uploads.get(id)
    if (record !== undefined && record.fence !== fence) return conflict
    this.uploads.delete(id)
    return undefined
  }

  #isHeld(id: UploadId, owner: string, fence: number): boolean {
    const record = this.uploads.get(id)
    return record?.owner === owner && record.fence === fence
  }

  #overQuota(quotas: readonly Quota[], added: Usage): OverQuota | undefined {
    for (const { prefix, bytesMax, tagsMax } of quotas) {
      const used = this.usage(prefix)
      for (const [what, limit] of [
        ['bytes', bytesMax],
        ['tags', tagsMax],
      ] as const) {
        if (limit === undefined || added[what] === 0 || used[what] + added[what] <= limit) continue
        return { kind: 'over-quota', prefix, what, limit, used: used[what], added: added[what] }
      }
    }
    return undefined
  }

  /** The blob is there, and no longer condemned. */
  hold(name: RepositoryName, digest: Digest, leaseUntilMs: number): void {
    const repository = this.at(name)
    const lease = repository.links.get(digest)
    const isLater =
      lease === undefined || (!repository.isReferenced(digest) && lease < leaseUntilMs)
    if (isLater) repository.links.set(digest, leaseUntilMs)
    this.blobs.revive(digest)
    this.blobs.unheld.delete(digest)
  }
}
