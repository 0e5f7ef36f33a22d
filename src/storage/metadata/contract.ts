// What a metadata backend promises: names, tags, references, leases and upload sessions, in transactions.

import type { Digest } from '../../oci/digest.ts'
import type { Descriptor } from '../../oci/manifest.ts'
import type { RepositoryName } from '../../oci/name.ts'
import type { Tag } from '../../oci/tag.ts'
import type { UploadId } from '../../oci/upload-id.ts'
import type { ImmutableTag, IsImmutable, OverQuota, Quota, UsageStore } from './usage.ts'

/** Backends that can answer from memory do, so that a hit costs no promise. */
export type MaybePromise<T> = T | Promise<T>

export interface StoredManifest {
  readonly digest: Digest
  readonly mediaType: string
  /** The bytes as they were pushed. Never change them: they may be shared. */
  readonly bytes: Uint8Array
}

/** A blob as one repository sees it: linked there, and not condemned. */
export interface BlobLink {
  /** In bytes. */
  readonly size: number
  /** Whether a manifest of the repository names it. Where none does, the lease runs. */
  readonly referenced: boolean
  /** Milliseconds since 1970; meaningful while not referenced. */
  readonly leaseUntilMs: number
}

export interface ManifestPut {
  readonly repository: RepositoryName
  readonly digest: Digest
  readonly mediaType: string
  readonly bytes: Uint8Array
  readonly tags: readonly Tag[]
  /** Config and layer blobs that must be in this repository. */
  readonly blobs: readonly Digest[]
  /** Blobs that need not be in this repository (foreign layers); those that are there are referenced. */
  readonly optionalBlobs: readonly Digest[]
  /** Child manifests of an index. */
  readonly children: readonly Digest[]
  /** Absent `blobs` are no obstacle; those that are there are referenced all the same. */
  readonly allowMissingBlobs: boolean
  /** Absent `children` are no obstacle: a sparse index. */
  readonly allowMissingChildren: boolean
  readonly subject?: Digest
  /** What the referrers list shows of it; set where there is a subject. */
  readonly descriptor?: Descriptor
  /** Every one that holds in the repository. */
  readonly quotas: readonly Quota[]
  /** Of tags that are there and name something else. */
  readonly isImmutable: IsImmutable
  readonly nowMs: number
  /**
   * Set where an import stores what was pushed elsewhere. The history of the tags then has the time of that
   * push and the run; when they were last pushed is `nowMs` all the same, so that no rule finds them old at once.
   */
  readonly imported?: { readonly run: string; readonly movedAtMs: number }
}

export type ManifestPutResult =
  | { readonly kind: 'stored' }
  | { readonly kind: 'missing'; readonly digests: readonly Digest[] }
  | ImmutableTag
  | OverQuota

/** Which process may write a session, and how far it has come. */
export interface UploadRecord {
  readonly id: UploadId
  readonly repository: RepositoryName
  readonly algorithm: 'sha256' | 'sha512'
  /** Committed bytes: what a client may rely on. Staged bytes after it are to be cut off. */
  readonly offset: number
  /** Digest of the committed bytes; absent where it has to be computed from the staged bytes. */
  readonly digest?: Digest
  /** What the threads can go on with after `offset` bytes, if anything; only for sessions that announce chunks. */
  readonly hashState?: string
  /** Whether the staged bytes up to `offset` were synced before this record was written. */
  readonly synced: boolean
  /** Kernel boot id under which it was written; without `synced`, another one voids `digest`. */
  readonly bootId: string
  /** Process epoch that holds the session; absent when nobody does. */
  readonly owner?: string
  /** Grows with each change of owner; a writer with an older one is refused. */
  readonly fence: number
  readonly startedAtMs: number
  readonly touchedAtMs: number
}

export interface UploadProgress {
  readonly offset: number
  readonly digest?: Digest
  readonly hashState?: string
  readonly synced: boolean
  readonly bootId: string
  readonly nowMs: number
  /** Give the session up at the same time, so that any process may take it. */
  readonly release: boolean
}

export interface Page<After> {
  /** Exclusive: only what sorts after it. */
  readonly after?: After
  readonly limit: number
}

/**
 * Names and references. One write method is one transaction: it happens whole or not at all.
 * A write resolves when every reader of the store sees it and, where its line says *durable*, when a
 * power loss cannot undo it (unless durability is "none"). Every method may throw StorageError
 * 'unavailable' or 'corrupt', every write 'full'. Sorting is by bytes (ASCII).
 * Contract: test/contract/metadata-store.ts.
 */
export interface MetadataStore extends UsageStore {
  /** True while its writes are refused: what it does not name may belong to records that it was moved to. */
  isFrozen?(): boolean
  // Reads.
  readTag(repository: RepositoryName, tag: Tag): MaybePromise<Digest | undefined>
  readManifest(repository: RepositoryName, digest: Digest): MaybePromise<StoredManifest | undefined>
  readBlob(repository: RepositoryName, digest: Digest): MaybePromise<BlobLink | undefined>
  /** Undefined where the repository holds nothing (no manifest, no tag). */
  listTags(repository: RepositoryName, page: Page<string>): MaybePromise<Tag[] | undefined>
  /** Repositories that hold a manifest. */
  listRepositories(page: Page<string>): MaybePromise<RepositoryName[]>
  /**
   * Sorted by digest. Empty for an unknown subject. With `jsonLengthMax`, the one that makes their JSON
   * longer than that (in characters) is the last, but never the first: a pusher chooses their size.
   */
  listReferrers(
    repository: RepositoryName,
    subject: Digest,
    page: Page<Digest> & { readonly artifactType?: string; readonly jsonLengthMax?: number },
  ): MaybePromise<Descriptor[]>
  /** Some repositories in which the blob is linked, sorted, at most `limit`. */
  repositoriesHolding(digest: Digest, limit: number): MaybePromise<RepositoryName[]>

  // Content. All durable.
  /**
   * After `BlobStore.publish`: the repository holds the blob; a condemned one is live again; closes the
   * session. Over a quota no repository holds it but for those that did, and the session stays; bytes that
   * are new to the store get a record with a lease, so that they are not forgotten. 'busy', and nothing is
   * changed, while the blob of this digest is being destroyed, or where `isThere` finds its bytes gone:
   * publish again. 'damaged', and nothing is changed, where what is at its key may be what was quarantined,
   * and `isReplaced` is false: publish in its place.
   */
  linkBlob(link: {
    readonly repository: RepositoryName
    readonly digest: Digest
    readonly size: number
    readonly leaseUntilMs: number
    readonly quotas: readonly Quota[]
    /** The session that ends in the same transaction. StorageError 'conflict' where its fence or owner has changed. */
    readonly upload?: { readonly id: UploadId; readonly owner: string; readonly fence: number }
    /** Asked inside the transaction, when nobody can destroy them any more. Must not write. */
    readonly isThere?: () => boolean
    /** Whether the caller's bytes took the place of what was there; absent where it is known to be right. */
    readonly isReplaced?: boolean
  }): Promise<'linked' | 'busy' | 'damaged' | OverQuota>
  /** Link into `target` what `source` holds. A lease starts. Same store only. `quotas` of `target`. */
  mountBlob(
    source: RepositoryName,
    target: RepositoryName,
    digest: Digest,
    leaseUntilMs: number,
    quotas: readonly Quota[],
  ): Promise<'mounted' | 'absent' | OverQuota>
  /** Move the lease of an unreferenced blob; false where the link is gone. */
  renewLease(repository: RepositoryName, digest: Digest, leaseUntilMs: number): Promise<boolean>
  /** Take the blob from the repository. Its record stays for GC. `referenced` changes nothing. */
  unlinkBlob(
    repository: RepositoryName,
    digest: Digest,
    leaseUntilMs: number,
  ): Promise<'removed' | 'absent' | 'referenced'>
  /** Revision, tags, tag history, references and referrer entry at once; storing it again is fine. */
  putManifest(put: ManifestPut): Promise<ManifestPutResult>
  /**
   * The revision, its tags, its references (leases start) and its referrer entry. Refused where an
   * immutable tag names it, or an index that lists it. Without `isImmutable` no tag is.
   */
  deleteManifest(
    repository: RepositoryName,
    digest: Digest,
    nowMs: number,
    leaseUntilMs: number,
    isImmutable?: IsImmutable,
  ): Promise<'removed' | 'absent' | ImmutableTag>
  /** The tag alone; its manifest stays. Without `isImmutable` the tag is not. */
  deleteTag(
    repository: RepositoryName,
    tag: Tag,
    nowMs: number,
    isImmutable?: IsImmutable,
  ): Promise<'removed' | 'absent' | ImmutableTag>

  // Upload sessions. Visible when resolved, not necessarily durable.
  createUpload(record: UploadRecord): Promise<void>
  readUpload(id: UploadId): MaybePromise<UploadRecord | undefined>
  /**
   * Become the owner: the record with a grown fence, or undefined where there is no session.
   * Errors: StorageError 'conflict' while another owner holds it; `mayTake` decides about that owner.
   */
  claimUpload(
    id: UploadId,
    owner: string,
    nowMs: number,
    mayTake: (record: UploadRecord) => boolean,
  ): Promise<UploadRecord | undefined>
  /** Errors: StorageError 'conflict' where owner or fence is not the record's any more. */
  saveUpload(id: UploadId, owner: string, fence: number, progress: UploadProgress): Promise<void>
  /** Idempotent. Errors: StorageError 'conflict' where somebody has claimed it since it had this fence. */
  removeUpload(id: UploadId, fence: number): Promise<void>
  listUploads(page: Page<UploadId>): MaybePromise<UploadRecord[]>

  /**
   * A secret that all processes of the store share, and never changes: `fresh` where there was none.
   * Durable.
   */
  ensureSecret(fresh: string): Promise<string>
  /** Drop any snapshot, so that the next read sees what other processes have committed. Cheap (1 µs). */
  refresh(): void
  /** Resolves where a small durable write succeeds, for readiness. */
  probe(): Promise<void>
  close(): Promise<void>
}
