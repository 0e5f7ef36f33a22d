// What one repository holds, for the model of a metadata store.

import type { Descriptor } from '../../src/oci/descriptor.ts'
import type { Digest } from '../../src/oci/digest.ts'
import type { Tag } from '../../src/oci/tag.ts'
import type { ManifestPut } from '../../src/storage/metadata/contract.ts'
import type { ManifestSummary, Removal } from '../../src/storage/metadata/garbage.ts'
import type { TagMove } from '../../src/storage/metadata/tag-history.ts'
import type { TagTimes } from '../../src/storage/metadata/tag-times.ts'

export class RepositoryModel {
  /** Leases; meaningful while not referenced. */
  readonly links: Map<Digest, number> = new Map()
  readonly manifests: Map<Digest, ManifestPut> = new Map()
  readonly tags: Map<Tag, Digest> = new Map()
  readonly moves: Map<Tag, TagMove[]> = new Map()
  /** Of pushes that moved nothing. */
  readonly pushes: Map<Tag, number> = new Map()
  readonly pulls: Map<Tag | Digest, number> = new Map()
  readonly unused: Map<Digest, number> = new Map()
  /** Pushed by digest then, and not used since. */
  readonly awaited: Map<Digest, number> = new Map()

  isReferenced(blob: Digest): boolean {
    return [...this.manifests.values()].some(
      ({ blobs, optionalBlobs }) => blobs.includes(blob) || optionalBlobs.includes(blob),
    )
  }

  add(put: ManifestPut): void {
    this.manifests.set(put.digest, put)
    for (const child of put.children) this.use(child)
  }

  use(digest: Digest): void {
    this.unused.delete(digest)
    this.awaited.delete(digest)
  }

  isAwaited(digest: Digest, { leaseUntilMs, nowMs }: Removal): boolean {
    const pushedAtMs = this.awaited.get(digest) ?? Number.NEGATIVE_INFINITY
    return nowMs < pushedAtMs + (leaseUntilMs - nowMs)
  }

  pointTag(tag: Tag, to: Digest | undefined, atMs: number): void {
    const from = this.tags.get(tag)
    if (from === to) return
    if (to === undefined) {
      for (const rows of [this.tags, this.pushes, this.pulls]) rows.delete(tag)
    } else this.tags.set(tag, to)
    const move = { ...(from ? { from } : {}), ...(to ? { to } : {}), atMs }
    this.moves.set(tag, [move, ...(this.moves.get(tag) ?? [])])
  }

  tagsOf(digest: Digest): Tag[] {
    return [...this.tags.keys()].filter((tag) => this.tags.get(tag) === digest).sort()
  }

  isListed(digest: Digest): boolean {
    return [...this.manifests.values()].some(({ children }) => children.includes(digest))
  }

  times(tag: Tag): TagTimes {
    const digest = this.tags.get(tag)!
    const moves =
      this.moves
        .get(tag)
        ?.map(({ atMs }) => atMs)
        .slice(0, 1) ?? []
    const pushes = [...moves, this.pushes.get(tag) ?? 0]
    const pulledAtMs = Math.max(this.pulls.get(tag) ?? 0, this.pulls.get(digest) ?? 0)
    const times = { tag, digest, pushedAtMs: Math.max(...pushes) }
    return pulledAtMs === 0 ? times : { ...times, pulledAtMs }
  }

  summary(digest: Digest): ManifestSummary {
    const { mediaType, bytes, children, subject } = this.manifests.get(digest)!
    const unusedSinceMs = this.unused.get(digest)
    return {
      ...{ digest, mediaType, size: bytes.length, children },
      blobs: namedBlobs(this.manifests.get(digest)!),
      tags: this.tagsOf(digest),
      isListed: this.isListed(digest),
      ...(subject === undefined ? {} : { subject }),
      ...(unusedSinceMs === undefined ? {} : { unusedSinceMs }),
    }
  }

  /** Whether a manifest is that one, or an index with it in it, however deep. */
  needs(manifest: Digest, digest: Digest): boolean {
    const children = this.manifests.get(manifest)?.children ?? []
    return manifest === digest || children.some((child) => this.needs(child, digest))
  }

  referrers(subject: Digest): Descriptor[] {
    return [...this.manifests.values()]
      .filter((put) => put.subject === subject)
      .map((put) => put.descriptor!)
      .sort((a, b) => (a.digest < b.digest ? -1 : 1))
  }
}

export function namedBlobs({ blobs, optionalBlobs }: ManifestPut): Digest[] {
  return [...new Set([...blobs, ...optionalBlobs])]
}
