// Brings back from a peer what is broken here: verified like an upload, and held by nobody who did not hold it.

import { type Digest, digestAlgorithm } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/name.ts'
import { newUploadId } from '../../oci/upload-id.ts'
import { StorageError } from '../../storage/error.ts'
import type { RecordAudit, WantedManifest } from '../../storage/metadata/record-audit.ts'
import type { JobContext } from '../job/contract.ts'
import { ChunkBody } from '../transfer/chunk-body.ts'
import type { Peer, PeerBlob, PeerSource } from './peer.ts'

// Of those that hold a blob, any may have it at the peer; they mostly have the same ones.
const repositoriesAsked = 4
// In a row: a peer that is away must not cost its timeout for each blob.
const failuresMax = 3
const problemLengthMax = 300

export interface HealerOptions {
  readonly context: JobContext
  readonly audit: RecordAudit
  /** Asked each time. */
  readonly peers: () => readonly PeerSource[]
  readonly graceMs: () => number
}

export class Healer {
  readonly #options: HealerOptions
  readonly #opened = new Map<string, Promise<Peer>>()
  readonly #failures = new Map<string, { count: number; last: string }>()

  constructor(options: HealerOptions) {
    this.#options = options
  }

  /** What could not be asked, for people. */
  get problems(): readonly string[] {
    return [...this.#failures].map(([name, { last }]) => `peer ${name}: ${last}`)
  }

  /**
   * The name of the peer whose bytes it has now; undefined where nobody has them. Units: `size` in bytes, as it
   * is recorded; 0 where nobody knows. Errors: StorageError of our own stores; the signal's reason.
   */
  async healBlob(digest: Digest, size: number): Promise<string | undefined> {
    const { audit } = this.#options
    const holders = await audit.holders(digest, repositoriesAsked)
    for (const source of this.#options.peers()) {
      for (const repository of holders) {
        const isHealed = await this.#asking(source, (peer) =>
          this.#fetchBlob(peer, repository, digest, size),
        )
        if (isHealed === true) return source.name
      }
    }
    return undefined
  }

  /** As `healBlob`. */
  async healManifest({ repository, digest }: WantedManifest): Promise<string | undefined> {
    const { audit, context, graceMs } = this.#options
    for (const source of this.#options.peers()) {
      const bytes = await this.#asking(source, (peer) =>
        peer.fetchManifest(repository, digest, context.signal),
      )
      if (bytes === undefined) continue
      const leaseUntilMs = context.now() + graceMs()
      const result = await context.changing(() =>
        audit.healManifest({ repository, digest, bytes, leaseUntilMs }),
      )
      if (result === 'healed') return source.name
      if (result === 'unfit') this.#fail(source, `what it sent for ${digest} is something else`)
    }
    return undefined
  }

  async close(): Promise<void> {
    const opened = await Promise.allSettled(this.#opened.values())
    for (const each of opened) if (each.status === 'fulfilled') await each.value.close()
  }

  async #asking<T>(source: PeerSource, ask: (peer: Peer) => Promise<T>): Promise<T | undefined> {
    const { signal } = this.#options.context
    const failure = this.#failures.get(source.name)
    if (failure !== undefined && failure.count >= failuresMax) return undefined
    try {
      const answer = await ask(await this.#open(source))
      if (failure !== undefined && answer !== undefined) failure.count = 0
      return answer
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof StorageError && error.kind === 'unavailable') throw error
      this.#fail(source, error instanceof Error ? error.message : String(error))
      return undefined
    }
  }

  #open(source: PeerSource): Promise<Peer> {
    const opened = this.#opened.get(source.name)
    if (opened !== undefined) return opened
    const opening = source.open()
    this.#opened.set(source.name, opening)
    // One that could not be opened is tried again, within the bound of failures.
    opening.catch(() => this.#opened.delete(source.name))
    return opening
  }

  #fail({ name }: Pick<PeerSource, 'name'>, why: string): void {
    const count = (this.#failures.get(name)?.count ?? 0) + 1
    this.#failures.set(name, { count, last: why.slice(0, problemLengthMax) })
  }

  async #fetchBlob(
    peer: Peer,
    repository: RepositoryName,
    digest: Digest,
    size: number,
  ): Promise<boolean> {
    const { context } = this.#options
    const { metadata, blobs } = context
    const upload = newUploadId(context.randomUuid)
    // It may be refused, so it is asked for before the peer sends anything.
    const target = blobs.staging(upload)
    const found = await peer.fetchBlob(repository, digest, context.signal)
    if (found === undefined) return false
    const nowMs = context.now()
    // It stands for the staged bytes, so that they are expired with it where this process dies.
    await metadata.createUpload({
      ...{ id: upload, repository, algorithm: digestAlgorithm(digest), offset: 0, synced: false },
      ...{ bootId: '', fence: 0, startedAtMs: nowMs, touchedAtMs: nowMs },
    })
    try {
      const received = await this.#receive(peer, target, digest, size, found)
      if (received === undefined) return false
      await blobs.publish(upload, digest, received, { replace: true })
      return await this.#settle(digest, received)
    } finally {
      await blobs.discard(upload)
      await metadata.removeUpload(upload, 0)
    }
  }

  /** How many bytes were taken; undefined where they are others. */
  async #receive(
    peer: Peer,
    target: Parameters<JobContext['ingest']['receive']>[0]['target'],
    digest: Digest,
    size: number,
    found: PeerBlob,
  ): Promise<number | undefined> {
    const { context } = this.#options
    const body = new ChunkBody(found.body, found.size, (bytes) => context.pace({ items: 0, bytes }))
    try {
      const outcome = await context.ingest.receive(
        {
          ...{ target, offset: 0, algorithm: digestAlgorithm(digest), sync: true },
          hash: { kind: 'stream' },
          // No more than it can be, where that is known.
          bytesMax: size > 0 ? size : (found.size ?? Number.MAX_SAFE_INTEGER),
        },
        body,
      )
      if (outcome.kind === 'aborted') throw body.failure?.error ?? new Error('it ended early')
      if (outcome.kind === 'complete' && outcome.digest === digest) return outcome.offset
      this.#fail(peer, `what it sent for ${digest} is something else`)
      return undefined
    } finally {
      found.cancel()
      await body.end()
    }
  }

  async #settle(digest: Digest, size: number): Promise<boolean> {
    const { audit, context, graceMs } = this.#options
    const leaseUntilMs = context.now() + graceMs()
    const isThere = (): boolean => context.blobs.isThereNow?.(digest) ?? true
    const settled = await context.changing(() =>
      audit.settleBlob({ digest, size, leaseUntilMs, isThere }),
    )
    return settled !== 'absent'
  }
}
