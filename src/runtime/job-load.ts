// How much stands in the way of requests, for jobs that give way to them.

import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { IngestFigures } from '../telemetry/ingest-figures.ts'

export interface LoadSources {
  readonly requestsInFlight: () => number
  readonly ingest: () => Pick<IngestFigures, 'slabBytesInUse' | 'slabBytesMax'>
  /** How many requests of clients have pushed since the start. */
  readonly pushes: () => number
  /** Monotonic, in ms. */
  readonly elapsed: () => number
}

/** What measures how long the event loop was held up. Units: ns, the resolution included. */
export interface DelayMonitor {
  readonly mean: number
  readonly count: number
  reset(): void
  enable(): unknown
  disable(): unknown
}

// Many requests in flight may be clients with slow lines, who lose nothing: alone they slow a job to half.
const inFlightFull = 64
const inFlightWeight = 0.5
// Pushes wait for the disk and for the one writer of the records, which no queue shows: a job that shares both with
// them works for a small part of the time.
const pushWeight = 0.5
const pushMs = 1_000
const resolutionMs = 5
const delayMsMin = 2
const delayMsFull = 25
const windowMs = 200

/** Measures only while a job runs. */
export class JobLoad {
  readonly #sources: LoadSources
  readonly #monitor: DelayMonitor
  #users = 0
  #measuredAt = 0
  #ofDelay = 0
  #pushes = 0
  #pushedAt = Number.NEGATIVE_INFINITY

  constructor(
    sources: LoadSources,
    monitor: DelayMonitor = monitorEventLoopDelay({ resolution: resolutionMs }),
  ) {
    this.#sources = sources
    this.#monitor = monitor
  }

  /** A job begins. */
  begin(): void {
    this.#users += 1
    if (this.#users > 1) return
    this.#monitor.reset()
    this.#monitor.enable()
    this.#ofDelay = 0
    this.#measuredAt = this.#sources.elapsed()
    this.#pushes = this.#sources.pushes()
    this.#pushedAt = Number.NEGATIVE_INFINITY
  }

  /** A job has ended. */
  end(): void {
    this.#users -= 1
    if (this.#users === 0) this.#monitor.disable()
  }

  /** From 0 to 1. Cheap. */
  read(): number {
    const { ingest, requestsInFlight } = this.#sources
    const { slabBytesInUse, slabBytesMax } = ingest()
    // At half of the memory for bodies uploads are about to wait for the disk.
    const ofBodies = slabBytesMax === 0 ? 0 : (2 * slabBytesInUse) / slabBytesMax
    const ofRequests = inFlightWeight * Math.min(1, requestsInFlight() / inFlightFull)
    const ofPushes = this.#arePushed() ? pushWeight : 0
    return Math.min(1, Math.max(ofBodies, ofRequests, ofPushes, this.#delay()))
  }

  #arePushed(): boolean {
    const { elapsed, pushes } = this.#sources
    const at = elapsed()
    const count = pushes()
    if (count !== this.#pushes) {
      this.#pushes = count
      this.#pushedAt = at
    }
    return at - this.#pushedAt < pushMs
  }

  #delay(): number {
    const at = this.#sources.elapsed()
    if (at - this.#measuredAt < windowMs) return this.#ofDelay
    this.#measuredAt = at
    const { count, mean } = this.#monitor
    // Held up for all of the window.
    if (count === 0) this.#ofDelay = 1
    else {
      const delayMs = mean / 1e6 - resolutionMs
      this.#ofDelay = Math.max(0, (delayMs - delayMsMin) / (delayMsFull - delayMsMin))
    }
    this.#monitor.reset()
    return this.#ofDelay
  }
}
