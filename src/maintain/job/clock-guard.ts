// Whether the wall clock can be believed by those who delete what is old by it: it must go on together with
// the clock that counts since the boot of the host, also while that is suspended.

import { roughDuration } from '../../telemetry/rough-units.ts'
import type { JobClock } from './clock.ts'

/** Both clocks at one moment. Units: ms. */
export interface ClockStamp {
  readonly bootId: string
  readonly wallMs: number
  readonly sinceBootMs: number
}

export interface GuardOptions {
  readonly clock: Pick<JobClock, 'now' | 'sinceBoot'>
  /** Of this boot of the host; '' where nobody knows. */
  readonly bootId: string
  /** For how long a clock that has jumped is not believed: no lease that was given before outlives it. */
  readonly settleMs: () => number
}

// A smaller step is none: time servers make them, and the second clock counts in hundredths of a second.
const stepMsMin = 2_000
// A step matters by what is judged: one of a few seconds does nothing to leases of a day.
const stepPerSettle = 0.01
// A clock that is set right bit by bit moves by up to 500 ppm. Source: adjtimex(2).
const slewPerMs = 0.001
// Both are read in one go, or read again.
const readMsMax = 20
const readTries = 5

export class ClockGuard {
  readonly #options: GuardOptions
  readonly #started: ClockStamp
  #base: ClockStamp
  #jump: { readonly sinceBootMs: number; readonly byMs: number } | undefined
  #isTrusted = false

  constructor(options: GuardOptions) {
    this.#options = options
    this.#started = this.stamp()
    this.#base = this.#started
  }

  stamp(): ClockStamp {
    const { bootId, clock } = this.#options
    for (let tries = 1; ; tries += 1) {
      const wallMs = clock.now()
      const sinceBootMs = clock.sinceBoot()
      // Held up in between, this process would see a jump where there is none.
      if (clock.now() - wallMs <= readMsMax || tries === readTries) {
        return { bootId, wallMs, sinceBootMs }
      }
    }
  }

  /** What is wrong with it, in a sentence; undefined where it can be believed. Cheap. */
  problem(): string | undefined {
    const at = this.stamp()
    const byMs = driftMs(this.#base, at)
    if (this.#isStep(byMs, this.#base, at)) {
      this.#jump = { sinceBootMs: at.sinceBootMs, byMs }
      this.#base = at
    }
    if (this.#jump === undefined) return undefined
    const agoMs = at.sinceBootMs - this.#jump.sinceBootMs
    const leftMs = this.#options.settleMs() - agoMs
    if (leftMs <= 0) {
      this.#jump = undefined
      return undefined
    }
    const direction = this.#jump.byMs > 0 ? 'forwards' : 'back'
    const by = roughDuration(Math.abs(this.#jump.byMs))
    const when = roughDuration(agoMs)
    return `the clock was set ${direction} by ${by} ${when} ago, so that nobody can tell how old things are: ${advice(at)}, or wait for ${roughDuration(leftMs)}`
  }

  /** As `problem`, and against the clocks as they were when the last run ended. */
  problemSince(last: {
    readonly endedAtMs: number
    readonly stamp: ClockStamp | undefined
  }): string | undefined {
    const { stamp } = last
    // What came after the start of this process is known better here.
    const isComparable =
      stamp !== undefined &&
      stamp.bootId !== '' &&
      stamp.bootId === this.#started.bootId &&
      stamp.sinceBootMs < this.#started.sinceBootMs
    if (isComparable && !this.#isTrusted && this.#jump === undefined) {
      const byMs = driftMs(stamp, this.#started)
      if (this.#isStep(byMs, stamp, this.#started)) {
        this.#jump = { sinceBootMs: this.#started.sinceBootMs, byMs }
      }
    }
    const problem = this.problem()
    if (problem !== undefined) return problem
    const at = this.stamp()
    const beforeMs = last.endedAtMs - at.wallMs
    if (beforeMs <= this.#stepMsMax()) return undefined
    return `the clock shows ${shown(at.wallMs)}, but the last run ended at ${shown(last.endedAtMs)}: ${advice(at)}`
  }

  /** An operator says that it is right now. */
  trust(): void {
    this.#isTrusted = true
    this.#jump = undefined
    this.#base = this.stamp()
  }

  #stepMsMax(): number {
    return Math.max(stepMsMin, this.#options.settleMs() * stepPerSettle)
  }

  #isStep(byMs: number, from: ClockStamp, to: ClockStamp): boolean {
    const slewMs = slewPerMs * (to.sinceBootMs - from.sinceBootMs)
    return Math.abs(byMs) > this.#stepMsMax() + slewMs
  }
}

/** How much further the wall clock has moved. */
function driftMs(from: ClockStamp, to: ClockStamp): number {
  return to.wallMs - from.wallMs - (to.sinceBootMs - from.sinceBootMs)
}

function shown(ms: number): string {
  return Number.isFinite(ms) ? new Date(ms).toISOString() : 'an unknown time'
}

function advice({ wallMs }: ClockStamp): string {
  return `set it right (it shows ${shown(wallMs)}); if it is, run this once with --trust-clock`
}

/** Undefined where it is none. */
export function readStamp(value: unknown): ClockStamp | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { bootId, wallMs, sinceBootMs } = value as Partial<ClockStamp>
  if (typeof bootId !== 'string') return undefined
  if (typeof wallMs !== 'number' || typeof sinceBootMs !== 'number') return undefined
  return { bootId, wallMs, sinceBootMs }
}
