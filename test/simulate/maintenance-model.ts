// The model of a metadata store, with what maintenance does to it.

import type { Digest } from '../../src/oci/digest.ts'
import type { RepositoryName } from '../../src/oci/name.ts'
import type { Tag } from '../../src/oci/tag.ts'
import type {
  Dropped,
  EndedLease,
  GarbageStore,
  LeaseOutcome,
  Removal,
  RemovedManifest,
} from '../../src/storage/metadata/garbage.ts'
import type { FreedTags, Pull, TagTimes } from '../../src/storage/metadata/tag-times.ts'
import type { IsImmutable } from '../../src/storage/metadata/usage.ts'
import { MetadataModel, type RemovedModel } from './metadata-model.ts'
import { namedBlobs } from './repository-model.ts'

export class MaintenanceModel extends MetadataModel {
  /** By their ends. */
  leases(): EndedLease[] {
    const leases: EndedLease[] = []
    for (const [digest, untilMs] of this.blobs.unheld) leases.push({ untilMs, digest })
    for (const [repository, model] of this.repositories) {
      for (const [digest, untilMs] of model.links) {
        if (!model.isReferenced(digest)) leases.push({ untilMs, digest, repository })
      }
    }
    return leases.sort((a, b) => (leaseText(a) < leaseText(b) ? -1 : 1))
  }

  condemn(lease: EndedLease, nowMs: number, run: string): LeaseOutcome {
    const { untilMs, digest, repository } = lease
    const isSame = this.leases().some((each) => leaseText(each) === leaseText(lease))
    if (untilMs >= nowMs || !isSame) return 'kept'
    if (repository !== undefined) {
      this.at(repository).links.delete(digest)
      this.blobs.drop(nowMs, digest, run, repository)
      if (this.isHeld(digest)) return 'unlinked'
    }
    this.blobs.condemn(digest, nowMs, run)
    return 'condemned'
  }

  restoreDropped(dropped: Dropped, leaseUntilMs: number): 'restored' | 'absent' {
    const { atMs, digest, repository } = dropped
    const { blobs } = this
    const isCondemned = blobs.condemned.get(digest) === atMs
    if (!blobs.forgetDropped(dropped)) return 'absent'
    if (!blobs.sizes.has(digest) || blobs.destroying.has(digest)) return 'absent'
    if (repository !== undefined) {
      if (this.at(repository).links.has(digest)) return 'absent'
      this.hold(repository, digest, leaseUntilMs)
      return 'restored'
    }
    if (!isCondemned) return 'absent'
    blobs.revive(digest)
    blobs.unheld.set(digest, leaseUntilMs)
    return 'restored'
  }

  beginDestroy(dropped: readonly Dropped[]): { digest: Digest; size: number }[] {
    const begun: { digest: Digest; size: number }[] = []
    for (const each of dropped) {
      const { digest, atMs, repository } = each
      const isCondemned = this.blobs.condemned.get(digest) === atMs
      this.blobs.forgetDropped(each)
      if (repository !== undefined || !isCondemned) continue
      this.blobs.beginDestroy(digest)
      begun.push({ digest, size: this.blobs.size(digest) })
    }
    return begun
  }

  endDestroy(digests: readonly Digest[]): void {
    for (const digest of digests) {
      if (this.blobs.destroying.delete(digest)) this.blobs.sizes.delete(digest)
    }
  }

  markUnused(
    name: RepositoryName,
    unused: readonly Digest[],
    used: readonly Digest[],
    nowMs: number,
  ): void {
    const repository = this.at(name)
    for (const digest of unused) {
      const isMarked = repository.unused.has(digest)
      if (!isMarked && repository.manifests.has(digest)) repository.unused.set(digest, nowMs)
    }
    for (const digest of used) repository.unused.delete(digest)
  }

  removeUnused(
    name: RepositoryName,
    digest: Digest,
    by: Removal & { readonly tags: readonly Tag[]; readonly unusedBeforeMs?: number },
  ): 'removed' | 'absent' | 'used' {
    const repository = this.at(name)
    const put = repository.manifests.get(digest)
    if (put === undefined) return 'absent'
    if (repository.isListed(digest)) return 'used'
    if (repository.tagsOf(digest).some((tag) => !by.tags.includes(tag))) return 'used'
    const { unusedBeforeMs } = by
    if (unusedBeforeMs === undefined && repository.isAwaited(digest, by)) return 'used'
    const sinceMs = repository.unused.get(digest) ?? Number.POSITIVE_INFINITY
    const isUsed = (timeMs: number): boolean =>
      unusedBeforeMs !== undefined && timeMs >= unusedBeforeMs
    if (isUsed(sinceMs) || isUsed(repository.pulls.get(digest) ?? 0)) return 'used'
    const isSubjectThere = put.subject !== undefined && repository.manifests.has(put.subject)
    if (unusedBeforeMs !== undefined && isSubjectThere) return 'used'
    this.removeRevision(name, put, by)
    return 'removed'
  }

  freeTags(
    name: RepositoryName,
    digest: Digest,
    seen: readonly TagTimes[],
    by: Removal & { readonly isImmutable: IsImmutable },
  ): FreedTags {
    const repository = this.at(name)
    const tags = seen
      .filter(({ tag }) => repository.tags.get(tag) === digest && !by.isImmutable(tag))
      .filter((times) => JSON.stringify(repository.times(times.tag)) === JSON.stringify(times))
      .map(({ tag }) => tag)
    const put = repository.manifests.get(digest)
    const isUsed =
      tags.length === 0 ||
      repository.tagsOf(digest).length > tags.length ||
      repository.isListed(digest) ||
      repository.isAwaited(digest, by) ||
      (put?.subject !== undefined && repository.manifests.has(put.subject))
    if (put !== undefined && !isUsed) {
      this.removeRevision(name, put, by)
      return { tags, manifest: 'removed' }
    }
    for (const tag of tags) repository.pointTag(tag, undefined, by.nowMs)
    return { tags, manifest: put === undefined ? 'absent' : 'used' }
  }

  listRemoved(): RemovedModel[] {
    const text = ({ removed }: RemovedModel): string =>
      leaseText({ untilMs: removed.atMs, ...removed })
    return [...this.removed.values()].sort((a, b) => (text(a) < text(b) ? -1 : 1))
  }

  restoreManifest(
    { atMs, digest, repository: name }: RemovedManifest,
    by: Parameters<GarbageStore['restoreManifest']>[1],
  ): Awaited<ReturnType<GarbageStore['restoreManifest']>> {
    const key = `${atMs} ${digest} ${name}`
    const found = this.removed.get(key)
    if (found === undefined) return { kind: 'absent' }
    const repository = this.at(name)
    if (!repository.manifests.has(digest)) {
      const wanted = (named: readonly Digest[]): Digest[] =>
        named.filter((each) => !found.lacking.includes(each))
      const blobs = wanted(namedBlobs(found.put))
      const missing = [
        ...blobs.filter((blob) => !this.blobs.sizes.has(blob) || this.blobs.destroying.has(blob)),
        ...wanted(found.put.children).filter((child) => !repository.manifests.has(child)),
      ]
      if (missing.length > 0) return { kind: 'missing', digests: missing }
      repository.add(found.put)
      for (const blob of blobs) this.hold(name, blob, by.leaseUntilMs)
      repository.awaited.set(digest, by.nowMs)
    }
    const tags = by.tags.filter((tag) => !repository.tags.has(tag))
    for (const tag of tags) repository.pointTag(tag, digest, by.nowMs)
    if (tags.length > 0) repository.awaited.delete(digest)
    this.removed.delete(key)
    return { kind: 'restored', tags }
  }

  recordPulls(pulls: readonly Pull[]): void {
    for (const { repository, reference, atMs } of pulls) {
      const { manifests, tags, pulls: times } = this.at(repository)
      const names: readonly string[] = [...manifests.keys(), ...tags.keys()]
      if (!names.includes(reference)) continue
      times.set(reference, Math.max(atMs, times.get(reference) ?? 0))
    }
  }
}

function leaseText({ untilMs, digest, repository }: EndedLease): string {
  return `${String(untilMs).padStart(15, '0')}!${digest}!${repository ?? ''}`
}
