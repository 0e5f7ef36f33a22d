// Proves a backup: every snapshot, every segment and every blob is there and is what its name says. Reads only.

import { lstat } from 'node:fs/promises'
import { relative } from 'node:path'
import { type Digest, digestAlgorithm } from '../../oci/digest.ts'
import type { IngestPool } from '../../offload/contract.ts'
import { StorageError } from '../../storage/error.ts'
import type { JobProgress } from '../job/contract.ts'
import {
  absent,
  type NamedBlob,
  NamedBlobs,
  readSegment,
  sharedSegments,
  sizeProblem,
} from './contents.ts'
import { BackupError, unlessAbsent } from './error.ts'
import { readIdentity } from './identity.ts'
import { inLanes } from './lanes.ts'
import type { Layout } from './layout.ts'
import { type PresentFile, presentBlobs, presentSegments } from './present.ts'
import {
  chooseSnapshot,
  lackedBy,
  listSnapshotIds,
  readSnapshot,
  type Snapshot,
} from './snapshot.ts'

export interface VerifyOptions {
  /** One snapshot, by the begin of its id; absent: all of them. */
  readonly at: string | undefined
  /** Sizes of blobs, and not their bytes. */
  readonly isQuick: boolean
  readonly ingest: Pick<IngestPool, 'rehash'>
  readonly signal: AbortSignal
  readonly onProgress: (progress: JobProgress) => void
}

export interface BackupFault {
  /** From the directory of the backup. */
  readonly path: string
  readonly problem: string
}

export interface VerifyResult {
  readonly snapshots: number
  readonly segments: number
  readonly blobs: { readonly count: number; readonly bytes: number }
  readonly faults: readonly BackupFault[]
  /** Those that say themselves what they lack. */
  readonly incomplete: readonly { readonly snapshot: string; readonly missing: number }[]
  /** Files that no snapshot names; absent where only one was looked at, or not all could be read. */
  readonly orphans?: { readonly count: number; readonly bytes: number }
}

const lanes = 4

/** Errors: BackupError where there is no backup; the system's own; AbortError. */
export async function verifyBackup(layout: Layout, options: VerifyOptions): Promise<VerifyResult> {
  const verifier = new Verifier(layout, options)
  return verifier.run()
}

class Verifier {
  readonly #layout: Layout
  readonly #options: VerifyOptions
  readonly #faults: BackupFault[] = []
  readonly #blobs = new NamedBlobs()

  constructor(layout: Layout, options: VerifyOptions) {
    this.#layout = layout
    this.#options = options
  }

  async run(): Promise<VerifyResult> {
    const ids = await listSnapshotIds(this.#layout)
    const identity = await this.#reading(this.#layout.identity, readIdentity(this.#layout))
    if (identity === undefined && ids.length === 0) {
      throw new BackupError(`there is no backup in ${this.#layout.root}`)
    }
    const { at } = this.#options
    const chosen = at === undefined ? ids : [chooseSnapshot(ids, at)]
    const snapshots = await this.#readSnapshots(chosen, identity?.store)
    const segments = sharedSegments(snapshots)
    for (const { name, users } of segments.values()) {
      this.#options.signal.throwIfAborted()
      const path = this.#layout.segment(name.digest)
      const entries = await this.#reading(path, readSegment(this.#layout, name))
      if (entries !== undefined) this.#blobs.add(entries, users)
    }
    for (const snapshot of snapshots) this.#blobs.excuse(snapshot)
    const areSegmentsWhole = this.#faults.length === 0
    const blobs = await this.#checkBlobs()
    const isWhole = areSegmentsWhole && at === undefined
    const orphans = isWhole ? { orphans: await this.#countOrphans(segments) } : {}
    const incomplete = snapshots
      .map((snapshot) => ({ snapshot: snapshot.id, missing: lackedBy(snapshot).length }))
      .filter(({ missing }) => missing > 0)
    const counts = { snapshots: snapshots.length, segments: segments.size, blobs }
    return { ...counts, faults: this.#faults, incomplete, ...orphans }
  }

  async #readSnapshots(
    ids: readonly string[],
    store: string | undefined,
  ): Promise<readonly Snapshot[]> {
    const snapshots: Snapshot[] = []
    for (const id of ids) {
      const path = this.#layout.snapshot(id)
      const snapshot = await this.#reading(path, readSnapshot(this.#layout, id))
      if (snapshot === undefined) continue
      if (store !== undefined && snapshot.store !== store)
        this.#fault(path, 'it is of another store')
      snapshots.push(snapshot)
    }
    return snapshots
  }

  async #checkBlobs(): Promise<{ readonly count: number; readonly bytes: number }> {
    const { onProgress, signal } = this.#options
    const total = this.#blobs.size
    let count = 0
    let bytes = 0
    await inLanes(this.#blobs, lanes, async ([digest, blob]) => {
      signal.throwIfAborted()
      const problem = await this.#problemOf(digest, blob)
      if (problem !== undefined) this.#fault(this.#layout.blob(digest), problem)
      count += 1
      bytes += blob.size
      onProgress({ phase: 'blobs', done: count, total, bytes })
    })
    return { count, bytes }
  }

  async #problemOf(digest: Digest, { size, users }: NamedBlob): Promise<string | undefined> {
    const path = this.#layout.blob(digest)
    const problem = await sizeProblem(path, size)
    if (problem === absent && users === 0) return undefined
    if (problem !== undefined || this.#options.isQuick) return problem
    const { ingest, signal } = this.#options
    try {
      const target = { kind: 'fs', path } as const
      const is = await ingest.rehash(target, size, digestAlgorithm(digest), async () =>
        signal.throwIfAborted(),
      )
      return is === digest ? undefined : 'its bytes do not have its digest'
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      return `it cannot be read: ${error.message}`
    }
  }

  async #countOrphans(
    segments: ReadonlyMap<Digest, unknown>,
  ): Promise<{ readonly count: number; readonly bytes: number }> {
    const orphans = { count: 0, bytes: 0 }
    const add = async (
      files: AsyncIterable<PresentFile>,
      isNamed: (digest: Digest) => boolean,
    ): Promise<void> => {
      for await (const { path, digest } of files) {
        if (digest !== undefined && isNamed(digest)) continue
        const found = await unlessAbsent(lstat(path))
        orphans.count += 1
        orphans.bytes += found?.size ?? 0
      }
    }
    await add(presentBlobs(this.#layout), (digest) => this.#blobs.has(digest))
    await add(presentSegments(this.#layout), (digest) => segments.has(digest))
    return orphans
  }

  /** Undefined, and a fault, where what is read is wrong. */
  async #reading<T>(path: string, reading: Promise<T>): Promise<T | undefined> {
    try {
      return await reading
    } catch (error) {
      if (!(error instanceof Error)) throw error
      this.#fault(path, error.message)
      return undefined
    }
  }

  #fault(path: string, problem: string): void {
    this.#faults.push({ path: relative(this.#layout.root, path), problem })
  }
}
