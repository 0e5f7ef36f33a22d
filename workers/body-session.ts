// One body in an ingest thread: every slab is hashed while it is written, then goes back.

import type { HashTurns } from './hash-turns.ts'
import {
  createExportableHasher,
  createStreamHasher,
  type Hasher,
  rereadState,
  resumeHasher,
} from './hasher.ts'
import type { KeptHashers } from './kept-hashers.ts'
import type { Rereader } from './reread.ts'
import type { StagedBytes } from './staged-bytes.ts'
import { type IngestFailure, ingestFailure } from './staged-file.ts'
import type { StagedPlaces } from './staged-places.ts'
import type { BodyPlan, IngestResult } from './tasks.ts'

export interface BodySessionContext {
  readonly turns: HashTurns
  readonly rereader: Rereader
  readonly kept: KeptHashers
  readonly places: StagedPlaces
  readonly giveBack: (slab: ArrayBuffer) => void
}

export interface EndedBody {
  readonly result: IngestResult
  /** Of the file, after the answer. */
  readonly synced?: Promise<void>
  /** Those of the body that have not been given back. */
  readonly takenSlabs: readonly ArrayBuffer[]
}

interface OpenBody {
  readonly file: StagedBytes
  readonly hasher: Hasher
  /** For the next request, where the hasher has no state of its own. */
  readonly hashState?: string
}

type Hashed = Pick<Extract<IngestResult, { ok: true }>, 'hex' | 'hashState' | 'keptPath'>

interface Unwritten {
  readonly bytes: Uint8Array
  readonly position: number
  readonly written: () => void
}

export class BodySession {
  readonly #plan: BodyPlan
  readonly #context: BodySessionContext
  readonly #opened: Promise<OpenBody | undefined>
  /** Slabs not yet both hashed and written, and write-backs. */
  readonly #running = new Set<Promise<void>>()
  #unwritten: Unwritten[] = []
  #isWriting = false
  #position: number
  #failure: IngestFailure | undefined
  #isUnsynced = false
  #isAborted = false
  #unsyncedBytes = 0
  #isWritingBack = false
  /** Set once no more bytes come, where nothing long is to follow: what is done with goes with the answer. */
  #lastSlabs: ArrayBuffer[] | undefined

  constructor(plan: BodyPlan, context: BodySessionContext) {
    this.#plan = plan
    this.#context = context
    this.#position = plan.offset
    this.#opened = this.#open().catch((error: unknown) => this.#fail(error))
  }

  /** Resolves when the kept bytes are hashed and more may come; false where that has failed. */
  async prepared(): Promise<boolean> {
    await this.#opened
    return this.#failure === undefined
  }

  /** True from the first failure on: what still comes goes straight back. */
  get hasFailed(): boolean {
    return this.#failure !== undefined
  }

  take(slab: ArrayBuffer, length: number): void {
    const position = this.#position
    this.#position += length
    const task = this.#store(new Uint8Array(slab, 0, length), position).finally(() => {
      this.#running.delete(task)
      if (this.#lastSlabs) this.#lastSlabs.push(slab)
      else this.#context.giveBack(slab)
    })
    this.#running.add(task)
  }

  /** No more bytes come. */
  async end(): Promise<EndedBody> {
    // A slab must not wait for a sync.
    const takenSlabs: ArrayBuffer[] = []
    if (this.#plan.sync !== 'before') this.#lastSlabs = takenSlabs
    return { ...(await this.#finish()), takenSlabs }
  }

  /** Resolves when the file is closed. */
  async abort(): Promise<void> {
    this.#isAborted = true
    void this.#opened.then((early) => early?.file.stop?.())
    const opened = await this.#settle()
    await this.#giveUp(opened?.file)
  }

  async #finish(): Promise<Omit<EndedBody, 'takenSlabs'>> {
    const opened = await this.#settle()
    try {
      if (this.#failure) throw this.#failure
      if (!opened) throw new Error('the staged file is not open')
      const { file } = opened
      const hashed = this.#hashed(opened)
      await file.seal?.(this.#plan.algorithm, hashed.hex)
      if (this.#plan.sync === 'before') await this.#sync(file)
      const unfinished = file.unfinished?.()
      const syncing = this.#plan.sync === 'after' ? file.mark?.() : undefined
      if (syncing === undefined) {
        await file.close()
        const more = unfinished === undefined ? {} : { unfinished }
        return { result: { ok: true, ...hashed, ...more } }
      }
      const result = { ok: true, ...hashed, syncing } as const
      return { result, synced: this.#syncAndClose(file) }
    } catch (error) {
      this.#context.kept.drop(this.#plan.path)
      const { code, message } = ingestFailure(error)
      await this.#giveUp(opened?.file)
      const unsynced = this.#isUnsynced ? { isUnsynced: true } : {}
      return { result: { ok: false, code, detail: message, ...unsynced } }
    }
  }

  #hashed({ file, hasher, hashState = coveredState(hasher, file) }: OpenBody): Hashed {
    const { path, algorithm, keepsHasher } = this.#plan
    const kept = keepsHasher ? hasher.copy?.() : undefined
    const hex = hasher.hex()
    if (kept) this.#context.kept.keep({ path, algorithm, length: this.#position, hex }, kept)
    const state = hashState === undefined ? {} : { hashState }
    return { hex, ...state, ...(kept ? { keptPath: path } : {}) }
  }

  /** What came is not committed: on a full disk it would take the room that others could use. */
  async #giveUp(file: StagedBytes | undefined): Promise<void> {
    await file?.cutBack(this.#plan.offset).catch(() => undefined)
    // A failed close leaves nothing to do: the descriptor is gone.
    await file?.close().catch(() => undefined)
  }

  async #settle(): Promise<OpenBody | undefined> {
    const opened = await this.#opened
    if (opened && (this.#isAborted || this.#failure)) this.#context.turns.drop(opened.hasher)
    // A slab's store may begin a write-back, which is then waited for as well.
    while (this.#running.size > 0) await Promise.all(this.#running)
    return opened
  }

  async #open(): Promise<OpenBody> {
    const { path, offset, algorithm } = this.#plan
    if (offset === 0) {
      this.#context.kept.drop(path)
      const file = await this.#context.places.fresh(this.#plan)
      return { file, hasher: createStreamHasher(algorithm) }
    }
    const { file, copy } = await this.#context.places.continued(this.#plan, offset)
    try {
      const hashed = await this.#hashKept(file, copy?.from)
      await copy?.keep()
      return { file, ...hashed }
    } catch (error) {
      await file.close()
      await copy?.drop().catch(() => undefined)
      throw error
    } finally {
      await copy?.from.close()
    }
  }

  /**
   * The hasher of the kept bytes, by the first way that there is: the one that this thread has kept; a state
   * of hash-wasm; the bytes themselves, read again. Where chunks are announced the first such reading is at full
   * speed, and its hasher is kept. At the next one the session has moved twice: hash-wasm takes it over,
   * so that no process ever reads it again.
   */
  async #hashKept(
    file: StagedBytes,
    copyFrom: StagedBytes | undefined,
  ): Promise<Omit<OpenBody, 'file'>> {
    const { path, offset, algorithm, keptHex, keepsHasher, isExportable, hashState } = this.#plan
    const hasMoved = isExportable && hashState !== undefined
    if (!copyFrom) {
      const bytes = { path, algorithm, length: offset }
      const kept =
        keptHex === undefined ? undefined : this.#context.kept.copyFor({ ...bytes, hex: keptHex })
      if (kept) return { hasher: kept, ...(hasMoved ? { hashState: rereadState } : {}) }
      const state = hasMoved && file.states ? file.states.show(hashState) : hashState
      const canResume = hasMoved && state !== undefined
      const resumed = canResume ? await resumeHasher(algorithm, state, offset) : undefined
      if (resumed) return { hasher: resumed }
    }
    const hasher =
      hasMoved && keepsHasher
        ? await createExportableHasher(algorithm)
        : createStreamHasher(algorithm)
    // A copy is finished whatever happens to the body: the session's kept bytes depend on it.
    const use = copyFrom ? { copyTo: file } : { isCancelled: () => this.#isAborted }
    await this.#context.rereader.hash(copyFrom ?? file, offset, hasher, use)
    return { hasher, ...(isExportable && !hasMoved ? { hashState: rereadState } : {}) }
  }

  async #store(bytes: Uint8Array, position: number): Promise<void> {
    const opened = await this.#opened
    if (!opened || this.#failure || this.#isAborted) return
    const { file, hasher } = opened
    const hashed = this.#context.turns.add(hasher, bytes)
    // The slab must not go back while a thread of libuv still reads it, whatever else fails.
    await Promise.all([hashed, this.#write(file, bytes, position)])
    this.#unsyncedBytes += bytes.length
    this.#writeBackEarly(file)
  }

  // One write of a file at a time, of all that has come meanwhile: the kernel locks the file for
  // each, and threads that wait for that lock cost more than they gain.
  #write(file: StagedBytes, bytes: Uint8Array, position: number): Promise<void> {
    return new Promise((written) => {
      this.#unwritten.push({ bytes, position, written })
      if (!this.#isWriting) void this.#writeAll(file)
    })
  }

  async #writeAll(file: StagedBytes): Promise<void> {
    this.#isWriting = true
    for (let batch = this.#unwritten; batch.length > 0; batch = this.#unwritten) {
      this.#unwritten = []
      const parts = batch.map(({ bytes }) => bytes)
      await file.write(parts, batch[0]?.position ?? 0).catch((error) => this.#fail(error))
      for (const { written } of batch) written()
    }
    this.#isWriting = false
  }

  #writeBackEarly(file: StagedBytes): void {
    const { writebackBytes, sync } = this.#plan
    if (writebackBytes === 0 || sync === 'never' || this.#isWritingBack) return
    if (this.#unsyncedBytes < writebackBytes) return
    this.#unsyncedBytes = 0
    this.#isWritingBack = true
    const task = this.#sync(file)
      .catch((error: unknown) => this.#fail(error))
      .then(() => {
        this.#isWritingBack = false
        this.#running.delete(task)
      })
    this.#running.add(task)
  }

  async #syncAndClose(file: StagedBytes): Promise<void> {
    try {
      await file.sync()
    } catch (error) {
      this.#context.kept.drop(this.#plan.path)
      throw error
    } finally {
      await file.close()
    }
  }

  async #sync(file: StagedBytes): Promise<void> {
    try {
      await file.sync()
    } catch (error) {
      this.#isUnsynced = true
      throw error
    }
  }

  #fail(error: unknown): undefined {
    this.#failure ??= ingestFailure(error)
    return undefined
  }
}

function coveredState(hasher: Hasher, { states }: StagedBytes): string | undefined {
  const state = hasher.state?.()
  return state === undefined || states === undefined ? state : states.hide(state)
}
