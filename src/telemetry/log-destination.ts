// Lines on their way out: a bounded queue that is written in whole lines, outlives a destination that
// fails for a while, and counts what it had to drop.
import type { LogSink } from './log-sink.ts'

/** In lines, since the start of the process. */
export interface LogFigures {
  readonly written: number
  /** There was no place for them. */
  readonly dropped: number
  readonly waiting: number
  /** The code of what is wrong with the destination, such as `ENOSPC`; undefined where nothing is. */
  readonly fault: string | undefined
}

export interface DestinationOptions {
  readonly sink: LogSink
  /** Most bytes that may wait. */
  readonly waitingBytesMax: number
  /** Most bytes of one write, but for a line that is longer. */
  readonly writeBytesMax: number
  /** After how long a destination that failed is tried again. */
  readonly retryMs: number
  /** Once lines find their way again after `dropped` did not; `fault`: what had been wrong, if anything. */
  readonly onRecovery: (dropped: number, fault: string | undefined) => void
  /** The destination fails; told once until it works again. */
  readonly onFault: (fault: string) => void
}

// To hand a write to another thread costs as much as a dozen lines do.
const lingerMs = 5

interface Line {
  readonly text: string
  /** In bytes. */
  readonly size: number
}

/** Nothing that `write` does waits, and nothing of it throws. */
export class LogDestination {
  readonly #options: DestinationOptions
  #lines: Line[] = []
  #bytes = 0
  #inFlight: readonly Line[] | undefined
  #isScheduled = false
  #sentAtMs = Number.NEGATIVE_INFINITY
  #retry: NodeJS.Timeout | undefined
  /** A write ended within a line. */
  #isTorn = false
  #written = 0
  #dropped = 0
  #untold = 0
  #fault: string | undefined
  #whenEmpty: (() => void)[] = []

  constructor(options: DestinationOptions) {
    this.#options = options
  }

  /** `text` ends in a newline; `size` where it is known, in bytes. */
  write(text: string, size: number = Buffer.byteLength(text)): void {
    if (this.#bytes + size > this.#options.waitingBytesMax) {
      this.#dropped += 1
      this.#untold += 1
      return
    }
    this.#bytes += size
    this.#lines.push({ text, size })
    this.#schedule()
  }

  figures(): LogFigures {
    const waiting = this.#lines.length + (this.#inFlight?.length ?? 0)
    return { written: this.#written, dropped: this.#dropped, waiting, fault: this.#fault }
  }

  /** Resolves when nothing waits any more, or after `timeoutMs`; true where all is written. */
  flush(timeoutMs: number): Promise<boolean> {
    if (this.#isEmpty) return Promise.resolve(true)
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(this.#isEmpty), timeoutMs)
      this.#whenEmpty.push(() => {
        clearTimeout(timer)
        resolve(true)
      })
    })
  }

  /** What waits, when the process is about to end without `flush`. */
  flushNow(): void {
    // What is in flight may end within a line.
    if (this.#inFlight !== undefined && !this.#options.sink.keepsApart) return
    if (this.#lines.length === 0) return
    try {
      this.#options.sink.writeNow(Buffer.from(textOf(this.#lines)))
    } catch {
      // There is nobody left to tell.
    }
    this.#lines = []
    this.#bytes = 0
  }

  get #isEmpty(): boolean {
    return this.#lines.length === 0 && this.#inFlight === undefined
  }

  // All lines of one turn of the loop go out together, after the replies of that turn; while many come,
  // those of some milliseconds do, up to a whole write.
  #schedule(): void {
    if (this.#isScheduled || this.#inFlight !== undefined || this.#retry !== undefined) return
    this.#isScheduled = true
    const send = (): void => {
      this.#isScheduled = false
      this.#send()
    }
    const isPart = this.#bytes < this.#options.writeBytesMax
    if (isPart && performance.now() - this.#sentAtMs < lingerMs) setTimeout(send, lingerMs)
    else setImmediate(send)
  }

  #send(): void {
    if (this.#inFlight !== undefined || this.#lines.length === 0) return
    const batch = this.#takeBatch()
    this.#inFlight = batch
    this.#sentAtMs = performance.now()
    const text = textOf(batch)
    const before = this.#isTorn ? 1 : 0
    const bytes = Buffer.from(this.#isTorn ? `\n${text}` : text)
    this.#options.sink.write(bytes, (error, written) => {
      this.#inFlight = undefined
      if (written > 0) this.#isTorn = false
      if (error === undefined) this.#onWritten(batch)
      else this.#onFailed(batch, Math.max(0, written - before), codeOf(error))
    })
  }

  #takeBatch(): readonly Line[] {
    const { writeBytesMax } = this.#options
    let bytes = 0
    let count = 0
    for (const { size } of this.#lines) {
      bytes += size
      if (count > 0 && bytes > writeBytesMax) break
      count += 1
    }
    return this.#lines.splice(0, count)
  }

  #onWritten(batch: readonly Line[]): void {
    this.#count(batch)
    const isPast = this.#bytes <= this.#options.waitingBytesMax / 2
    if (isPast && (this.#untold > 0 || this.#fault !== undefined)) {
      const [dropped, fault] = [this.#untold, this.#fault]
      this.#untold = 0
      this.#fault = undefined
      this.#options.onRecovery(dropped, fault)
    }
    if (this.#lines.length > 0) this.#schedule()
    else for (const tell of this.#whenEmpty.splice(0)) tell()
  }

  // Nothing is given up: a disk gets room again. What is out of the batch is not written twice, but a
  // line of which a part is out is written whole, after a newline.
  #onFailed(batch: readonly Line[], written: number, fault: string): void {
    let rest = written
    let whole = 0
    for (const { size } of batch) {
      if (rest < size) break
      rest -= size
      whole += 1
    }
    if (rest > 0) this.#isTorn = true
    this.#count(batch.slice(0, whole))
    this.#lines.unshift(...batch.slice(whole))
    const isNew = this.#fault === undefined
    this.#fault = fault
    if (isNew) this.#options.onFault(fault)
    this.#retry = setTimeout(() => {
      this.#retry = undefined
      this.#send()
    }, this.#options.retryMs).unref()
  }

  #count(written: readonly Line[]): void {
    this.#written += written.length
    for (const { size } of written) this.#bytes -= size
  }
}

function textOf(lines: readonly Line[]): string {
  return lines.map(({ text }) => text).join('')
}

function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : error.message
}
