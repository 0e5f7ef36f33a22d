// A job that goes on only when it is told to, so that requests, the clock and kills come between its steps.

import assert from 'node:assert/strict'
import type { JobRun, RunOptions } from '../../support/maintain.ts'

/** A job and its input. */
export interface Chore {
  readonly kind: string
  readonly run: (options: RunOptions) => Promise<JobRun>
}

export class JobTurns {
  readonly kind: string
  readonly #stopping = new AbortController()
  readonly #end: Promise<void>
  #turnsLeft = 0
  #release: () => void = () => undefined
  #paused: () => void = () => undefined
  #result: JobRun | undefined
  #fault: unknown

  constructor(chore: Chore) {
    this.kind = chore.kind
    const { signal } = this.#stopping
    const running = chore.run({ signal, onPace: () => this.#turn() })
    this.#end = running.then(
      (result) => {
        this.#result = result
      },
      (fault: unknown) => {
        this.#fault = fault
      },
    )
  }

  /** Undefined while it runs. Errors: what it failed with. */
  get result(): JobRun | undefined {
    // One that was asked to stop may say so.
    if (this.#fault !== undefined && !this.#stopping.signal.aborted) throw this.#fault
    return this.#result
  }

  get isOver(): boolean {
    return this.#result !== undefined || this.#fault !== undefined
  }

  /** Resolves when it has taken so many turns, or is over. Never where the process dies meanwhile. */
  async advance(turns: number): Promise<void> {
    if (this.isOver || turns === 0) return
    this.#turnsLeft = turns
    const paused = new Promise<void>((resolve) => {
      this.#paused = resolve
    })
    this.#release()
    await Promise.race([paused, this.#end])
  }

  /** Ask it to end, and let it. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.finish()
  }

  async finish(): Promise<void> {
    await this.advance(Number.POSITIVE_INFINITY)
    assert.ok(this.isOver)
  }

  #turn(): Promise<void> | undefined {
    if (this.#turnsLeft > 0) {
      this.#turnsLeft -= 1
      return undefined
    }
    this.#paused()
    return new Promise((resolve) => {
      this.#release = resolve
    })
  }
}
