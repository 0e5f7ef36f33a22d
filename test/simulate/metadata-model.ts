// What a metadata store must answer, in plain sets and maps: no leases by time, no indexes, no bytes.

import type { Descriptor } from '../../src/oci/descriptor.ts'
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
import type { TagMove } from '../../src/storage/metadata/tag-history.ts'

export class RepositoryModel {
  /** Leases; meaningful while not referenced. */
  readonly links: Map<Digest, number> = new Map()
  readonly manifests: Map<Digest, ManifestPut> = new Map()
  readonly tags: Map<Tag, Digest> = new Map()
  readonly moves: Map<Tag, TagMove[]> = new Map()

  isReferenced(blob: Digest): boolean {
    return [...this.manifests.values()].some(
      ({ blobs, optionalBlobs }) => blobs.includes(blob) || optionalBlobs.includes(blob),
    )
  }

  pointTag(tag: Tag, to: Digest | undefined, atMs: number): void {
    const from = this.tags.get(tag)
    if (from === to) return
    if (to === undefined) this.tags.delete(tag)
    else this.tags.set(tag, to)
    const move = { ...(from ? { from } : {}), ...(to ? { to } : {}), atMs }
    this.moves.set(tag, [move, ...(this.moves.get(tag) ?? [])])
  }

  referrers(subject: Digest): Descriptor[] {
    return [...this.manifests.values()]
      .filter((put) => put.subject === subject)
      .map((put) => put.descriptor!)
      .sort((a, b) => (a.digest < b.digest ? -1 : 1))
  }
}

export const conflict = 'conflict'

export class MetadataModel {
  readonly sizes: Map<Digest, number> = new Map()
  readonly uploads: Map<UploadId, UploadRecord> = new Map()
  readonly #repositories = new Map<RepositoryName, RepositoryModel>()

  at(name: RepositoryName): RepositoryModel {
    const found = this.#repositories.get(name) ?? new RepositoryModel()
    this.#repositories.set(name, found)
    return found
  }

  readBlob(name: RepositoryName, digest: Digest): BlobLink | undefined {
    const leaseUntilMs = this.at(name).links.get(digest)
    if (leaseUntilMs === undefined) return undefined
    const referenced = this.at(name).isReferenced(digest)
    return {
      size: this.sizes.get(digest)!,
      referenced,
      leaseUntilMs: referenced ? 0 : leaseUntilMs,
    }
  }

  linkBlob(
    name: RepositoryName,
    digest: Digest,
    size: number,
    leaseUntilMs: number,
    upload?: { readonly id: UploadId; readonly owner: string; readonly fence: number },
  ): 'conflict' | undefined {
    if (upload && !this.#isHeld(upload.id, upload.owner, upload.fence)) return conflict
    if (upload) this.uploads.delete(upload.id)
    this.sizes.set(digest, size)
    this.#hold(name, digest, leaseUntilMs)
    return undefined
  }

  mountBlob(
    source: RepositoryName,
    target: RepositoryName,
    digest: Digest,
    leaseUntilMs: number,
  ): boolean {
    if (!this.at(source).links.has(digest)) return false
    this.#hold(target, digest, leaseUntilMs)
    return true
  }

  unlinkBlob(name: RepositoryName, digest: Digest): 'removed' | 'absent' | 'referenced' {
    const repository = this.at(name)
    if (!repository.links.has(digest)) return 'absent'
    if (repository.isReferenced(digest)) return 'referenced'
    repository.links.delete(digest)
    return 'removed'
  }

  putManifest(put: ManifestPut): ManifestPutResult {
    const repository = this.at(put.repository)
    const missing = new Set<Digest>()
    for (const blob of put.allowMissingBlobs ? [] : put.blobs) {
      if (!repository.links.has(blob)) missing.add(blob)
    }
    for (const child of put.allowMissingChildren ? [] : put.children) {
      if (!repository.manifests.has(child)) missing.add(child)
    }
    if (missing.size > 0) return { kind: 'missing', digests: [...missing] }
    if (!repository.manifests.has(put.digest)) repository.manifests.set(put.digest, put)
    for (const tag of put.tags) repository.pointTag(tag, put.digest, put.nowMs)
    return { kind: 'stored' }
  }

  deleteManifest(
    name: RepositoryName,
    digest: Digest,
    nowMs: number,
    leaseUntilMs: number,
  ): boolean {
    const repository = this.at(name)
    const put = repository.manifests.get(digest)
    if (put === undefined) return false
    repository.manifests.delete(digest)
    for (const blob of [...put.blobs, ...put.optionalBlobs]) {
      if (repository.links.has(blob) && !repository.isReferenced(blob)) {
        repository.links.set(blob, leaseUntilMs)
      }
    }
    for (const [tag, to] of [...repository.tags]) {
      if (to === digest) repository.pointTag(tag, undefined, nowMs)
    }
    return true
  }

  deleteTag(name: RepositoryName, tag: Tag, nowMs: number): boolean {
    if (!this.at(name).tags.has(tag)) return false
    this.at(name).pointTag(tag, undefined, nowMs)
    return true
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

  #isHeld(id: UploadId, owner: string, fence: number): boolean {
    const record = this.uploads.get(id)
    return record?.owner === owner && record.fence === fence
  }

  #hold(name: RepositoryName, digest: Digest, leaseUntilMs: number): void {
    const repository = this.at(name)
    const lease = repository.links.get(digest)
    const isLater =
      lease === undefined || (!repository.isReferenced(digest) && lease < leaseUntilMs)
    if (isLater) repository.links.set(digest, leaseUntilMs)
  }
}
