// What garbage collection asks of a metadata backend: what has run out, what was dropped, and what may go.

import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/name.ts'
import type { Tag } from '../../oci/tag.ts'
import type { StorageError } from '../error.ts'
import type { MaybePromise } from './contract.ts'

/**
 * Told of each record that cannot be read ('corrupt', it names the key), which is then passed over, so that
 * one of them never stops a run. Without it the whole call is refused.
 */
export interface PassesOver {
  readonly onCorrupt?: (error: StorageError) => void
}

/** A lease that has run out. Units: `untilMs` since 1970. */
export interface EndedLease {
  readonly untilMs: number
  readonly digest: Digest
  /** Absent for a blob that no repository holds. */
  readonly repository?: RepositoryName
}

/**
 * `unlinked`: the repository does not hold the blob any more, another one does. `condemned`: that was the
 * last hold on it. `kept`: the lease was renewed, or a manifest names the blob now.
 */
export type LeaseOutcome = 'unlinked' | 'condemned' | 'kept'

/** What a run has taken away, and a restore brings back. */
export interface Dropped {
  /** Milliseconds since 1970. */
  readonly atMs: number
  readonly digest: Digest
  /** That no longer holds the blob; absent for the blob itself, which is condemned. */
  readonly repository?: RepositoryName
  /** Of the blob, in bytes. */
  readonly size: number
  /** Id of the run. */
  readonly run: string
}

/** A manifest that was deleted, by whomever, and is kept for the restore window. */
export interface RemovedManifest {
  readonly atMs: number
  readonly repository: RepositoryName
  readonly digest: Digest
  readonly mediaType: string
  /** In bytes. */
  readonly size: number
  /** Those that named it then. */
  readonly tags: readonly Tag[]
  /** That it lists. */
  readonly children: readonly Digest[]
  /** Id of the run; absent where a client deleted it. */
  readonly run?: string
}

export interface ManifestSummary {
  readonly digest: Digest
  readonly mediaType: string
  /** In bytes. */
  readonly size: number
  readonly tags: readonly Tag[]
  readonly children: readonly Digest[]
  readonly blobs: readonly Digest[]
  readonly subject?: Digest
  /** Whether an index of the repository lists it. */
  readonly isListed: boolean
  /** Since when sweeps have found it unused; absent where none has. */
  readonly unusedSinceMs?: number
}

/** By whom and when; `run` is absent for a client. */
export interface Removal {
  readonly nowMs: number
  readonly leaseUntilMs: number
  readonly run?: string
}

/** A blob whose bytes are about to go, or gone. Units: bytes, milliseconds since 1970. */
export interface Destroying {
  readonly digest: Digest
  readonly size: number
  /** When that was last begun with; absent where nobody has said. */
  readonly beganAtMs?: number
}

/**
 * Every method looks again, in its own transaction, at what it was told: a record that has changed since
 * is left alone. Lists are oldest first. Contract: test/contract/metadata/garbage.ts.
 */
export interface GarbageStore {
  /** `after` is exclusive. Those that end before `beforeMs`. Fewer than `limit` are the last ones. */
  listEndedLeases(
    page: {
      readonly beforeMs: number
      readonly after?: EndedLease
      readonly limit: number
    } & PassesOver,
  ): MaybePromise<EndedLease[]>
  /**
   * Durable; one outcome for each lease, in their order. A condemned blob reads as absent. A lease that does
   * not end before `nowMs` is kept, and so is one of which a record cannot be read.
   */
  condemn(
    leases: readonly EndedLease[],
    by: { readonly nowMs: number; readonly run: string } & PassesOver,
  ): Promise<LeaseOutcome[]>
  /** `beforeMs`: only what was dropped earlier. Fewer than `limit` are the last ones. */
  listDropped(
    page: {
      readonly beforeMs?: number
      readonly after?: Dropped
      readonly limit: number
    } & PassesOver,
  ): MaybePromise<Dropped[]>
  /**
   * Durable. Live again (one that was quarantined is that again), and held where it was, with a lease, whatever
   * a quota says; 'absent' where it is destroyed or back already.
   */
  restoreDropped(
    dropped: readonly Dropped[],
    by: { readonly nowMs: number; readonly leaseUntilMs: number } & PassesOver,
  ): Promise<('restored' | 'absent')[]>
  /**
   * Durable. Condemned blobs among them become *destroying*: from here on no push can bring back the old
   * record, and `linkBlob` answers 'busy' until `endDestroy`. Answers those whose bytes are to go. Entries
   * of a repository are only forgotten. `beganAtMs` is remembered where it is given.
   * Errors: StorageError 'conflict' where the blobs lie in the tree of another registry (`readAdoption`).
   */
  beginDestroy(
    dropped: readonly Dropped[],
    by?: PassesOver & { readonly beganAtMs?: number },
  ): Promise<{ digest: Digest; size: number }[]>
  /** Durable. Those of them that are being destroyed still are begun with anew. Answers them. */
  renewDestroy(digests: readonly Digest[], beganAtMs: number): Promise<Destroying[]>
  /** Durable. After their bytes are gone: the records go, too. */
  endDestroy(digests: readonly Digest[]): Promise<void>
  /** What a kill has left between the two, sorted by digest. */
  listDestroying(
    limit: number,
    options?: PassesOver & { readonly after?: Digest },
  ): MaybePromise<Destroying[]>

  /** Of one repository, sorted by digest. */
  listManifests(
    repository: RepositoryName,
    page: { readonly after?: Digest; readonly limit: number } & PassesOver,
  ): MaybePromise<ManifestSummary[]>
  /** Visible. Remembers since when each is unused, and forgets it of those that are in use again. */
  markUnused(
    repository: RepositoryName,
    marks: { readonly unused: readonly Digest[]; readonly used: readonly Digest[] },
    nowMs: number,
  ): Promise<void>
  /**
   * Durable. Like `deleteManifest`, but only where no tag names it but `tags`, and no index lists it;
   * `tags` go with it. One that was pushed by digest, and that nothing has used since, stays for as long as
   * a lease that began with the push. With `unusedBeforeMs` only where it is marked unused since before then, was not pulled
   * since, and has no subject that is there; a push of it, or of an index that lists it, takes the mark away.
   * 'used' changes nothing.
   */
  removeUnused(
    repository: RepositoryName,
    digest: Digest,
    by: Removal & { readonly tags?: readonly Tag[]; readonly unusedBeforeMs?: number },
  ): Promise<'removed' | 'absent' | 'used'>
  listRemovedManifests(
    page: {
      readonly beforeMs?: number
      readonly after?: RemovedManifest
      readonly limit: number
    } & PassesOver,
  ): MaybePromise<RemovedManifest[]>
  /** Newest first, of one digest in one repository: what `tag restore` looks for. */
  findRemovedManifest(
    repository: RepositoryName,
    digest: Digest,
  ): MaybePromise<RemovedManifest | undefined>
  /**
   * Durable. The revision, its references and referrer entry; `tags` that are not there now point at it, and
   * those that are there stay. Condemned blobs that it names are restored, whatever a quota says. 'missing':
   * of what was there when it went, these blobs are destroyed or quarantined, or these children are not in
   * the repository, and have to come back first; nothing is changed.
   */
  restoreManifest(
    removed: RemovedManifest,
    by: {
      readonly nowMs: number
      readonly leaseUntilMs: number
      readonly tags: readonly Tag[]
    },
  ): Promise<
    | { readonly kind: 'restored'; readonly tags: readonly Tag[] }
    | { readonly kind: 'absent' }
    | { readonly kind: 'missing'; readonly digests: readonly Digest[] }
  >
  /** Durable. Their restore window is over. */
  forgetRemovedManifests(removed: readonly RemovedManifest[]): Promise<void>
}
