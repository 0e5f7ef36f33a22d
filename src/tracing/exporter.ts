// Sends spans to a collector in batches: one at a time, tried again with growing pauses, and never more
// waiting than there are places for.

import type { CallResult } from '../outbound/contract.ts'
import type { TraceFigures } from './contract.ts'
import type { Span } from './span.ts'

export interface ExporterOptions {
  /** Makes one attempt; never rejects. */
  readonly send: (body: string) => Promise<CallResult>
  /** Of what sends, in the JSON form of OTLP. */
  readonly resource: object
  readonly version: string
  /** From 0 to 1. */
  readonly random: () => number
  /** Runs `action` after so many ms; the answer cancels it. */
  readonly after: (delayMs: number, action: () => void) => () => void
  /** The collector cannot be used, or can be again (undefined). */
  readonly onChange: (problem: string | undefined) => void
}

export const waitingMax = 4096
const batchMax = 512
const gatherMs = 1_000
const attemptsMax = 6
const pauseFirstMs = 500
const pauseLongestMs = 30_000

/** What came of a batch. */
type Outcome =
  | { readonly kind: 'taken'; readonly rejected: number }
  | { readonly kind: 'again'; readonly problem: string; readonly afterMs: number | undefined }
  | { readonly kind: 'refused'; readonly problem: string }

export class Exporter {
  readonly #options: ExporterOptions
  #waiting: Span[] = []
  #sent = 0
  #dropped = 0
  #failures = 0
  #hasProblem = false
  #cancel: (() => void) | undefined
  #sending: Promise<void> | undefined
  #isClosed = false

  constructor(options: ExporterOptions) {
    this.#options = options
  }

  get figures(): TraceFigures {
    const [sent, dropped, failures] = [this.#sent, this.#dropped, this.#failures]
    return { sent, dropped, failures, waiting: this.#waiting.length }
  }

  add(span: Span): void {
    if (this.#isClosed || this.#waiting.length >= waitingMax) {
      this.#dropped += 1
      return
    }
    this.#waiting.push(span)
    if (this.#sending !== undefined) return
    if (this.#waiting.length >= batchMax) this.#begin()
    else this.#cancel ??= this.#options.after(gatherMs, () => this.#begin())
  }

  /** Makes one last attempt for what waits; the time for it is that of `send`. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#cancelTimer()
    await this.#sending
    this.#cancelTimer()
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, batchMax)
      const outcome = await this.#attempt(batch)
      if (outcome.kind !== 'taken') this.#dropped += batch.length + this.#waiting.splice(0).length
    }
  }

  #begin(): void {
    this.#cancelTimer()
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined
      // What came meanwhile, less than a batch.
      if (this.#waiting.length > 0 && !this.#isClosed) {
        this.#cancel ??= this.#options.after(gatherMs, () => this.#begin())
      }
    })
  }

  async #sendAll(): Promise<void> {
    do {
      await this.#sendBatch(this.#waiting.splice(0, batchMax))
    } while (this.#waiting.length >= batchMax && !this.#isClosed)
  }

  async #sendBatch(batch: readonly Span[]): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#attempt(batch)
      if (outcome.kind === 'taken') return
      if (outcome.kind === 'refused' || attempt === attemptsMax || this.#isClosed) {
        this.#dropped += batch.length
        return
      }
      await this.#pause(outcome.afterMs ?? this.#pauseMs(attempt))
    }
  }

  async #attempt(batch: readonly Span[]): Promise<Outcome> {
    const outcome = read(await this.#options.send(this.#bodyOf(batch)))
    if (outcome.kind === 'taken') {
      this.#dropped += Math.min(outcome.rejected, batch.length)
      this.#sent += Math.max(0, batch.length - outcome.rejected)
    } else this.#failures += 1
    const problem = outcome.kind === 'taken' ? undefined : outcome.problem
    if ((problem !== undefined) !== this.#hasProblem) this.#options.onChange(problem)
    this.#hasProblem = problem !== undefined
    return outcome
  }

  // Not all processes of a fleet at the same moment.
  #pauseMs(attempt: number): number {
    const longest = Math.min(pauseLongestMs, pauseFirstMs * 2 ** (attempt - 1))
    return longest * (0.5 + this.#options.random() / 2)
  }

  #pause(delayMs: number): Promise<void> {
    if (this.#isClosed) return Promise.resolve()
    return new Promise((resolve) => {
      const cancel = this.#options.after(delayMs, resolve)
      this.#cancel = () => {
        cancel()
        resolve()
      }
    })
  }

  #cancelTimer(): void {
    const cancel = this.#cancel
    this.#cancel = undefined
    cancel?.()
  }

  #bodyOf(spans: readonly Span[]): string {
    const { resource, version } = this.#options
    const scopeSpans = [{ scope: { name: 'keelson', version }, spans }]
    return JSON.stringify({ resourceSpans: [{ resource, scopeSpans }] })
  }
}

// Source: OTLP 1.3, "OTLP/HTTP Response": these are to be tried again, all others not.
const retryable: ReadonlySet<number> = new Set([429, 502, 503, 504])

function read(result: CallResult): Outcome {
  if (result.kind === 'failed') {
    return { kind: 'again', problem: result.detail, afterMs: undefined }
  }
  const { status, headers, body } = result
  if (status >= 200 && status < 300) return { kind: 'taken', rejected: rejectedOf(body) }
  const problem = `it answers ${status}`
  if (!retryable.has(status)) return { kind: 'refused', problem }
  const seconds = Number(headers['retry-after'] ?? Number.NaN)
  const afterMs = seconds > 0 ? Math.min(seconds * 1000, pauseLongestMs) : undefined
  return { kind: 'again', problem, afterMs }
}

/** Of a batch that was taken in part. */
function rejectedOf(body: Buffer): number {
  try {
    const answer = JSON.parse(body.toString('utf8')) as unknown
    if (typeof answer !== 'object' || answer === null || !('partialSuccess' in answer)) return 0
    const { partialSuccess } = answer
    if (typeof partialSuccess !== 'object' || partialSuccess === null) return 0
    const rejected = 'rejectedSpans' in partialSuccess ? Number(partialSuccess.rejectedSpans) : 0
    return Number.isFinite(rejected) ? Math.max(rejected, 0) : 0
  } catch {
    return 0
  }
}
