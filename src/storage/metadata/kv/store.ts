// MetadataStore over any key-value backend: which method reads, which writes, and how durably.

import type { Descriptor } from '../../../oci/descriptor.ts'
import type { Digest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import type { Tag } from '../../../oci/tag.ts'
import type { UploadId } from '../../../oci/upload-id.ts'
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
import type { TagHistory, TagMove } from '../tag-history.ts'
import type {
  StoredApiKey,
  StoredRefreshToken,
  StoredSigningKey,
  StoredTokenState,
  TokenStore,
} from '../token-store.ts'
import * as blobs from './blobs.ts'
import type { KeyValueReader, KeyValueStore } from './contract.ts'
import { probeKey, uploadKey } from './keys.ts'
import * as lists from './lists.ts'
import * as manifests from './manifests.ts'
import * as tags from './tags.ts'
import * as tokens from './tokens.ts'
import * as uploads from './uploads.ts'

/** Reads answer at once, without a promise. */
export class KeyValueMetadataStore implements MetadataStore, TagHistory, TokenStore {
  readonly #store: KeyValueStore
  readonly #reader: KeyValueReader
  #probes = 0

  constructor(store: KeyValueStore) {
    this.#store = store
    this.#reader = store.reader
  }

  readTag(repository: RepositoryName, tag: Tag): Digest | undefined {
    return tags.readTag(this.#reader, repository, tag)
  }

  readManifest(repository: RepositoryName, digest: Digest): StoredManifest | undefined {
    return manifests.readManifest(this.#reader, repository, digest)
  }

  readBlob(repository: RepositoryName, digest: Digest): BlobLink | undefined {
    return blobs.readBlob(this.#reader, repository, digest)
  }

  listTags(repository: RepositoryName, page: Page<string>): Tag[] | undefined {
    return lists.listTags(this.#reader, repository, page)
  }

  listRepositories(page: Page<string>): RepositoryName[] {
    return lists.listRepositories(this.#reader, page)
  }

  listReferrers(
    repository: RepositoryName,
    subject: Digest,
    page: Page<Digest> & { readonly artifactType?: string; readonly jsonLengthMax?: number },
  ): Descriptor[] {
    return lists.listReferrers(this.#reader, repository, subject, page)
  }

  repositoriesHolding(digest: Digest, limit: number): RepositoryName[] {
    return lists.repositoriesHolding(this.#reader, digest, limit)
  }

  readTagHistory(repository: RepositoryName, tag: Tag, limit: number): TagMove[] {
    return tags.readTagHistory(this.#reader, repository, tag, limit)
  }

  linkBlob(link: Parameters<MetadataStore['linkBlob']>[0]): Promise<void> {
    const { repository, digest, size, leaseUntilMs, upload } = link
    return this.#store.write('durable', (transaction) => {
      if (upload) uploads.closeUpload(transaction, upload.id, upload.owner, upload.fence)
      blobs.linkBlob(transaction, repository, digest, size, leaseUntilMs)
    })
  }

  mountBlob(
    source: RepositoryName,
    target: RepositoryName,
    digest: Digest,
    leaseUntilMs: number,
  ): Promise<boolean> {
    return this.#store.write('durable', (transaction) =>
      blobs.mountBlob(transaction, source, target, digest, leaseUntilMs),
    )
  }

  renewLease(repository: RepositoryName, digest: Digest, leaseUntilMs: number): Promise<boolean> {
    return this.#store.write('durable', (transaction) =>
      blobs.renewLease(transaction, repository, digest, leaseUntilMs),
    )
  }

  unlinkBlob(
    repository: RepositoryName,
    digest: Digest,
    leaseUntilMs: number,
  ): Promise<'removed' | 'absent' | 'referenced'> {
    return this.#store.write('durable', (transaction) =>
      blobs.unlinkBlob(transaction, repository, digest, leaseUntilMs),
    )
  }

  putManifest(put: ManifestPut): Promise<ManifestPutResult> {
    return this.#store.write('durable', (transaction) => manifests.putManifest(transaction, put))
  }

  deleteManifest(
    repository: RepositoryName,
    digest: Digest,
    nowMs: number,
    leaseUntilMs: number,
  ): Promise<boolean> {
    return this.#store.write('durable', (transaction) =>
      manifests.deleteManifest(transaction, repository, digest, nowMs, leaseUntilMs),
    )
  }

  deleteTag(repository: RepositoryName, tag: Tag, nowMs: number): Promise<boolean> {
    return this.#store.write('durable', (transaction) =>
      tags.removeTag(transaction, repository, tag, nowMs),
    )
  }

  createUpload(record: UploadRecord): Promise<void> {
    return this.#store.write('visible', (transaction) => uploads.createUpload(transaction, record))
  }

  readUpload(id: UploadId): UploadRecord | undefined {
    return uploads.readUpload(this.#reader, id)
  }

  claimUpload(
    id: UploadId,
    owner: string,
    nowMs: number,
    mayTake: (record: UploadRecord) => boolean,
  ): Promise<UploadRecord | undefined> {
    return this.#store.write('visible', (transaction) =>
      uploads.claimUpload(transaction, id, owner, nowMs, mayTake),
    )
  }

  saveUpload(id: UploadId, owner: string, fence: number, progress: UploadProgress): Promise<void> {
    return this.#store.write('visible', (transaction) =>
      uploads.saveUpload(transaction, id, owner, fence, progress),
    )
  }

  removeUpload(id: UploadId): Promise<void> {
    return this.#store.write('visible', (transaction) => transaction.remove(uploadKey(id)))
  }

  listUploads(page: Page<UploadId>): UploadRecord[] {
    return lists.listUploads(this.#reader, page)
  }

  readTokenRevision(): number {
    return tokens.readRevision(this.#reader)
  }

  readTokenState(): StoredTokenState {
    return tokens.readState(this.#reader)
  }

  createApiKey(key: StoredApiKey, keysMax: number): Promise<'created' | 'name-taken' | 'full'> {
    return this.#store.write('durable', (transaction) =>
      tokens.createApiKey(transaction, key, keysMax),
    )
  }

  revokeApiKey(id: string, nowMs: number): Promise<boolean> {
    return this.#store.write('durable', (transaction) =>
      tokens.revokeApiKey(transaction, id, nowMs),
    )
  }

  revokeToken(
    tokenId: string,
    nowMs: number,
    forgetAtMs: number,
    revocationsMax: number,
  ): Promise<'revoked' | 'full'> {
    return this.#store.write('durable', (transaction) =>
      tokens.revokeToken(transaction, tokenId, nowMs, forgetAtMs, revocationsMax),
    )
  }

  revokeUser(
    username: string,
    nowMs: number,
    forgetAtMs: number,
  ): Promise<{ readonly apiKeys: number; readonly refreshTokens: number }> {
    return this.#store.write('durable', (transaction) =>
      tokens.revokeUser(transaction, username, nowMs, forgetAtMs),
    )
  }

  putSigningKey(
    key: StoredSigningKey,
    after: { readonly kid: string; readonly verifiesUntilMs: number } | undefined,
  ): Promise<boolean> {
    return this.#store.write('durable', (transaction) =>
      tokens.putSigningKey(transaction, key, after),
    )
  }

  createRefreshToken(token: StoredRefreshToken, perUserMax: number): Promise<void> {
    return this.#store.write('durable', (transaction) =>
      tokens.createRefreshToken(transaction, token, perUserMax),
    )
  }

  readRefreshToken(secretSha256: string): StoredRefreshToken | undefined {
    return tokens.readRefreshToken(this.#reader, secretSha256)
  }

  listRefreshTokens(): StoredRefreshToken[] {
    return tokens.listRefreshTokens(this.#reader)
  }

  removeRefreshToken(id: string): Promise<boolean> {
    return this.#store.write('durable', (transaction) => tokens.removeRefreshToken(transaction, id))
  }

  sweepTokens(nowMs: number): Promise<void> {
    return this.#store.write('durable', (transaction) => tokens.sweep(transaction, nowMs))
  }

  refresh(): void {
    this.#store.refresh()
  }

  probe(): Promise<void> {
    this.#probes++
    return this.#store.write('durable', (transaction) =>
      transaction.put(probeKey, String(this.#probes)),
    )
  }

  close(): Promise<void> {
    return this.#store.close()
  }
}
