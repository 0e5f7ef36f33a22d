// One line on a terminal that tells how far a job is: rate, bytes, and how long it will take.

import { roughDuration, roughSize } from '../telemetry/rough-units.ts'

/** As a job tells it; everything may be absent. */
export interface ShownProgress {
  readonly phase?: unknown
  readonly done?: unknown
  readonly total?: unknown
  readonly bytes?: unknown
  readonly bytesTotal?: unknown
}

interface Sample {
  readonly atMs: number
  readonly done: number
  readonly bytes: number
}

// Rates are of the last half minute: what went on before says little of what comes.
const windowMs = 30_000
// Before that nobody can tell.
const rateAfterMs = 2_000
const etaMsMax = 100 * 86_400_000

export class ProgressLine {
  readonly #elapsed: () => number
  #phase = ''
  #samples: Sample[] = []

  /** `elapsed`: monotonic, in ms. */
  constructor(elapsed: () => number) {
    this.#elapsed = elapsed
  }

  /** Fits in `width` columns, and has no line end. */
  render(kind: string, progress: ShownProgress, width: number): string {
    const phase = typeof progress.phase === 'string' ? progress.phase : 'starting'
    const done = count(progress.done) ?? 0
    const total = count(progress.total)
    const bytes = count(progress.bytes)
    const bytesTotal = count(progress.bytesTotal)
    this.#take(phase, done, bytes ?? 0)
    const { perSecond, bytesPerSecond } = this.#rates()
    const share = shareOf({ done, total, bytes, bytesTotal })
    // What matters most comes first: the end of it is cut.
    const parts = [
      `${kind}: ${phase.replaceAll(/\p{Cc}/gu, ' ')}`,
      share === undefined ? '' : `${Math.floor(share * 100)} %`,
      total === undefined ? `${done}` : `${done}/${total}`,
      this.#eta({ done, total, bytes, bytesTotal }, perSecond, bytesPerSecond),
      bytes === undefined
        ? ''
        : bytesTotal === undefined
          ? roughSize(bytes)
          : `${roughSize(bytes)} of ${roughSize(bytesTotal)}`,
      bytesPerSecond > 0 ? `${roughSize(bytesPerSecond)}/s` : '',
      perSecond > 0 ? `${roughRate(perSecond)}/s` : '',
    ]
    const line = parts.filter((part) => part !== '').join('  ')
    return [...line].slice(0, Math.max(0, width)).join('')
  }

  #take(phase: string, done: number, bytes: number): void {
    const last = this.#samples.at(-1)
    const wentBack = last !== undefined && (done < last.done || bytes < last.bytes)
    // Another phase counts other things.
    if (phase !== this.#phase || wentBack) this.#samples = []
    this.#phase = phase
    const atMs = this.#elapsed()
    this.#samples.push({ atMs, done, bytes })
    while ((this.#samples[1]?.atMs ?? atMs) < atMs - windowMs) this.#samples.shift()
  }

  #rates(): { readonly perSecond: number; readonly bytesPerSecond: number } {
    const [first] = this.#samples
    const last = this.#samples.at(-1)
    const none = { perSecond: 0, bytesPerSecond: 0 }
    if (first === undefined || last === undefined) return none
    const seconds = (last.atMs - first.atMs) / 1000
    if (seconds * 1000 < rateAfterMs) return none
    return {
      perSecond: (last.done - first.done) / seconds,
      bytesPerSecond: (last.bytes - first.bytes) / seconds,
    }
  }

  // By bytes where they are known: items differ in size.
  #eta(counts: Counts, perSecond: number, bytesPerSecond: number): string {
    const { done, total, bytes, bytesTotal } = counts
    const left =
      bytesTotal !== undefined && bytes !== undefined && bytesTotal > 0
        ? (bytesTotal - bytes) / bytesPerSecond
        : total !== undefined
          ? (total - done) / perSecond
          : Number.NaN
    const ms = left * 1000
    return ms >= 0 && ms < etaMsMax ? `${roughDuration(ms)} left` : ''
  }
}

interface Counts {
  readonly done: number
  readonly total: number | undefined
  readonly bytes: number | undefined
  readonly bytesTotal: number | undefined
}

function shareOf({ done, total, bytes, bytesTotal }: Counts): number | undefined {
  const of = (part: number, whole: number): number => Math.min(1, Math.max(0, part / whole))
  if (bytesTotal !== undefined && bytesTotal > 0 && bytes !== undefined)
    return of(bytes, bytesTotal)
  return total !== undefined && total > 0 ? of(done, total) : undefined
}

function count(value: unknown): number | undefined {
  return Number.isFinite(value) && Number(value) >= 0 ? Math.floor(Number(value)) : undefined
}

function roughRate(perSecond: number): string {
  return perSecond >= 10 ? perSecond.toFixed(0) : perSecond.toFixed(1)
}
