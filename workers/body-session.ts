// One body in an ingest thread: every slab is hashed while it is written, then goes back.

import type { HashTurns } from './hash-turns.ts'
import { createExportableHasher, createStreamHasher, type Hasher, resumeHasher } from './hasher.ts'
import type { Rereader } from './reread.ts'
import type { StagedFile } from './staged-file.ts'
import { type IngestFailure, ingestFailure, openContinued, openFresh } from './staged-file.ts'
import type { BodyPlan, IngestResult } from './tasks.ts'

export interface BodySessionContext {
  readonly turns: HashTurns
  readonly rereader: Rereader
  readonly giveBack: (slab: ArrayBuffer) => void
}

interface OpenBody {
  readonly file: StagedFile
  readonly hasher: Hasher
}

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
      this.#context.giveBack(slab)
    })
    this.#running.add(task)
  }

  /** No more bytes come. */
  async end(): Promise<{ readonly result: IngestResult; readonly synced?: Promise<void> }> {
    const opened = await this.#settle()
    try {
      if (this.#failure) throw this.#failure
      if (!opened) throw new Error('the staged file is not open')
      const { file, hasher } = opened
      if (this.#plan.sync === 'before') await this.#sync(file)
      const hashState = hasher.state?.()
      const hex = hasher.hex()
      const state = hashState === undefined ? {} : { hashState }
      if (this.#plan.sync !== 'after') {
        await file.close()
        return { result: { ok: true, hex, ...state } }
      }
      const syncing = await file.mark()
      return { result: { ok: true, hex, ...state, syncing }, synced: syncAndClose(file) }
    } catch (error) {
      const { code, message } = ingestFailure(error)
      await this.#giveUp(opened?.file)
      const unsynced = this.#isUnsynced ? { isUnsynced: true } : {}
      return { result: { ok: false, code, detail: message, ...unsynced } }
    }
  }

  /** Resolves when the file is closed. */
  async abort(): Promise<void> {
    this.#isAborted = true
    const opened = await this.#settle()
    await this.#giveUp(opened?.file)
  }

  /** What came is not committed: on a full disk it would take the room that others could use. */
  async #giveUp(file: StagedFile | undefined): Promise<void> {
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
    const { path, offset } = this.#plan
    if (offset === 0) return { file: await openFresh(path), hasher: await this.#newHasher() }
    const { file, copy } = await openContinued(path, offset)
    try {
      const hasher = await this.#hashKept(file, copy?.from)
      await copy?.keep()
      return { file, hasher }
    } catch (error) {
      await file.close()
      await copy?.drop().catch(() => undefined)
      throw error
    } finally {
      await copy?.from.close()
    }
  }

  async #hashKept(file: StagedFile, copyFrom: StagedFile | undefined): Promise<Hasher> {
    const { offset, algorithm, isExportable, hashState } = this.#plan
    if (isExportable && hashState !== undefined && !copyFrom) {
      const resumed = await resumeHasher(algorithm, hashState, offset)
      if (resumed) return resumed
    }
    const hasher = await this.#newHasher()
    // A copy is finished whatever happens to the body: the session's kept bytes depend on it.
    const use = copyFrom ? { copyTo: file } : { isCancelled: () => this.#isAborted }
    await this.#context.rereader.hash(copyFrom ?? file, offset, hasher, use)
    return hasher
  }

  async #newHasher(): Promise<Hasher> {
    const { algorithm, isExportable } = this.#plan
    return isExportable ? createExportableHasher(algorithm) : createStreamHasher(algorithm)
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
  #write(file: StagedFile, bytes: Uint8Array, position: number): Promise<void> {
    return new Promise((written) => {
      this.#unwritten.push({ bytes, position, written })
      if (!this.#isWriting) void this.#writeAll(file)
    })
  }

  async #writeAll(file: StagedFile): Promise<void> {
    this.#isWriting = true
    for (let batch = this.#unwritten; batch.length > 0; batch = this.#unwritten) {
      this.#unwritten = []
      const parts = batch.map(({ bytes }) => bytes)
      await file.write(parts, batch[0]?.position ?? 0).catch((error) => this.#fail(error))
      for (const { written } of batch) written()
    }
    this.#isWriting = false
  }

  #writeBackEarly(file: StagedFile): void {
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

  async #sync(file: StagedFile): Promise<void> {
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

async function syncAndClose(file: StagedFile): Promise<void> {
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}
