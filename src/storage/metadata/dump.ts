// What backup and restore ask of a metadata backend: all its rows as of one moment, and a way back.

import type { Digest } from '../../oci/digest.ts'
import type { MaybePromise } from './contract.ts'
import type { PassesOver } from './garbage.ts'
import type { Adoption } from './job-store.ts'
import type { UsageFault } from './usage.ts'

/** A row, as only the backend understands it. */
export interface DumpedRecord {
  readonly kind: 'record'
  readonly key: string
  readonly value: string
}

/** Bytes that stand beside the rows, such as those of a manifest. */
export interface DumpedBody {
  readonly kind: 'body'
  readonly key: string
  readonly bytes: Uint8Array
}

/** A blob whose bytes the rows rely on. Comes beside the rows: it says nothing that they do not say. */
export interface DumpedBlob {
  readonly kind: 'blob'
  readonly digest: Digest
  /** In bytes. */
  readonly size: number
}

export type DumpEntry = DumpedRecord | DumpedBody | DumpedBlob

/** What there was at that moment. */
export interface DumpCounts {
  readonly repositories: number
  readonly manifests: number
  readonly tags: number
}

/**
 * One moment of the store. Records come sorted by key, blobs by digest, and bodies by key after them all.
 * Left out is what belongs to processes that live: the lock, jobs, upload sessions, probes; blobs that are
 * being destroyed; and whose tree the blobs lie in. The order is the same for the same content.
 */
export interface Dump {
  /**
   * The next entries; none at the end. Takes about a millisecond.
   * Errors: StorageError 'unavailable'; without `onCorrupt` also 'corrupt'.
   */
  next(): MaybePromise<readonly DumpEntry[]>
  /** Of what `next` has answered so far. */
  readonly counts: DumpCounts
  /** Blobs whose bytes are out of the way, as `counts`. They are not among the entries. */
  readonly quarantined: readonly Omit<DumpedBlob, 'kind'>[]
  /** Idempotent; must be called. Until then the store grows by all that is written meanwhile. */
  close(): void
}

/** Contract: test/contract/metadata/dump.ts. */
export interface DumpStore {
  /** A record that cannot be read is in the dump as it is; of a blob that it tells of nothing is known. */
  openDump(options?: PassesOver): Dump
  /**
   * Tells the store from every other one, and is the same after a restore; undefined before it has a secret
   * (`ensureSecret`).
   */
  readStoreId(): MaybePromise<string | undefined>
  /**
   * From when it resolves this process writes nothing that a dump would hold, and no upload session: such a write
   * rejects with StorageError 'frozen'. What it answers ends that; idempotent. Other processes are not held.
   * Errors: StorageError 'unavailable', 'full'.
   */
  freeze(): Promise<() => void>
}

/** What a store holds, before anything is restored to it. */
export type RestoreState =
  | { readonly kind: 'empty' }
  /** A restore of this snapshot did not end. */
  | { readonly kind: 'begun'; readonly snapshot: string }
  /** `holds` names the first thing that somebody has made there, for people. */
  | { readonly kind: 'used'; readonly holds: string }

export interface RestoreTimes {
  /** Of the dump; milliseconds since 1970, as the next two. */
  readonly takenAtMs: number
  readonly nowMs: number
  /** No lease ends before it. */
  readonly leaseUntilMs: number
}

/**
 * A store that nobody else uses, into which a dump goes. From `begin` to `end` every other opening of it
 * is refused. All is durable. Errors: StorageError 'full', 'unavailable', 'corrupt'.
 */
export interface RestoreTarget {
  readState(): MaybePromise<RestoreState>
  /**
   * Removes what is there: an earlier attempt, or what a server makes by itself at its start. That the blobs lie in
   * the tree of another registry stays, or is so from here on with `adoption`.
   */
  begin(snapshot: string, adoption?: Adoption): Promise<void>
  /**
   * Idempotent. Blobs among the entries say nothing new. What waits for its time, such as to be destroyed,
   * waits as long as it would have when the dump was taken; `lacking` are blobs whose bytes are not there:
   * they read as absent until somebody pushes them.
   * Errors: StorageError 'conflict' where the rows are of another format.
   */
  load(
    entries: readonly DumpEntry[],
    times: RestoreTimes,
    lacking: ReadonlySet<Digest>,
  ): Promise<void>
  /**
   * The store may be used. Answers counters that are not what is stored amounts to; told of a record that
   * cannot be read, it has not looked. Without `onCorrupt` that one keeps the store from being used.
   */
  end(options: PassesOver): Promise<readonly UsageFault[]>
}
