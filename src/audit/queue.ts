// The bounded queue in front of the audit file: records wait as they are, become lines soon, and are
// written in batches. What cannot be written is kept and tried again.

import { hash } from 'node:crypto'
import { OciError } from '../oci/error.ts'
import { genesis, hashOf, lineOf } from './chain.ts'
import { AuditFile } from './file.ts'
import type { RecordBody, WaitingRecord } from './record.ts'

export interface QueueOptions {
  readonly path: string
  /** In records; what is being written counts. */
  readonly queueMax: number
  readonly onFull: 'refuse' | 'drop'
  readonly isChained: boolean
  /** Whether each batch is on the disk before the next is written. */
  readonly syncs: boolean
  /** Wall clock, in ms since the epoch. */
  readonly now: () => number
  /** Monotonic, in ms. */
  readonly elapsed: () => number
  readonly onFault: (message: string, error?: unknown) => void
  /** Lines that could not be written before the end. */
  readonly onLost: (lines: readonly string[]) => void
}

/** What the queue counts, for metrics and the status. */
export interface AuditFigures {
  readonly written: number
  readonly dropped: number
  readonly refused: number
  readonly queued: number
  readonly queuedBytes: number
  readonly writeErrors: number
  /** Since a batch was last written; undefined before the first. */
  readonly lastWriteAgeMs: number | undefined
  /** Of the last record in the file; `hash` is null without a chain. */
  readonly head: { readonly seq: number; readonly hash: string | null }
}

// The lines of a batch, and of one turn of the loop, so that requests in between do not wait for long.
const batchCharactersMax = 1024 * 1024
const linesPerTurn = 256
// Whatever their number, the lines that wait take no more than this.
const queueCharactersMax = 64 * 1024 * 1024
const lookEveryMs = 1_000
const retryMinMs = 50
const retryMaxMs = 2_000
// In seconds: about the longest time between two tries.
const retryAfter = '2'
const newline = 0x0a
const noBytes = Buffer.alloc(0)

/** Errors of `add` and `assertRoom`: OciError UNAVAILABLE (503). Nothing else throws. */
export class AuditQueue {
  readonly #options: QueueOptions
  #file: AuditFile
  #waiting: WaitingRecord[] = []
  #lines: string[] = []
  #characters = 0
  #writing = 0
  #seq: number
  #prev: string | undefined
  #head: AuditFigures['head']
  #written = 0
  #dropped = 0
  #untold = 0
  #refused = 0
  #writeErrors = 0
  #isFailing = false
  #isAstray = false
  #lastWriteMs: number | undefined
  #lastLookMs: number
  #mustReopen = false
  #reopened: (() => void)[] = []
  #isDue = false
  #isBusy = false
  #isGivenUp = false
  #idle: (() => void)[] = []
  #wake: (() => void) | undefined
  /** What is being written, and how many of its bytes are. */
  #underWay = { bytes: noBytes, offset: 0 }
  /** Ends a line that a crash left open. */
  #before = ''

  private constructor(options: QueueOptions, file: AuditFile) {
    const { seq = 0, hash: last } = file.tail
    this.#options = options
    this.#file = file
    this.#seq = seq
    this.#prev = options.isChained ? (last ?? genesis) : undefined
    this.#head = { seq, hash: last ?? null }
    this.#lastLookMs = options.elapsed()
    this.#tellTornEnd(file)
  }

  /** Errors: Error where the file cannot be opened, or is no audit log. */
  static async open(options: QueueOptions): Promise<AuditQueue> {
    return new AuditQueue(options, await AuditFile.open(options.path, options.isChained))
  }

  /** `isForced`: it is taken though the queue is full, since what it tells of has happened. */
  add(kind: WaitingRecord['kind'], body: () => RecordBody, isForced = false): void {
    if (!isForced && this.#isFull()) {
      if (this.#options.onFull === 'refuse') throw this.#refusal()
      this.#dropped += 1
      this.#untold += 1
      return
    }
    this.#waiting.push({ kind, timeMs: this.#options.now(), body })
    this.#soon()
  }

  /** For what cannot be undone once it is done. */
  assertRoom(): void {
    if (this.#options.onFull === 'refuse' && this.#isFull()) throw this.#refusal()
  }

  /** As `assertRoom`, for those who can wait. Where the loss is counted they need not. */
  hasRoom(): boolean {
    return this.#options.onFull === 'drop' || !this.#isFull()
  }

  /** Resolves when the file of this name is open, or could not be opened and the old one stays. */
  reopen(): Promise<void> {
    this.#mustReopen = true
    this.#wake?.()
    return new Promise((resolve) => {
      this.#reopened.push(resolve)
      this.#soon()
    })
  }

  figures(): AuditFigures {
    const { elapsed } = this.#options
    return {
      written: this.#written,
      dropped: this.#dropped,
      refused: this.#refused,
      queued: this.#queued(),
      queuedBytes: this.#characters,
      writeErrors: this.#writeErrors,
      lastWriteAgeMs: this.#lastWriteMs === undefined ? undefined : elapsed() - this.#lastWriteMs,
      head: this.#head,
    }
  }

  /** Write what waits, for at most `timeoutMs`; what is left then goes to `onLost`. */
  async close(timeoutMs: number): Promise<void> {
    this.#wake?.()
    this.#soon()
    const late = setTimeout(() => {
      this.#isGivenUp = true
      this.#wake?.()
      this.#settle()
    }, timeoutMs)
    await new Promise<void>((resolve) => this.#idle.push(resolve))
    clearTimeout(late)
    while (this.#waiting.length > 0) this.#render()
    const { bytes, offset } = this.#underWay
    const unwritten =
      offset === bytes.length
        ? []
        : bytes.toString('utf8', lineStart(bytes, offset)).split(/(?<=\n)/)
    const lost = [...unwritten, ...this.#lines]
    if (lost.length > 0) this.#options.onLost(lost)
    // A write that hangs would hold this too.
    if (!this.#isBusy) await this.#file.close().catch((error) => this.#fail(error))
  }

  #queued(): number {
    return this.#waiting.length + this.#lines.length + this.#writing
  }

  #isFull(): boolean {
    return this.#queued() >= this.#options.queueMax || this.#characters >= queueCharactersMax
  }

  #refusal(): OciError {
    this.#refused += 1
    const cause = new Error('the audit queue is full')
    return new OciError('UNAVAILABLE', { headers: [['Retry-After', retryAfter]], cause })
  }

  #soon(): void {
    if (this.#isDue) return
    this.#isDue = true
    setImmediate(this.#turn)
  }

  readonly #turn = (): void => {
    this.#isDue = false
    this.#render()
    if (this.#waiting.length > 0) this.#soon()
    if (this.#isBusy) return
    this.#isBusy = true
    this.#work()
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#isBusy = false
        if (this.#waiting.length === 0) this.#settle()
      })
  }

  #settle(): void {
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  // In the order in which they came: each line seals the one before.
  #render(): void {
    const records = this.#waiting.slice(0, linesPerTurn)
    this.#waiting = this.#waiting.slice(records.length)
    for (const record of records) {
      this.#seq += 1
      const line = this.#lineOf(record)
      if (this.#prev !== undefined) this.#prev = hashOf(line)
      this.#characters += line.length
      this.#lines.push(line)
    }
  }

  // Whatever is wrong with a record, it must not take the process down, nor go missing.
  #lineOf(record: WaitingRecord): string {
    try {
      return lineOf(record, this.#seq, this.#prev)
    } catch (error) {
      this.#options.onFault('a record of the audit log could not be put into words', error)
      const body = (): RecordBody => ({ event: 'unprintable_record' })
      return lineOf({ ...record, body }, this.#seq, this.#prev)
    }
  }

  async #work(): Promise<void> {
    while ((this.#lines.length > 0 || this.#mustReopen) && !this.#isGivenUp) {
      if (await this.#hasToReopen()) await this.#reopenFile()
      const batch = this.#takeBatch()
      if (batch.length === 0) continue
      await this.#write(batch)
      if (!this.#isGivenUp) this.#told(batch)
    }
  }

  #takeBatch(): readonly string[] {
    let characters = 0
    let count = 0
    for (const line of this.#lines) {
      if (count > 0 && characters + line.length > batchCharactersMax) break
      characters += line.length
      count += 1
    }
    const batch = this.#lines.splice(0, count)
    this.#writing = batch.length
    return batch
  }

  #told(batch: readonly string[]): void {
    this.#writing = 0
    this.#underWay = { bytes: noBytes, offset: 0 }
    this.#written += batch.length
    for (const line of batch) this.#characters -= line.length
    this.#lastWriteMs = this.#options.elapsed()
    const last = batch.at(-1) ?? ''
    this.#head = {
      seq: this.#head.seq + batch.length,
      hash: this.#prev === undefined ? null : hashOf(last),
    }
    if (this.#untold === 0) return
    const dropped = this.#untold
    this.#untold = 0
    this.add('server', () => ({ event: 'records_dropped', dropped }), true)
  }

  /** Returns when all is written, or the end does not wait any more. */
  async #write(batch: readonly string[]): Promise<void> {
    const bytes = Buffer.from(this.#before + batch.join(''))
    this.#before = ''
    let offset = 0
    this.#underWay = { bytes, offset }
    for (let waitMs = retryMinMs; offset < bytes.length && !this.#isGivenUp; ) {
      try {
        offset += await this.#file.write(bytes, offset)
        waitMs = retryMinMs
      } catch (error) {
        this.#fail(error)
        await this.#pause(waitMs)
        waitMs = Math.min(retryMaxMs, waitMs * 2)
        if (await this.#hasToReopen()) offset = await this.#goOnElsewhere(bytes, offset)
      }
      this.#underWay = { bytes, offset }
    }
    if (offset < bytes.length) return
    if (this.#isFailing) this.#options.onFault('the audit log is written again')
    this.#isFailing = false
    // Not tried again: after a failure the next call would succeed without the bytes.
    if (this.#options.syncs) await this.#file.sync().catch((error) => this.#fail(error))
  }

  /** A line is never begun in one file and ended in another: it is written again, and that is told. */
  async #goOnElsewhere(bytes: Buffer, offset: number): Promise<number> {
    const start = lineStart(bytes, offset)
    if (!(await this.#reopenFile())) return offset
    if (start < offset) this.#tellTorn(bytes.subarray(start, offset))
    return start
  }

  async #hasToReopen(): Promise<boolean> {
    if (this.#mustReopen) return true
    const { elapsed, isChained } = this.#options
    if (elapsed() - this.#lastLookMs < lookEveryMs) return false
    this.#lastLookMs = elapsed()
    try {
      const changed = isChained ? await this.#file.changedSize() : undefined
      if (changed !== undefined) this.#tellChanged(changed)
      return await this.#file.isMoved()
    } catch (error) {
      this.#fail(error)
      return false
    }
  }

  /** Where the new file cannot be opened, the old one stays, whatever its name is now. */
  async #reopenFile(): Promise<boolean> {
    const { path, isChained, onFault } = this.#options
    this.#mustReopen = false
    const old = this.#file
    const opened = await AuditFile.open(path, isChained).catch((error: unknown) => {
      this.#writeErrors += 1
      if (!this.#isAstray)
        onFault('the audit log cannot be opened again: the old file goes on', error)
    })
    this.#isAstray = opened === undefined
    if (opened !== undefined) {
      this.#file = opened
      await old.close().catch((error: unknown) => this.#fail(error))
      this.#tellTornEnd(opened)
    }
    for (const resolve of this.#reopened.splice(0)) resolve()
    return opened !== undefined
  }

  // What is torn stays where it is, and a record says so.
  #tellTornEnd({ tail: { torn, isOpen } }: AuditFile): void {
    if (isOpen) this.#before = '\n'
    if (torn !== undefined) this.#tellTorn(torn)
  }

  #tellTorn(torn: Buffer): void {
    const body = { event: 'torn_line', torn_bytes: torn.length, torn_sha256: hash('sha256', torn) }
    this.add('server', () => body, true)
  }

  #tellChanged({ expected, found }: { readonly expected: number; readonly found: number }): void {
    this.#options.onFault('somebody else changed the audit log')
    const body = { event: 'file_changed', expected_bytes: expected, found_bytes: found }
    this.add('server', () => body, true)
  }

  #fail(error: unknown): void {
    this.#writeErrors += 1
    if (this.#isFailing) return
    this.#isFailing = true
    this.#options.onFault('the audit log cannot be written: trying again', error)
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const waits = setTimeout(resolve, ms)
      this.#wake = () => {
        clearTimeout(waits)
        resolve()
      }
    })
  }
}

function lineStart(bytes: Buffer, offset: number): number {
  return offset === 0 ? 0 : bytes.lastIndexOf(newline, offset - 1) + 1
}
