// Puts one snapshot of a backup into an empty store. Cut short, the next one goes on; until one has ended,
// no server opens the store.

import { open } from 'node:fs/promises'
import { type Digest, digestAlgorithm } from '../../oci/digest.ts'
import { newUploadId } from '../../oci/upload-id.ts'
import type { IngestPlan, IngestPool } from '../../offload/contract.ts'
import type { BlobStore } from '../../storage/blob/contract.ts'
import type { DumpedBlob, RestoreTarget, RestoreTimes } from '../../storage/metadata/dump.ts'
import type { Adoption } from '../../storage/metadata/job-store.ts'
import type { UsageFault } from '../../storage/metadata/usage.ts'
import { counted } from '../../telemetry/rough-units.ts'
import { clearPlace } from '../blob-place.ts'
import type { JobProgress } from '../job/contract.ts'
import { absent, readSegment, sizeProblem } from './contents.ts'
import { BackupError } from './error.ts'
import { FileBody } from './file-body.ts'
import { requireIdentity } from './identity.ts'
import { inLanes } from './lanes.ts'
import type { Layout } from './layout.ts'
import {
  chooseSnapshot,
  lackedBy,
  listSnapshotIds,
  readSnapshot,
  type Snapshot,
} from './snapshot.ts'

export interface RestoreOptions {
  /** The begin of the id of a snapshot; absent: the latest. */
  readonly at: string | undefined
  /** Restore also what is not all there: blobs that are lacking read as absent. */
  readonly mayLack: boolean
  /** The blob store need not be empty: what is there and right is kept. */
  readonly keepsBlobs: boolean
  /** Lease of blobs without references, so that garbage collection takes nothing at once. */
  readonly graceMs: number
  readonly now: () => number
  readonly randomUuid: () => string
  readonly signal: AbortSignal
  readonly onProgress: (progress: JobProgress) => void
}

export interface RestoreParts {
  readonly target: RestoreTarget
  readonly blobs: BlobStore
  readonly ingest: IngestPool
}

export interface RestoreResult {
  readonly snapshot: Snapshot
  /** Bytes that were there already are not among them. */
  readonly copied: { readonly count: number; readonly bytes: number }
  readonly lacking: readonly Lacking[]
  readonly usageFaults: readonly UsageFault[]
  /** Records that cannot be read, for people. */
  readonly unreadable: readonly string[]
}

export interface Lacking {
  readonly digest: Digest
  readonly reason: string
}

const lanes = 4

/** Errors: BackupError; StorageError 'full', 'unavailable', 'corrupt', 'conflict'; AbortError. */
export function restoreBackup(
  layout: Layout,
  parts: RestoreParts,
  options: RestoreOptions,
): Promise<RestoreResult> {
  return new Restore(layout, parts, options).run()
}

class Restore {
  readonly #layout: Layout
  readonly #parts: RestoreParts
  readonly #options: RestoreOptions
  readonly #lacking = new Map<Digest, string>()
  /** Held by nobody, and gone before they could be copied. */
  readonly #garbage = new Set<Digest>()
  readonly #copied = { count: 0, bytes: 0 }

  constructor(layout: Layout, parts: RestoreParts, options: RestoreOptions) {
    this.#layout = layout
    this.#parts = parts
    this.#options = options
  }

  async run(): Promise<RestoreResult> {
    const snapshot = await this.#choose()
    await this.#requireRoom(snapshot)
    await this.#look(snapshot)
    const { blobs, target } = this.#parts
    await target.begin(snapshot.id, await adoptionOf(blobs, this.#options.now()))
    await this.#restoreBlobs(snapshot)
    await this.#restoreRows(snapshot)
    const unreadable: string[] = []
    const onCorrupt = ({ message }: Error): void => void unreadable.push(message)
    const usageFaults = await target.end({ onCorrupt })
    const lacking = [...this.#lacking].map(([digest, reason]) => ({ digest, reason }))
    return { snapshot, copied: this.#copied, lacking, usageFaults, unreadable }
  }

  async #choose(): Promise<Snapshot> {
    const { store } = await requireIdentity(this.#layout)
    const ids = await listSnapshotIds(this.#layout)
    const snapshot = await readSnapshot(this.#layout, chooseSnapshot(ids, this.#options.at))
    const { id } = snapshot
    const missing = lackedBy(snapshot)
    if (snapshot.store !== store) throw new BackupError(`snapshot ${id} is of another store`)
    if (missing.length > 0 && !this.#options.mayLack) {
      throw new BackupError(
        `snapshot ${id} is not complete, it lacks ${counted(missing.length, 'blob')}: choose another one with --at, or restore it as it is with --incomplete`,
      )
    }
    return snapshot
  }

  async #requireRoom({ id }: Snapshot): Promise<void> {
    const state = await this.#parts.target.readState()
    if (state.kind === 'used') {
      throw new BackupError(`the store holds ${state.holds}: restore to an empty one`)
    }
    if (state.kind === 'begun') {
      if (state.snapshot === id) return
      throw new BackupError(
        `the store holds a part of snapshot ${state.snapshot}: go on with --at ${state.snapshot}, or empty it`,
      )
    }
    if (this.#options.keepsBlobs) return
    for await (const { digest } of this.#parts.blobs.list()) {
      throw new BackupError(
        `the store has no records, but blobs such as ${digest}: restore to an empty one, or keep them with --keep-blobs`,
      )
    }
  }

  /** Before anything is changed: what can be known to be wrong without reading it all. */
  async #look(snapshot: Snapshot): Promise<void> {
    for (const name of snapshot.segments) {
      this.#options.signal.throwIfAborted()
      await this.#segment(name)
    }
    const unheld = snapshot.missing.filter(({ isHeld }) => !isHeld)
    const garbage = new Set(unheld.map(({ digest }) => digest))
    let done = 0
    const total = snapshot.blobs.count
    for await (const blobs of this.#blobsOf(snapshot)) {
      await inLanes(blobs, lanes, async (blob) => {
        const { digest, size } = blob
        const problem = await sizeProblem(this.#layout.blob(digest), size)
        if (problem === absent && garbage.has(digest)) this.#garbage.add(digest)
        else if (problem !== undefined) this.#lacks(blob, problem)
        done += 1
        this.#options.onProgress({ phase: 'looking', done, total })
      })
    }
  }

  async #restoreBlobs(snapshot: Snapshot): Promise<void> {
    const { onProgress, signal } = this.#options
    const total = snapshot.blobs.count
    const bytesTotal = snapshot.blobs.bytes
    let done = 0
    let bytes = 0
    for await (const blobs of this.#blobsOf(snapshot)) {
      await inLanes(blobs, lanes, async (blob) => {
        signal.throwIfAborted()
        const isLacking = this.#lacking.has(blob.digest) || this.#garbage.has(blob.digest)
        if (!isLacking) await this.#restoreBlob(blob)
        done += 1
        bytes += blob.size
        onProgress({ phase: 'blobs', done, total, bytes, bytesTotal })
      })
    }
  }

  async #restoreBlob(blob: DumpedBlob): Promise<void> {
    const { blobs, ingest } = this.#parts
    const { digest, size } = blob
    const there = await clearPlace(blobs, ingest, blob, this.#options.randomUuid)
    if (there === 'right') return
    const upload = newUploadId(this.#options.randomUuid)
    const file = await open(this.#layout.blob(digest), 'r')
    try {
      const body = new FileBody(file, size, this.#options.signal)
      const plan: IngestPlan = {
        target: blobs.staging(upload),
        offset: 0,
        algorithm: digestAlgorithm(digest),
        hash: { kind: 'stream' },
        bytesMax: size,
        sync: true,
      }
      const outcome = await ingest.receive(plan, body)
      if (outcome.kind !== 'complete') throw body.error ?? new Error(`ingest: ${outcome.kind}`)
      if (outcome.digest !== digest) {
        this.#lacks(blob, 'its bytes do not have its digest')
        return
      }
      await blobs.publish(upload, digest, size, { replace: there === 'wrong' })
      this.#copied.count += 1
      this.#copied.bytes += size
    } finally {
      await file.close()
      await blobs.discard(upload)
    }
  }

  async #restoreRows(snapshot: Snapshot): Promise<void> {
    const { graceMs, now, onProgress, signal } = this.#options
    const nowMs = now()
    const { takenAtMs, segments } = snapshot
    const times: RestoreTimes = { takenAtMs, nowMs, leaseUntilMs: nowMs + graceMs }
    const lacking = new Set([...this.#lacking.keys(), ...this.#garbage])
    for (const [done, name] of segments.entries()) {
      signal.throwIfAborted()
      onProgress({ phase: 'rows', done, total: segments.length })
      if (name.kind === 'blob') continue
      await this.#parts.target.load(await this.#segment(name), times, lacking)
    }
  }

  async *#blobsOf({ segments }: Snapshot): AsyncGenerator<readonly DumpedBlob[]> {
    for (const name of segments) {
      if (name.kind !== 'blob') continue
      yield (await this.#segment(name)).filter((entry) => entry.kind === 'blob')
    }
  }

  async #segment(name: Snapshot['segments'][number]): ReturnType<typeof readSegment> {
    try {
      return await readSegment(this.#layout, name)
    } catch (error) {
      if (!(error instanceof BackupError)) throw error
      throw new BackupError(`${this.#layout.segment(name.digest)}: ${error.message}`)
    }
  }

  #lacks({ digest }: DumpedBlob, reason: string): void {
    if (!this.#options.mayLack) {
      throw new BackupError(
        `${this.#layout.blob(digest)}: ${reason}; bring it back from another copy of the backup, or restore without it with --incomplete`,
      )
    }
    this.#lacking.set(digest, reason)
  }
}

// Where another registry has records beside the blobs, it may know what these records do not, or no more: as at a first
// start nothing is taken from it before it is said to be gone.
async function adoptionOf({ audit }: BlobStore, sinceMs: number): Promise<Adoption | undefined> {
  if ((await audit?.isShared()) !== true) return undefined
  return { sinceMs, of: 'the registry whose directory "repositories" lies beside them' }
}
