// Whether something keeps the wall clock right, and how far it has moved against the monotonic one.

import { stat } from 'node:fs/promises'

export interface ClockFigures {
  readonly jumps: number
  /** How much further the wall clock has moved than the monotonic one since the start. */
  readonly driftMs: number
  /** Undefined where it cannot be told without privilege. */
  readonly isSynchronized: boolean | undefined
}

/** Notices jumps when it looks. */
export interface JumpWatch {
  /** Rejects where the clock cannot be believed. */
  look(): Promise<unknown>
  readonly figures: { readonly jumps: number }
}

export interface ClockOptions {
  /** Wall clock, in ms since the epoch. */
  readonly now: () => number
  /** Monotonic, in ms. */
  readonly elapsed: () => number
  readonly jumps: JumpWatch
  /** Of systemd-timesyncd; default that of the host. */
  readonly timesyncFolder?: string
}

// Seldom enough to cost nothing, often enough that two jumps do not cancel each other.
const lookMs = 1_000

export class ClockState {
  readonly #options: ClockOptions
  readonly #startOffsetMs: number
  readonly #timer: NodeJS.Timeout

  constructor(options: ClockOptions) {
    this.#options = options
    this.#startOffsetMs = this.#offset()
    this.#timer = setInterval(() => void this.#look(), lookMs)
    this.#timer.unref()
  }

  async figures(): Promise<ClockFigures> {
    await this.#look()
    return {
      jumps: this.#options.jumps.figures.jumps,
      driftMs: this.#offset() - this.#startOffsetMs,
      isSynchronized: await this.#isSynchronized(),
    }
  }

  close(): void {
    clearInterval(this.#timer)
  }

  // What it thinks of the clock is for readiness.
  async #look(): Promise<void> {
    await this.#options.jumps.look().catch(() => undefined)
  }

  #offset(): number {
    return this.#options.now() - this.#options.elapsed()
  }

  // The kernel's own word needs adjtimex(2), which Node does not offer; timesyncd leaves a file. With
  // chrony or ntpd nothing is told here. Source: systemd-timesyncd.service(8), "Files".
  async #isSynchronized(): Promise<boolean | undefined> {
    const folder = this.#options.timesyncFolder ?? '/run/systemd/timesync'
    if (!(await exists(folder))) return undefined
    return exists(`${folder}/synchronized`)
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch {
    return false
  }
}
