// What snapshots of a backup directory name, read from it and proved by its digests.

import { lstat, readFile } from 'node:fs/promises'
import type { Digest } from '../../oci/digest.ts'
import type { DumpEntry } from '../../storage/metadata/dump.ts'
import { BackupError, unlessAbsent } from './error.ts'
import type { Layout } from './layout.ts'
import { unpackSegment } from './segment.ts'
import type { SegmentName, Snapshot } from './snapshot.ts'

/** Errors: BackupError where it is absent, or not what its name says; the system's own. */
export async function readSegment(layout: Layout, name: SegmentName): Promise<DumpEntry[]> {
  const packed = await unlessAbsent(readFile(layout.segment(name.digest)))
  if (packed === undefined) throw new BackupError(absent)
  return unpackSegment(packed, name)
}

export const absent = 'it is not there'

/** Why the blob at that path cannot be the one of this size; undefined where it can. Errors: the system's own. */
export async function sizeProblem(path: string, size: number): Promise<string | undefined> {
  const found = await unlessAbsent(lstat(path))
  if (found === undefined) return absent
  if (!found.isFile()) return 'it is not a file'
  return found.size === size ? undefined : `it has ${found.size} bytes instead of ${size}`
}

/** Each once, however many snapshots share it, with those that do. */
export function sharedSegments(
  snapshots: readonly Snapshot[],
): ReadonlyMap<Digest, { readonly name: SegmentName; readonly users: number }> {
  const shared = new Map<Digest, { readonly name: SegmentName; readonly users: number }>()
  for (const { segments } of snapshots) {
    for (const name of segments) {
      const users = (shared.get(name.digest)?.users ?? 0) + 1
      shared.set(name.digest, { name, users })
    }
  }
  return shared
}

/** A blob that snapshots name. */
export interface NamedBlob {
  readonly size: number
  /** How many snapshots rely on its bytes: those that say that they lack it do not. */
  users: number
}

/** Bytes that snapshots rely on, or at least know of. */
export class NamedBlobs {
  readonly #blobs = new Map<Digest, NamedBlob>()

  get size(): number {
    return this.#blobs.size
  }

  [Symbol.iterator](): IterableIterator<[Digest, NamedBlob]> {
    return this.#blobs.entries()
  }

  has(digest: Digest): boolean {
    return this.#blobs.has(digest)
  }

  /** Those of a segment that so many snapshots share. */
  add(entries: readonly DumpEntry[], users: number): void {
    for (const entry of entries) {
      if (entry.kind !== 'blob') continue
      const known = this.#blobs.get(entry.digest)
      if (known === undefined) this.#blobs.set(entry.digest, { size: entry.size, users })
      else known.users += users
    }
  }

  /** After all segments: what a snapshot says it lacks is not its to have. */
  excuse({ missing }: Snapshot): void {
    for (const { digest } of missing) {
      const known = this.#blobs.get(digest)
      if (known !== undefined) known.users -= 1
    }
  }
}
