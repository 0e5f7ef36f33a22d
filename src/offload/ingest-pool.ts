// Takes request bodies to their staging places, hashed on the way, in bounded memory.

import assert from 'node:assert'
import type { Worker } from 'node:worker_threads'
import type { BodyPlan, StagedPlace } from '../../workers/tasks.ts'
import type { RequestBody } from '../http/body.ts'
import { type Digest, type DigestAlgorithm, digestFromHex, digestHex } from '../oci/digest.ts'
import type { S3Attempt } from '../s3/contract.ts'
import type { StagingTarget } from '../storage/blob/contract.ts'
import { StorageError } from '../storage/error.ts'
import type { IngestFigures } from '../telemetry/ingest-figures.ts'
import { BodyBrake, chunkBytesMax } from './body-brake.ts'
import { BodyReceiver, type ReceiverContext } from './body-receiver.ts'
import type { IngestOutcome, IngestPlan, IngestPool } from './contract.ts'
import type { IngestSession, SessionEvents } from './ingest-session.ts'
import { IngestThreads } from './ingest-threads.ts'
import { hashOfMemory, MemorySession, type MemoryStaging } from './memory-ingest.ts'
import { SlabBudget } from './slab-budget.ts'
import { SyncRegistry } from './sync-registry.ts'
import type { ChannelSessionEvents, ThreadChannel } from './thread-channel.ts'
import { type ThreadPicker, ThreadSession } from './thread-session.ts'

export interface IngestPoolOptions {
  /** Threads. 0 only where every target is `memory`. */
  readonly workers: number
  /** Largest slab, in bytes. */
  readonly slabBytes: number
  /** A body stops reading with this many slabs of bytes on their way through its thread. */
  readonly slabsPerUpload: number
  /** Bound of all slabs together, in bytes; at least 4 MiB. */
  readonly memoryBudgetBytes: number
  readonly durability: 'fsync' | 'none'
  /**
   * How far below the event loop the threads run, as `nice`; default 5. Where both share a core that took a third
   * off the 99th percentile of a GET beside four large pushes; 10 took more, and let pushes starve beside many GETs.
   */
  readonly niceIncrement?: number
  /**
   * Begin to write a body back to the device after this many bytes of it, so that its end has less to
   * wait for; default 32 MiB, 0: never early. Measured on ext4 for 256 MiB: 538 → 664 MB/s.
   */
  readonly writebackBytes?: number
  /** Hashers that a thread keeps for later requests of their sessions, of about 1 KiB each; default 256. */
  readonly keptHashersMax?: number
  /** A thread has died and is replaced. */
  readonly onThreadDeath?: (why: unknown) => void
  /** Told of each attempt at a request of a bucket; must not throw. */
  readonly onS3?: (attempt: S3Attempt) => void
  /** Where targets of kind `memory` go: a MemoryBlobStore. */
  readonly memory?: MemoryStaging
}

const memoryBudgetBytesMin = 8 * chunkBytesMax
const niceIncrementDefault = 5
const writebackBytesDefault = 32 << 20
const keptHashersMaxDefault = 256

/**
 * Start the threads. Memory for bodies stays within `memoryBudgetBytes`, plus what a transport
 * delivers after `pause` and 4 MiB per thread while staged bytes are read again.
 * Units: bytes. Limits: all of `options`.
 */
export function createIngestPool(options: IngestPoolOptions): RunningIngestPool {
  assert(options.memoryBudgetBytes >= memoryBudgetBytesMin, 'memoryBudgetBytes is 4 MiB or more')
  assert(options.slabsPerUpload >= 1, 'slabsPerUpload is 1 or more')
  return new RunningIngestPool(options)
}

export class RunningIngestPool implements IngestPool {
  /** Each figure is looked up when it is asked for: each chunk asks for one, and the other takes a while. */
  readonly taking: IngestPool['taking']
  readonly #options: IngestPoolOptions
  readonly #budget: SlabBudget
  readonly #brake: BodyBrake
  readonly #threads: IngestThreads
  readonly #syncs = new SyncRegistry()
  readonly #context: ReceiverContext
  readonly #picker: ThreadPicker = {
    pick: (path) => this.#threads.keeping(path) ?? this.#threads.leastLoaded(),
    release: (slab) => this.#release(slab),
  }
  /** The body that owns a staging place. */
  readonly #receivers = new Map<string, BodyReceiver>()
  #receiving = 0
  #bytesReceived = 0
  #creditStalls = 0
  #isClosing = false

  constructor(options: IngestPoolOptions) {
    this.#options = options
    this.#budget = new SlabBudget(options.memoryBudgetBytes, options.slabBytes)
    this.#brake = new BodyBrake(this.#budget)
    const { niceIncrement = niceIncrementDefault, keptHashersMax = keptHashersMaxDefault } = options
    const threads = { count: options.workers, niceIncrement, keptHashersMax }
    this.#threads = new IngestThreads(threads, {
      onDeath: (why) => options.onThreadDeath?.(why),
      onReturned: (slab) => this.#release(slab),
      onLost: (bytes) => {
        this.#budget.forget(bytes)
        this.#brake.schedule()
      },
      onS3: (attempt) => options.onS3?.(attempt),
    })
    this.#context = {
      budget: this.#budget,
      brake: this.#brake,
      creditBytes: options.slabsPerUpload * options.slabBytes,
      slabBytes: options.slabBytes,
      onBytes: (count) => {
        this.#bytesReceived += count
      },
      onCreditStall: () => {
        this.#creditStalls += 1
      },
    }
    const received = (): number => this.#bytesReceived
    const awaited = (): number => this.#bytesAwaited()
    this.taking = {
      get received() {
        return received()
      },
      get awaited() {
        return awaited()
      },
    }
  }

  get gauges(): IngestFigures {
    return {
      slabBytesInUse: this.#budget.bytesInUse,
      slabBytesMax: this.#budget.bytesMax,
      stalls: this.#brake.stalls + this.#creditStalls,
      receiving: this.#receiving,
      bytesReceived: this.#bytesReceived,
      inThreads: this.#threads.gauges,
    }
  }

  async ping(): Promise<void> {
    await this.#threads.ping()
  }

  /** For diagnostics; a thread that ends is replaced. */
  get threads(): readonly Worker[] {
    return this.#threads.threads
  }

  /**
   * Takes the body. A body that still owns the same target in this process is superseded: it ends as
   * 'aborted' before the first byte of this one is written.
   */
  async receive(plan: IngestPlan, body: RequestBody): Promise<IngestOutcome> {
    const refusal = refusalByLength(plan, body.length)
    if (refusal) return refusal
    const place = placeOf(plan.target)
    for (let owner = this.#receivers.get(place); owner; owner = this.#receivers.get(place)) {
      owner.supersede()
      await owner.outcome.catch(() => undefined)
      // Whoever waits first goes on; the others supersede it in turn.
      if (this.#receivers.get(place) === owner) this.#receivers.delete(place)
    }
    this.#syncs.rewrite(place, plan.offset)
    const open = this.#sessionFor(plan)
    const receiver = new BodyReceiver(plan, body, this.#context, open)
    this.#receivers.set(place, receiver)
    this.#receiving += 1
    receiver.start()
    try {
      return await receiver.outcome
    } finally {
      this.#receiving -= 1
      if (this.#receivers.get(place) === receiver) this.#receivers.delete(place)
    }
  }

  async rehash(
    target: StagingTarget,
    length: number,
    algorithm: DigestAlgorithm,
    pace?: (bytes: number) => Promise<void>,
  ): Promise<Digest> {
    if (target.kind === 'memory') {
      await pace?.(length)
      const hash = hashOfMemory(this.#memory(), target.key, length, algorithm)
      if (!hash) throw new StorageError('corrupt', 'fewer bytes are staged than were committed')
      return digestFromHex(algorithm, hash.digest('hex'))
    }
    const channel = this.#channel()
    const result = await (pace === undefined
      ? channel.rehash(stagedPlace(target), length, algorithm)
      : channel.rehashPaced(stagedPlace(target), length, algorithm, pace))
    if (!result.ok) throw new StorageError(result.code, `rehash failed: ${result.detail}`)
    return digestFromHex(algorithm, result.hex)
  }

  async sync(target: StagingTarget): Promise<void> {
    // What a bucket has answered is durable.
    if (target.kind !== 'fs' || this.#options.durability === 'none') return
    await this.#syncs.sync(target.path)
  }

  forget(target: StagingTarget): void {
    if (target.kind !== 'memory') this.#threads.forget(stagedPlace(target).path)
  }

  async close(): Promise<void> {
    this.#isClosing = true
    while (this.#receivers.size > 0) {
      await Promise.allSettled([...this.#receivers.values()].map(({ outcome }) => outcome))
    }
    await this.#threads.close()
  }

  #sessionFor(plan: IngestPlan): (events: SessionEvents) => IngestSession {
    const { target, offset, algorithm, digest, hash, keepsHasher = false } = plan
    const { durability } = this.#options
    if (target.kind === 'memory') {
      const memory = this.#memory()
      const { key } = target
      const release = (slab: ArrayBuffer): void => this.#release(slab)
      return (events) => new MemorySession(memory, key, plan, events, release)
    }
    const place = stagedPlace(target)
    const { path } = place
    const isFile = target.kind === 'fs'
    // No thread is known to run: better refused now than after the first slab.
    this.#channel()
    const bodyPlan: BodyPlan = {
      ...place,
      offset,
      algorithm,
      ...(digest === undefined ? {} : { keptHex: digestHex(digest) }),
      keepsHasher,
      isExportable: hash.kind === 'exportable',
      ...(hash.kind === 'exportable' && hash.state !== undefined ? { hashState: hash.state } : {}),
      // A bucket has nothing that it could do after an answer.
      sync: !isFile ? 'before' : durability === 'none' ? 'never' : plan.sync ? 'before' : 'after',
      writebackBytes: isFile ? (this.#options.writebackBytes ?? writebackBytesDefault) : 0,
    }
    return (events) => new ThreadSession(bodyPlan, this.#watchSync(path, events), this.#picker)
  }

  #watchSync(path: string, events: SessionEvents): ChannelSessionEvents {
    let onSynced: ((detail: string | undefined) => void) | undefined
    return {
      onReady: () => events.onReady(),
      onReturned: (bytes) => events.onReturned(bytes),
      onDone: (result) => {
        if (!result.ok && result.isUnsynced) this.#syncs.fail(path, result.detail)
        if (result.ok && result.syncing) onSynced = this.#syncs.begin(path, result.syncing)
        events.onDone(result)
      },
      onSynced: (detail) => onSynced?.(detail),
    }
  }

  #bytesAwaited(): number {
    let bytes = 0
    for (const receiver of this.#receivers.values()) bytes += receiver.bytesAwaited
    return bytes
  }

  #channel(): ThreadChannel {
    const channel = this.#isClosing ? undefined : this.#threads.leastLoaded()
    if (!channel) throw new StorageError('unavailable', 'no ingest thread is running')
    return channel
  }

  #memory(): MemoryStaging {
    assert(this.#options.memory, 'a memory target needs the option `memory`')
    return this.#options.memory
  }

  #release(slab: ArrayBuffer): void {
    this.#budget.release(slab)
    this.#brake.schedule()
  }
}

function placeOf(target: StagingTarget): string {
  return target.kind === 'fs' ? target.path : `${target.kind}:${target.key}`
}

function stagedPlace(target: Exclude<StagingTarget, { kind: 'memory' }>): StagedPlace {
  if (target.kind === 'fs') {
    const { kind: _, ...place } = target
    return place
  }
  const { kind: _, key: path, ...s3 } = target
  return { path, s3 }
}

function refusalByLength(plan: IngestPlan, length: number | undefined): IngestOutcome | undefined {
  if (length === undefined) return undefined
  if (plan.offset + length > plan.bytesMax) return { kind: 'too-large' }
  const { bytesExpected } = plan
  if (bytesExpected === undefined || bytesExpected === length) return undefined
  return { kind: 'length-differs', received: length }
}
