// MetadataStore over any key-value backend: which method reads, which writes, and how durably.

import type { Descriptor } from '../../../oci/descriptor.ts'
import type { Digest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import type { Tag } from '../../../oci/tag.ts'
import type { UploadId } from '../../../oci/upload-id.ts'
import { StorageError } from '../../error.ts'
import type {
  BlobLink,
  ManifestPut,
  ManifestPutResult,
  MetadataStore,
  Page,
  StoredManifest,
  UploadProgress,
  UploadRecord,
} from '../contract.ts'
import type { MaintenanceStore } from '../maintenance.ts'
import type { TagMove } from '../tag-history.ts'
import type {
  Revocation,
  StoredApiKey,
  StoredRefreshToken,
  StoredSigningKey,
  StoredTokenState,
  TokenStore,
} from '../token-store.ts'
import type { ImmutableTag, IsImmutable, OverQuota, Quota, Usage, UsageFault } from '../usage.ts'
import * as blobs from './blobs.ts'
import { isDoubtful } from './garbage.ts'
import { probeKey, secretKey, uploadKey } from './keys.ts'
import * as lists from './lists.ts'
import { KeyValueMaintenanceStore } from './maintenance-store.ts'
import * as manifests from './manifests.ts'
import { deleteManifest } from './removal.ts'
import { applyRevocations } from './shared-revocations.ts'
import * as tags from './tags.ts'
import * as tokens from './tokens.ts'
import * as uploads from './uploads.ts'
import * as usage from './usage.ts'

/** Reads answer at once, without a promise. */
export class KeyValueMetadataStore
  extends KeyValueMaintenanceStore
  implements MaintenanceStore, TokenStore
{
  #probes = 0

  readTag(repository: RepositoryName, tag: Tag): Digest | undefined {
    return tags.readTag(this.reader, repository, tag)
  }

  readManifest(repository: RepositoryName, digest: Digest): StoredManifest | undefined {
    return manifests.readManifest(this.reader, repository, digest)
  }

  readBlob(repository: RepositoryName, digest: Digest): BlobLink | undefined {
    return blobs.readBlob(this.reader, repository, digest)
  }

  listTags(repository: RepositoryName, page: Page<string>): Tag[] | undefined {
    return lists.listTags(this.reader, repository, page)
  }

  listRepositories(page: Page<string>): RepositoryName[] {
    return lists.listRepositories(this.reader, page)
  }

  listReferrers(
    repository: RepositoryName,
    subject: Digest,
    page: Page<Digest> & { readonly artifactType?: string; readonly jsonLengthMax?: number },
  ): Descriptor[] {
    return lists.listReferrers(this.reader, repository, subject, page)
  }

  repositoriesHolding(digest: Digest, limit: number): RepositoryName[] {
    return lists.repositoriesHolding(this.reader, digest, limit)
  }

  readTagHistory(repository: RepositoryName, tag: Tag, limit: number): TagMove[] {
    return tags.readTagHistory(this.reader, repository, tag, limit)
  }

  readUsage(prefix: string): Usage {
    return usage.readUsage(this.reader, prefix)
  }

  recountUsage(options: { readonly repair: boolean }): Promise<readonly UsageFault[]> {
    return this.store.write('durable', (transaction) => usage.recount(transaction, options))
  }

  linkBlob(
    link: Parameters<MetadataStore['linkBlob']>[0],
  ): Promise<'linked' | 'busy' | 'damaged' | OverQuota> {
    const { repository, digest, size, leaseUntilMs, quotas, upload, isThere, isReplaced } = link
    return this.change((transaction) => {
      if (upload) uploads.requireHeld(transaction, upload.id, upload.owner, upload.fence)
      if (isThere?.() === false) return 'busy'
      if (isReplaced === false && isDoubtful(transaction, digest)) return 'damaged'
      const result = blobs.linkBlob(transaction, repository, digest, size, leaseUntilMs, quotas)
      if (upload && result === 'linked') transaction.remove(uploadKey(upload.id))
      return result
    })
  }

  mountBlob(
    source: RepositoryName,
    target: RepositoryName,
    digest: Digest,
    leaseUntilMs: number,
    quotas: readonly Quota[],
  ): Promise<'mounted' | 'absent' | OverQuota> {
    return this.change((transaction) =>
      blobs.mountBlob(transaction, source, target, digest, leaseUntilMs, quotas),
    )
  }

  renewLease(repository: RepositoryName, digest: Digest, leaseUntilMs: number): Promise<boolean> {
    return this.store.write('durable', (transaction) =>
      blobs.renewLease(transaction, repository, digest, leaseUntilMs),
    )
  }

  unlinkBlob(
    repository: RepositoryName,
    digest: Digest,
    leaseUntilMs: number,
  ): Promise<'removed' | 'absent' | 'referenced'> {
    return this.change((transaction) =>
      blobs.unlinkBlob(transaction, repository, digest, leaseUntilMs),
    )
  }

  putManifest(put: ManifestPut): Promise<ManifestPutResult> {
    return this.change((transaction) => manifests.putManifest(transaction, put))
  }

  async deleteManifest(
    repository: RepositoryName,
    digest: Digest,
    nowMs: number,
    leaseUntilMs: number,
    isImmutable?: IsImmutable,
  ): Promise<'removed' | 'absent' | ImmutableTag> {
    const remove = (isKept: boolean): Promise<'removed' | 'absent' | ImmutableTag> => {
      const by = { nowMs, leaseUntilMs, isKept }
      return this.change((transaction) =>
        deleteManifest(transaction, repository, digest, by, isImmutable),
      )
    }
    try {
      return await remove(true)
    } catch (error) {
      if (!(error instanceof StorageError && error.kind === 'full')) throw error
      // To delete is what helps a full disk, so it must not want room for what could come back.
      return remove(false)
    }
  }

  deleteTag(
    repository: RepositoryName,
    tag: Tag,
    nowMs: number,
    isImmutable?: IsImmutable,
  ): Promise<'removed' | 'absent' | ImmutableTag> {
    return this.change((transaction) =>
      tags.deleteTag(transaction, repository, tag, nowMs, isImmutable),
    )
  }

  createUpload(record: UploadRecord): Promise<void> {
    return this.store.write('visible', (transaction) => uploads.createUpload(transaction, record))
  }

  readUpload(id: UploadId): UploadRecord | undefined {
    return uploads.readUpload(this.reader, id)
  }

  claimUpload(
    id: UploadId,
    owner: string,
    nowMs: number,
    mayTake: (record: UploadRecord) => boolean,
  ): Promise<UploadRecord | undefined> {
    return this.store.write('visible', (transaction) =>
      uploads.claimUpload(transaction, id, owner, nowMs, mayTake),
    )
  }

  saveUpload(id: UploadId, owner: string, fence: number, progress: UploadProgress): Promise<void> {
    return this.store.write('visible', (transaction) =>
      uploads.saveUpload(transaction, id, owner, fence, progress),
    )
  }

  removeUpload(id: UploadId, fence: number): Promise<void> {
    return this.store.write('visible', (transaction) =>
      uploads.removeUpload(transaction, id, fence),
    )
  }

  listUploads(page: Page<UploadId>): UploadRecord[] {
    return lists.listUploads(this.reader, page)
  }

  readTokenRevision(): number {
    return tokens.readRevision(this.reader)
  }

  readTokenState(): StoredTokenState {
    return tokens.readState(this.reader)
  }

  createApiKey(key: StoredApiKey, keysMax: number): Promise<'created' | 'name-taken' | 'full'> {
    return this.store.write('durable', (transaction) =>
      tokens.createApiKey(transaction, key, keysMax),
    )
  }

  revokeApiKey(id: string, nowMs: number): Promise<boolean> {
    return this.store.write('durable', (transaction) => tokens.revokeApiKey(transaction, id, nowMs))
  }

  revokeToken(
    tokenId: string,
    nowMs: number,
    forgetAtMs: number,
    revocationsMax: number,
  ): Promise<'revoked' | 'full'> {
    return this.store.write('durable', (transaction) =>
      tokens.revokeToken(transaction, tokenId, nowMs, forgetAtMs, revocationsMax),
    )
  }

  revokeUser(
    username: string,
    nowMs: number,
    forgetAtMs: number,
  ): Promise<{ readonly apiKeys: number; readonly refreshTokens: number }> {
    return this.store.write('durable', (transaction) =>
      tokens.revokeUser(transaction, username, nowMs, forgetAtMs),
    )
  }

  applyRevocations(
    revocations: readonly Revocation[],
    countMax: number,
  ): Promise<{ readonly applied: number; readonly dropped: number }> {
    return this.store.write('durable', (transaction) =>
      applyRevocations(transaction, revocations, countMax),
    )
  }

  putSigningKey(
    key: StoredSigningKey,
    after: { readonly kid: string; readonly verifiesUntilMs: number } | undefined,
  ): Promise<boolean> {
    return this.store.write('durable', (transaction) =>
      tokens.putSigningKey(transaction, key, after),
    )
  }

  createRefreshToken(token: StoredRefreshToken, perUserMax: number): Promise<void> {
    return this.store.write('durable', (transaction) =>
      tokens.createRefreshToken(transaction, token, perUserMax),
    )
  }

  readRefreshToken(secretSha256: string): StoredRefreshToken | undefined {
    return tokens.readRefreshToken(this.reader, secretSha256)
  }

  listRefreshTokens(): StoredRefreshToken[] {
    return tokens.listRefreshTokens(this.reader)
  }

  removeRefreshToken(id: string): Promise<boolean> {
    return this.store.write('durable', (transaction) => tokens.removeRefreshToken(transaction, id))
  }

  sweepTokens(nowMs: number): Promise<void> {
    return this.store.write('durable', (transaction) => tokens.sweep(transaction, nowMs))
  }

  async ensureSecret(fresh: string): Promise<string> {
    const known = this.reader.get(secretKey)
    if (known !== undefined) return known
    return this.store.write('durable', (transaction) => {
      // Another process may have made one meanwhile.
      const made = transaction.get(secretKey)
      if (made === undefined) transaction.put(secretKey, fresh)
      return made ?? fresh
    })
  }

  refresh(): void {
    this.store.refresh()
  }

  probe(): Promise<void> {
    this.#probes++
    return this.store.write('durable', (transaction) =>
      transaction.put(probeKey, String(this.#probes)),
    )
  }

  close(): Promise<void> {
    return this.store.close()
  }
}
