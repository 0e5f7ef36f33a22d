// Writes that come together share a commit, and a sync; each still happens whole or not at all.

import { StorageError } from '../../error.ts'
import { BufferedTransaction, type WriteTarget } from '../kv/buffered.ts'
import type { Durability, KeyValueReader, KeyValueTransaction } from '../kv/contract.ts'
import { type Databases, type Syncing, writeTarget } from './databases.ts'
import { storageFault } from './fault.ts'
import type { OpenGate } from './open-gate.ts'
import { CommitWatch, type Writer } from './visibility.ts'

export interface GroupCommitOptions {
  readonly databases: Databases
  readonly reader: KeyValueReader
  readonly path: string
  readonly syncing: Syncing
  readonly gate: OpenGate
  /** Throws where this process may not write any more. Runs inside every transaction. */
  readonly checkHolder: () => void
  readonly onNotice: (notice: string) => void
  /** A commit that takes longer is given up: its writes are refused, and those after it. */
  readonly stallAfterMs: number
}

interface Pending {
  readonly durability: Durability
  readonly action: (transaction: KeyValueTransaction) => unknown
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

interface Done {
  readonly pending: Pending
  /** Resolves or rejects as the action did; called once the commit is known. */
  readonly settle: () => void
}

interface Batch {
  done: readonly Done[]
  /** Both absent until it runs. */
  transactionId: number | undefined
  writer: Writer | undefined
}

// One batch writes while the one before it syncs. A third would only hold another of libuv's few threads.
const batchesUnderWayMax = 2

// How long a batch may keep the event loop, and every other writer of the store, from going on.
const batchTimeMaxMs = 5

export class GroupCommit {
  readonly #options: GroupCommitOptions
  readonly #target: WriteTarget
  readonly #watch: CommitWatch
  #queue: Pending[] = []
  #isStarting = false
  readonly #batches = new Set<Batch>()
  /** Set for good when a commit failed in a way that leaves the state of the disk unknown. */
  #failure: StorageError | undefined
  #stalled = 0
  #whenIdle: (() => void) | undefined

  constructor(options: GroupCommitOptions) {
    this.#options = options
    this.#target = writeTarget(options.databases)
    this.#watch = new CommitWatch(options.databases.root, (writer) => this.#settleCommitted(writer))
  }

  write<T>(durability: Durability, action: (transaction: KeyValueTransaction) => T): Promise<T> {
    const refusal = this.#refusal()
    if (refusal !== undefined) return Promise.reject(refusal)
    return new Promise<unknown>((resolve, reject) => {
      this.#queue.push({ durability, action, resolve, reject })
      this.#startBatch()
    }) as Promise<T>
  }

  /** Resolves when nothing is queued or under way, or when what is under way is stuck. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#whenIdle = resolve
      this.#settleIdle()
    })
  }

  #refusal(): StorageError | undefined {
    if (this.#failure !== undefined) return this.#failure
    if (this.#stalled === 0) return undefined
    return new StorageError('unavailable', 'metadata store: an earlier commit is stuck')
  }

  #startBatch(): void {
    if (this.#isStarting || this.#batches.size >= batchesUnderWayMax || this.#queue.length === 0)
      return
    this.#isStarting = true
    void this.#runBatch().finally(() => {
      this.#startBatch()
      this.#settleIdle()
    })
  }

  /** Never rejects: every error goes to the writes of the batch. */
  async #runBatch(): Promise<void> {
    const batch: Batch = { done: [], transactionId: undefined, writer: undefined }
    this.#batches.add(batch)
    const stall = this.#watchStall(batch)
    try {
      const opening = this.#options.gate.beginWrite()
      if (opening !== undefined) await opening
      await this.#commit(batch)
    } catch (cause) {
      // Nothing was begun, so nothing is in doubt.
      const fault = storageFault(cause, this.#options.path)
      for (const pending of this.#queue.splice(0)) pending.reject(fault)
    } finally {
      // The package failed before it ran the batch; otherwise the next one may be starting already.
      if (batch.transactionId === undefined) this.#isStarting = false
      this.#batches.delete(batch)
      stall.end()
    }
  }

  async #commit(batch: Batch): Promise<void> {
    const { root } = this.#options.databases
    try {
      const committed = root.transaction(() => {
        this.#isStarting = false
        batch.transactionId = root.getWriteTxnId()
        batch.writer = this.#watch.running
        batch.done = this.#runQueued()
        // Not at once: inside the callback it would join this very transaction.
        queueMicrotask(() => this.#startBatch())
      })
      // Asked for before anything is awaited, so that it is the sync of this commit and not of a later one.
      const flushed =
        this.#options.syncing === 'behind' ? root.flushed.then(undefined, () => {}) : undefined
      await committed
      settleVisible(batch)
      await flushed
      for (const { settle } of batch.done) settle()
    } catch (cause) {
      await this.#failBatch(batch, cause)
    } finally {
      this.#options.gate.endWrite()
    }
  }

  /** Writes that need not be durable are done as soon as everybody can read them. */
  #settleCommitted(writer: Writer): void {
    for (const batch of this.#batches) {
      const { transactionId } = batch
      // The writer says that it has committed, its number says what.
      if (batch.writer !== writer || transactionId === undefined) continue
      if (!this.#watch.isCommitted(transactionId)) continue
      // A snapshot from before the commit would hide them from their own process.
      this.#options.databases.root.resetReadTxn()
      settleVisible(batch)
    }
  }

  #runQueued(): readonly Done[] {
    const startedAt = performance.now()
    const queue = this.#queue
    this.#queue = []
    const refusal = this.#refusal() ?? this.#holderFault()
    if (refusal !== undefined) {
      return queue.map((pending) => ({ pending, settle: () => pending.reject(refusal) }))
    }
    const done: Done[] = []
    try {
      this.#asChild(() => {
        for (const pending of queue) {
          if (done.length > 0 && performance.now() - startedAt > batchTimeMaxMs) break
          done.push(this.#run(pending))
        }
      })
    } catch {
      // A write of one of them failed and took the others with it, so each runs again on its own.
      return queue.map((pending) => this.#runAlone(pending))
    }
    this.#queue = queue.slice(done.length)
    return done
  }

  #runAlone(pending: Pending): Done {
    try {
      let done: Done | undefined
      this.#asChild(() => {
        done = this.#run(pending)
      })
      if (done !== undefined) return done
      throw new StorageError('unavailable', 'metadata store: the transaction did not run')
    } catch (cause) {
      const fault = storageFault(cause, this.#options.path)
      return { pending, settle: () => pending.reject(fault) }
    }
  }

  /** Throws only where LMDB does; what the action throws leaves no write behind. */
  #run(pending: Pending): Done {
    const transaction = new BufferedTransaction(this.#options.reader)
    let result: unknown
    try {
      result = pending.action(transaction)
    } catch (error) {
      return { pending, settle: () => pending.reject(error) }
    }
    transaction.applyTo(this.#target)
    return { pending, settle: () => pending.resolve(result) }
  }

  /** Inside a transaction it is synchronous, whatever its type says: it throws, and nothing remains. */
  #asChild(action: () => void): void {
    void this.#options.databases.root.childTransaction(action)
  }

  #holderFault(): StorageError | undefined {
    try {
      this.#options.checkHolder()
      return undefined
    } catch (cause) {
      return storageFault(cause, this.#options.path)
    }
  }

  async #failBatch({ done }: Batch, cause: unknown): Promise<void> {
    const fault = storageFault(await commitCause(cause), this.#options.path)
    if (fault.kind !== 'full') {
      // After a failed sync the kernel may count lost pages as clean, so a later sync would lie.
      this.#failure = fault
      this.#options.onNotice(
        `metadata store refuses writes until it is restarted: ${fault.message}`,
      )
    }
    // A transaction that could not even begin would fail the queued ones too, again and again.
    const queued = fault.kind === 'full' && done.length > 0 ? [] : this.#queue.splice(0)
    for (const { pending } of done) pending.reject(fault)
    for (const pending of queued) pending.reject(fault)
  }

  #watchStall(batch: Batch): { end(): void } {
    let isStuck = false
    const timer = setTimeout(() => {
      isStuck = true
      this.#stalled++
      this.#options.onNotice('metadata store refuses writes: a commit is stuck')
      const fault = new StorageError('unavailable', 'metadata store: the commit is stuck')
      for (const { pending } of batch.done) pending.reject(fault)
      for (const pending of this.#queue.splice(0)) pending.reject(fault)
      this.#settleIdle()
    }, this.#options.stallAfterMs)
    timer.unref()
    const end = (): void => {
      clearTimeout(timer)
      if (isStuck) this.#stalled--
    }
    return { end }
  }

  #settleIdle(): void {
    if (this.#queue.length > 0 || this.#batches.size > this.#stalled) return
    this.#whenIdle?.()
  }
}

function settleVisible({ done }: Batch): void {
  for (const { pending, settle } of done) if (pending.durability === 'visible') settle()
}

/** The package rejects with a general error, and a promise of the real one in it. */
async function commitCause(cause: unknown): Promise<unknown> {
  if (!(cause instanceof Error) || !('commitError' in cause)) return cause
  return Promise.resolve(cause.commitError).then(
    () => cause,
    (error: unknown) => error,
  )
}
