// Asks one part of the server whether it works: never twice at a time, and never for longer than a deadline.

import type { Check } from './contract.ts'

export interface ProbeOptions {
  /** Asked each time, since a reload may change it. */
  readonly timeoutMs: () => number
  /** Monotonic, in ms. */
  readonly now: () => number
}

// For so long an answer is given again. A part that works may be asked less often than one that does not.
const freshMs = { ok: 4_000, failed: 900 } as const

interface Run {
  readonly startedAtMs: number
  readonly done: Promise<Check>
}

/**
 * A part that never answers is asked once: later looks tell at once for how long it has been silent, so
 * that a disk that hangs holds one thread and not one for each look.
 */
export class Probe {
  readonly #name: string
  readonly #ask: () => Promise<string>
  readonly #options: ProbeOptions
  #run: Run | undefined
  #last: { readonly check: Check; readonly atMs: number } | undefined

  /** `ask` resolves with what is well, or rejects with an Error whose message says what is not. */
  constructor(name: string, ask: () => Promise<string>, options: ProbeOptions) {
    this.#name = name
    this.#ask = ask
    this.#options = options
  }

  async look(): Promise<Check> {
    const last = this.#last
    const ageMs = this.#options.now() - (last?.atMs ?? 0)
    if (last !== undefined && ageMs < (last.check.ok ? freshMs.ok : freshMs.failed)) {
      return last.check
    }
    this.#run ??= this.#start()
    return this.#within(this.#run)
  }

  #start(): Run {
    const startedAtMs = this.#options.now()
    const done = this.#answer(startedAtMs).then((check) => {
      this.#run = undefined
      this.#last = { check, atMs: this.#options.now() }
      return check
    })
    return { startedAtMs, done }
  }

  async #answer(startedAtMs: number): Promise<Check> {
    const name = this.#name
    const tookMs = (): number => Math.round(this.#options.now() - startedAtMs)
    try {
      const reason = await this.#ask()
      return { name, ok: true, reason, tookMs: tookMs() }
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      return { name, ok: false, reason, tookMs: tookMs() }
    }
  }

  async #within({ startedAtMs, done }: Run): Promise<Check> {
    const { now, timeoutMs } = this.#options
    const leftMs = startedAtMs + timeoutMs() - now()
    if (leftMs <= 0) return this.#silent(startedAtMs)
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<Check>((resolve) => {
      timer = setTimeout(() => resolve(this.#silent(startedAtMs)), leftMs)
    })
    return Promise.race([done, late]).finally(() => clearTimeout(timer))
  }

  #silent(startedAtMs: number): Check {
    const tookMs = Math.round(this.#options.now() - startedAtMs)
    const limit = seconds(this.#options.timeoutMs())
    const more = tookMs > 2 * this.#options.timeoutMs() ? `, and none for ${seconds(tookMs)}` : ''
    return { name: this.#name, ok: false, reason: `no answer within ${limit}${more}`, tookMs }
  }
}

function seconds(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${Math.round(ms / 100) / 10} s`
}
