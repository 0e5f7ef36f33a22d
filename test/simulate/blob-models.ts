// What becomes of the blobs of a whole store, for the model of a metadata store.

import type { Digest } from '../../src/oci/digest.ts'
import type { RepositoryName } from '../../src/oci/name.ts'
import type { Dropped } from '../../src/storage/metadata/garbage.ts'

export class BlobModels {
  /** Of all that have a record. */
  readonly sizes: Map<Digest, number> = new Map()
  /** Leases of those that no repository holds. */
  readonly unheld: Map<Digest, number> = new Map()
  /** Since when. */
  readonly condemned: Map<Digest, number> = new Map()
  readonly destroying: Set<Digest> = new Set()
  readonly #dropped = new Map<string, Dropped>()

  size(digest: Digest): number {
    return this.sizes.get(digest)!
  }

  /** Oldest first. */
  dropped(): Dropped[] {
    const keys = [...this.#dropped.keys()].sort()
    return keys.map((key) => this.#dropped.get(key)!)
  }

  drop(atMs: number, digest: Digest, run: string, repository?: RepositoryName): void {
    const of = repository === undefined ? {} : { repository }
    const dropped = { atMs, digest, ...of, size: this.size(digest), run }
    this.#dropped.set(keyOf(dropped), dropped)
  }

  /** False where there is none. */
  forgetDropped(dropped: Dropped): boolean {
    return this.#dropped.delete(keyOf(dropped))
  }

  condemn(digest: Digest, atMs: number, run: string): void {
    this.unheld.delete(digest)
    this.condemned.set(digest, atMs)
    this.drop(atMs, digest, run)
  }

  /** Nothing where it is not condemned. */
  revive(digest: Digest): void {
    const atMs = this.condemned.get(digest)
    if (atMs === undefined) return
    this.condemned.delete(digest)
    this.#dropped.delete(keyOf({ atMs, digest }))
  }

  beginDestroy(digest: Digest): void {
    const atMs = this.condemned.get(digest)!
    this.revive(digest)
    this.destroying.add(digest)
    for (const dropped of this.dropped()) {
      if (dropped.atMs === atMs && dropped.digest === digest) this.forgetDropped(dropped)
    }
  }
}

function keyOf({
  atMs,
  digest,
  repository,
}: Pick<Dropped, 'atMs' | 'digest' | 'repository'>): string {
  return `${String(atMs).padStart(15, '0')}!${digest}!${repository ?? ''}`
}
