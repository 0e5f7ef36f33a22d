// What a person, or a program, sees of a job.

import type { Terminal } from './command.ts'
import { ProgressLine } from './progress-line.ts'

/** As the admin interface of the same version tells of a job. */
export interface ShownJob {
  readonly kind: string
  readonly state: string
  readonly run?: string
  readonly owner?: string
  readonly startedAt?: string
  readonly endedAt?: string
  readonly progress?: object
  readonly outcome?: string
  readonly ok?: boolean
  readonly summary?: readonly string[]
  readonly details?: unknown
  readonly nextDue?: string
  readonly lastOkAt?: string
  readonly failures?: number
  readonly isDryRun?: boolean
  readonly last?: {
    readonly outcome: string
    readonly endedAt: string
    readonly summary: readonly string[]
  }
}

export interface ScreenOptions {
  /** One JSON object on standard output and nothing else. */
  readonly isJson: boolean
  /** Monotonic, in ms. */
  readonly elapsed: () => number
}

const clearLine = '\r\u001b[K'
const drawMsMin = 100

export class JobScreen {
  readonly #terminal: Terminal
  readonly #options: ScreenOptions
  readonly #line: ProgressLine
  #drawnAt = Number.NEGATIVE_INFINITY
  #isDrawn = false
  #isStopping = false

  constructor(terminal: Terminal, options: ScreenOptions) {
    this.#terminal = terminal
    this.#options = options
    this.#line = new ProgressLine(options.elapsed)
  }

  /** On a terminal alone, and not more often than it can be read. */
  progress(kind: string, progress: object): void {
    const { elapsed, isJson } = this.#options
    const width = this.#terminal.width?.()
    if (isJson || width === undefined || elapsed() - this.#drawnAt < drawMsMin) return
    this.#drawnAt = elapsed()
    const shown = this.#isStopping ? `stopping ${kind}` : kind
    // In the last column the cursor would go to the next line.
    this.#terminal.err(clearLine + this.#line.render(shown, progress, width - 1))
    this.#isDrawn = true
  }

  /** It was asked to stop. */
  stopping(): void {
    this.#isStopping = true
    this.clear()
    this.tell('stopping')
  }

  tell(message: string): void {
    if (!this.#options.isJson) this.#terminal.err(`keelson: ${message}\n`)
  }

  clear(): void {
    if (this.#isDrawn) this.#terminal.err(clearLine)
    this.#isDrawn = false
  }

  report(job: ShownJob): void {
    const { kind, run, ok = false, outcome, startedAt, endedAt, summary = [], details = {} } = job
    if (this.#options.isJson) {
      const report = { kind, run, ok, outcome, startedAt, endedAt, summary, details }
      this.#terminal.out(`${JSON.stringify(report, undefined, 2)}\n`)
    } else {
      for (const line of summary) this.#terminal.out(`${line}\n`)
    }
  }
}
