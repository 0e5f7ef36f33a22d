// Remembers what a guard said of a question, and asks once what several want to know at a time.

import { hash } from 'node:crypto'
import type { Verdict } from './guard.ts'

export interface VerdictCacheOptions {
  /** Units: ms, from when the question was asked: what changes after that may go unseen so long. */
  readonly ttlMs: number
  readonly entriesMax: number
  /** Units: ms of a clock that only goes forward. */
  readonly elapsed: () => number
}

export interface Told {
  readonly verdict: Verdict
  /** Whether it is remembered; what went wrong is not. */
  readonly holds: boolean
}

/** A verdict to give again, which says of itself that it is remembered. */
export interface Remembered {
  readonly verdict: Verdict
  readonly untilMs: number
}

/** Bounded: the answer that was used longest ago makes room. */
export class VerdictCache<T extends Told = Told> {
  readonly #options: VerdictCacheOptions
  readonly #entries = new Map<string, Remembered>()
  readonly #underWay = new Map<string, Promise<T>>()

  constructor(options: VerdictCacheOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#entries.size
  }

  /** `question`: all that the answer depends on; only its SHA-256 is kept. */
  keyOf(question: string): string {
    return hash('sha256', question, 'base64')
  }

  find(key: string): Remembered | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    this.#entries.delete(key)
    if (entry.untilMs <= this.#options.elapsed()) return undefined
    this.#entries.set(key, entry)
    return entry
  }

  /** The answer that is under way, or else that of `ask`, which neither throws nor rejects. */
  share(key: string, ask: () => Promise<T>): Promise<T> {
    const underWay = this.#underWay.get(key)
    if (underWay !== undefined) return underWay
    const untilMs = this.#options.elapsed() + this.#options.ttlMs
    const told = ask().then((answer) => {
      this.#underWay.delete(key)
      if (answer.holds) this.#keep(key, { verdict: cached(answer.verdict), untilMs })
      return answer
    })
    this.#underWay.set(key, told)
    return told
  }

  #keep(key: string, entry: Remembered): void {
    this.#entries.set(key, entry)
    if (this.#entries.size <= this.#options.entriesMax) return
    const [oldest] = this.#entries.keys()
    if (oldest !== undefined) this.#entries.delete(oldest)
  }
}

function cached(verdict: Verdict): Verdict {
  return { ...verdict, isCached: true }
}
