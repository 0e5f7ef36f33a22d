// Cuts clients that move too little while it is their turn. Nothing here limits a transfer by its
// whole time.

import type { EdgeCounts } from '../../../telemetry/edge-counts.ts'
import type { PaceLimits } from '../exchange.ts'

/** One body or reply on its way. */
export interface Moving {
  readonly kind: 'body' | 'reply'
  /** Bytes so far; undefined while the client waits for us. */
  movedBytes(): number | undefined
  /** Called at each tick, before its bytes are asked for. */
  onTick(): void
  cut(): void
}

interface Progress {
  bytes: number
  movedAt: number
  graceBytes: number
  graceAt: number
  /** As the native library keeps it: anew with each so many bytes. */
  nativeBytes: number
  nativeAt: number
}

const tickMsMin = 50
const tickMsMax = 1_000
const ticksPerLimit = 4
// uWS wants 160 KiB of a body within 10 s, a time that it keeps to 4 s.
const nativeBytesMin = 160 * 1024
const nativeMsMin = 7_500

/** One per listener; its timer runs only while something moves. */
export class PaceKeeper {
  readonly #limits: PaceLimits
  readonly #counts: EdgeCounts
  readonly #now: () => number
  readonly #moving = new Map<Moving, Progress | undefined>()
  readonly #tickMs: number
  #tickedAt = 0
  #timer: NodeJS.Timeout | undefined

  /** `now`: a clock that never goes back, in ms. */
  constructor(limits: PaceLimits, counts: EdgeCounts, now: () => number) {
    this.#limits = limits
    this.#counts = counts
    this.#now = now
    const shortest = Math.min(limits.stallMs, limits.graceMs) / ticksPerLimit
    this.#tickMs = Math.min(tickMsMax, Math.max(tickMsMin, shortest))
  }

  watch(moving: Moving): void {
    this.#moving.set(moving, undefined)
    if (this.#timer !== undefined) return
    this.#tickedAt = this.#now()
    this.#timer = setInterval(() => this.tick(), this.#tickMs).unref()
  }

  /** It has ended, well or by an abort. */
  forget(moving: Moving): void {
    this.#moving.delete(moving)
    if (this.#moving.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** As `forget`, for one that an abort has ended: by the native library's own bound, perhaps. */
  forgetAborted(moving: Moving): void {
    const progress = this.#moving.get(moving)
    const isSlow = progress !== undefined && this.#now() - progress.nativeAt >= nativeMsMin
    if (isSlow && moving.movedBytes() !== undefined) this.#counts.closedSlow[moving.kind] += 1
    this.forget(moving)
  }

  tick(): void {
    const now = this.#now()
    // What clients sent while this process was busy is read after this tick: that time is not theirs.
    const lateMs = Math.max(0, now - this.#tickedAt - this.#tickMs)
    this.#tickedAt = now
    for (const [moving, progress] of [...this.#moving]) {
      if (progress !== undefined) forgive(progress, lateMs)
      moving.onTick()
      // It may have ended just now.
      if (this.#moving.has(moving)) this.#judge(moving, now)
    }
  }

  #judge(moving: Moving, now: number): void {
    const bytes = moving.movedBytes()
    const progress = this.#moving.get(moving)
    if (bytes === undefined || progress === undefined) {
      this.#moving.set(moving, bytes === undefined ? undefined : beginning(bytes, now))
      return
    }
    note(progress, bytes, now)
    if (!this.#isSlow(moving.kind, progress, now)) return
    this.#counts.closedSlow[moving.kind] += 1
    this.forget(moving)
    moving.cut()
  }

  #isSlow(kind: Moving['kind'], progress: Progress, now: number): boolean {
    const { stallMs, graceMs, receiveRateMin, sendRateMin } = this.#limits
    if (now - progress.movedAt >= stallMs) return true
    const elapsedMs = now - progress.graceAt
    if (elapsedMs < graceMs) return false
    const rateMin = kind === 'body' ? receiveRateMin : sendRateMin
    const isSlow = (progress.bytes - progress.graceBytes) * 1000 < rateMin * elapsedMs
    progress.graceBytes = progress.bytes
    progress.graceAt = now
    return isSlow
  }
}

function beginning(bytes: number, now: number): Progress {
  return {
    ...{ bytes, movedAt: now },
    ...{ graceBytes: bytes, graceAt: now },
    ...{ nativeBytes: bytes, nativeAt: now },
  }
}

function forgive(progress: Progress, ms: number): void {
  progress.movedAt += ms
  progress.graceAt += ms
  progress.nativeAt += ms
}

function note(progress: Progress, bytes: number, now: number): void {
  if (bytes > progress.bytes) progress.movedAt = now
  progress.bytes = bytes
  if (bytes - progress.nativeBytes < nativeBytesMin) return
  progress.nativeBytes = bytes
  progress.nativeAt = now
}
