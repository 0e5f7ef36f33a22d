// What maintenance asks of a key-value backend: which method reads, which writes, and how durably.

import type { Digest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/name.ts'
import type { Tag } from '../../../oci/tag.ts'
import type { StorageError } from '../../error.ts'
import type { Dump } from '../dump.ts'
import type {
  Destroying,
  Dropped,
  EndedLease,
  GarbageStore,
  LeaseOutcome,
  ManifestSummary,
  PassesOver,
  RemovedManifest,
} from '../garbage.ts'
import type { JobKind, JobRecord, JobStore } from '../job-store.ts'
import type { RecordAudit } from '../record-audit.ts'
import type { FreedTags, Pull, TagRetention, TagTimes, TagTimesStore } from '../tag-times.ts'
import type { KeyValueReader, KeyValueStore, KeyValueTransaction } from './contract.ts'
import { readStoreId, SnapshotDump } from './dump.ts'
import { FreezableStore } from './freezable.ts'
import * as garbage from './garbage.ts'
import * as jobs from './jobs.ts'
import type { OnCorrupt } from './passing-over.ts'
import { KeyValueRecordAudit } from './record-audit.ts'
import * as removals from './removal.ts'
import * as removed from './removed-manifests.ts'
import * as tagTimes from './tag-times.ts'
import * as unused from './unused.ts'
import * as usage from './usage.ts'

type Garbage<Method extends keyof GarbageStore> = Parameters<GarbageStore[Method]>
type Job<Method extends keyof JobStore> = Parameters<JobStore[Method]>
type Restored = ReturnType<GarbageStore['restoreManifest']>

/** The half of `KeyValueMetadataStore` that no request uses. */
export class KeyValueMaintenanceStore
  implements GarbageStore, JobStore, TagTimesStore, TagRetention
{
  protected readonly store: KeyValueStore
  protected readonly reader: KeyValueReader
  #isCounted = false

  readonly #freezable: FreezableStore

  constructor(store: KeyValueStore) {
    this.#freezable = new FreezableStore(store)
    this.store = this.#freezable
    this.reader = store.reader
  }

  freeze(): Promise<() => void> {
    return this.#freezable.freeze()
  }

  isFrozen(): boolean {
    return this.#freezable.isFrozen
  }

  openDump({ onCorrupt }: PassesOver = {}): Dump {
    return new SnapshotDump(this.store.snapshot(), onCorrupt)
  }

  readStoreId(): string | undefined {
    return readStoreId(this.reader)
  }

  openAudit(): RecordAudit {
    return new KeyValueRecordAudit(this.store)
  }

  listEndedLeases(page: Garbage<'listEndedLeases'>[0]): EndedLease[] {
    return garbage.listEndedLeases(this.reader, page, page.onCorrupt)
  }

  condemn(leases: readonly EndedLease[], by: Garbage<'condemn'>[1]): Promise<LeaseOutcome[]> {
    return this.#changePassingOver(by, (transaction, onCorrupt) =>
      garbage.condemn(transaction, leases, by, onCorrupt),
    )
  }

  listDropped(page: Garbage<'listDropped'>[0]): Dropped[] {
    return garbage.listDropped(this.reader, page, page.onCorrupt)
  }

  restoreDropped(
    dropped: readonly Dropped[],
    by: Garbage<'restoreDropped'>[1],
  ): Promise<('restored' | 'absent')[]> {
    return this.#changePassingOver(by, (transaction, onCorrupt) =>
      garbage.restoreDropped(transaction, dropped, by.leaseUntilMs, onCorrupt),
    )
  }

  beginDestroy(
    dropped: readonly Dropped[],
    by: NonNullable<Garbage<'beginDestroy'>[1]> = {},
  ): Promise<{ digest: Digest; size: number }[]> {
    return this.#changePassingOver(by, (transaction, onCorrupt) =>
      garbage.beginDestroy(transaction, dropped, by.beganAtMs, onCorrupt),
    )
  }

  renewDestroy(digests: readonly Digest[], beganAtMs: number): Promise<Destroying[]> {
    return this.change((transaction) => garbage.renewDestroy(transaction, digests, beganAtMs))
  }

  endDestroy(digests: readonly Digest[]): Promise<void> {
    return this.change((transaction) => garbage.endDestroy(transaction, digests))
  }

  listDestroying(
    limit: number,
    { after, onCorrupt }: NonNullable<Garbage<'listDestroying'>[1]> = {},
  ): Destroying[] {
    return garbage.listDestroying(this.reader, limit, after, onCorrupt)
  }

  listManifests(repository: RepositoryName, page: Garbage<'listManifests'>[1]): ManifestSummary[] {
    return unused.listManifests(this.reader, repository, page, page.onCorrupt)
  }

  markUnused(
    repository: RepositoryName,
    marks: Garbage<'markUnused'>[1],
    nowMs: number,
  ): Promise<void> {
    return this.store.write('visible', (transaction) =>
      unused.markUnused(transaction, repository, marks, nowMs),
    )
  }

  removeUnused(
    repository: RepositoryName,
    digest: Digest,
    by: Garbage<'removeUnused'>[2],
  ): Promise<'removed' | 'absent' | 'used'> {
    return this.change((transaction) => removals.removeUnused(transaction, repository, digest, by))
  }

  freeTags(
    repository: RepositoryName,
    digest: Digest,
    seen: readonly TagTimes[],
    by: Parameters<TagRetention['freeTags']>[3],
  ): Promise<FreedTags> {
    return this.change((transaction) =>
      removals.freeTags(transaction, repository, digest, seen, by),
    )
  }

  listRemovedManifests(page: Garbage<'listRemovedManifests'>[0]): RemovedManifest[] {
    return removed.listRemovedManifests(this.reader, page, page.onCorrupt)
  }

  findRemovedManifest(repository: RepositoryName, digest: Digest): RemovedManifest | undefined {
    return removed.findRemovedManifest(this.reader, repository, digest)
  }

  restoreManifest(manifest: RemovedManifest, by: Garbage<'restoreManifest'>[1]): Restored {
    return this.change((transaction) => removed.restoreManifest(transaction, manifest, by))
  }

  forgetRemovedManifests(manifests: readonly RemovedManifest[]): Promise<void> {
    return this.store.write('durable', (transaction) =>
      removed.forgetRemovedManifests(transaction, manifests),
    )
  }

  recordPulls(pulls: readonly Pull[]): Promise<void> {
    return this.store.write('visible', (transaction) => tagTimes.recordPulls(transaction, pulls))
  }

  listTagTimes(
    repository: RepositoryName,
    page: Parameters<TagTimesStore['listTagTimes']>[1],
  ): TagTimes[] {
    return tagTimes.listTagTimes(this.reader, repository, page, page.onCorrupt)
  }

  readPulledAt(repository: RepositoryName, reference: Tag | Digest): number | undefined {
    return tagTimes.readPulledAt(this.reader, repository, reference)
  }

  readJob(kind: JobKind): JobRecord | undefined {
    return jobs.readJob(this.reader, kind)
  }

  claimJob(
    claim: Job<'claimJob'>[0],
    mayTake: (record: JobRecord) => boolean,
  ): Promise<JobRecord | undefined> {
    return this.store.write('durable', (transaction) => jobs.claimJob(transaction, claim, mayTake))
  }

  saveJob(kind: JobKind, held: Job<'saveJob'>[1], change: Job<'saveJob'>[2]): Promise<void> {
    return this.store.write('visible', (transaction) =>
      jobs.saveJob(transaction, kind, held, change),
    )
  }

  askJobToStop(kind: JobKind, run: string): Promise<boolean> {
    return this.store.write('visible', (transaction) => jobs.askJobToStop(transaction, kind, run))
  }

  readAdoption(): ReturnType<typeof jobs.readAdoption> {
    return jobs.readAdoption(this.reader)
  }

  setAdoption(adoption: Job<'setAdoption'>[0]): Promise<void> {
    return this.store.write('durable', (transaction) => jobs.setAdoption(transaction, adoption))
  }

  /** Durably change what repositories hold, and with it the counters. */
  protected async change<T>(action: (transaction: KeyValueTransaction) => T): Promise<T> {
    // What is committed stays counted, so only the changes until then have to ask.
    if (this.#isCounted) return this.store.write('durable', action)
    const result = await this.store.write('durable', (transaction) => {
      usage.prepareCounters(transaction)
      return action(transaction)
    })
    this.#isCounted = true
    return result
  }

  async #changePassingOver<T>(
    { onCorrupt }: PassesOver,
    action: (transaction: KeyValueTransaction, onCorrupt: OnCorrupt) => T,
  ): Promise<T> {
    if (onCorrupt === undefined) return this.change((transaction) => action(transaction, undefined))
    let faults: StorageError[] = []
    const result = await this.change((transaction) => {
      // It may be run again: then it finds them again.
      faults = []
      return action(transaction, (fault) => faults.push(fault))
    })
    for (const fault of faults) onCorrupt(fault)
    return result
  }
}
