// How long the event loop was held up. A mean of all turns would hide what clients feel, so it is the
// longest delay of each second that counts.

import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Histogram, type Registry } from 'prom-client'
import type { MetricPart } from './readings.ts'

const boundsSeconds = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]
// A native timer, which costs the loop nothing but its wake-ups.
const resolutionMs = 10
const windowMs = 1_000

/** What measures delays: that of perf_hooks, or of a test. Units: ns, the resolution included. */
export interface DelaySource {
  readonly max: number
  readonly count: number
  reset(): void
}

export class LoopDelay implements MetricPart {
  readonly #source: DelaySource
  readonly #end: () => void
  readonly #delays = new Histogram({
    name: 'keelson_event_loop_delay_seconds',
    help: 'The longest delay of the event loop in each second',
    buckets: boundsSeconds,
    registers: [],
  })

  constructor(source?: DelaySource) {
    if (source !== undefined) {
      this.#source = source
      this.#end = () => undefined
      return
    }
    const monitor = monitorEventLoopDelay({ resolution: resolutionMs })
    monitor.enable()
    const timer = setInterval(() => this.look(), windowMs)
    timer.unref()
    this.#source = monitor
    this.#end = () => {
      clearInterval(timer)
      monitor.disable()
    }
  }

  /** Once a second: takes what was measured since the last time. */
  look(): void {
    const { count, max } = this.#source
    this.#source.reset()
    // Held up for all of the window, or stopped together with the whole process.
    if (count === 0) return
    this.#delays.observe(Math.max(0, max / 1e9 - resolutionMs / 1000))
  }

  register(registry: Registry): void {
    registry.registerMetric(this.#delays)
  }

  close(): void {
    this.#end()
  }
}
