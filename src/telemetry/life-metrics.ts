// Metrics of a process's own life: its build, its start, its event loop, its clock, and what it reads
// and writes about itself.

import { performance } from 'node:perf_hooks'
import type { Registry } from 'prom-client'
import type { ClockFigures } from './clock-state.ts'
import type { LogFigures } from './log-destination.ts'
import { counter, gauge, type MetricPart, single } from './readings.ts'
import type { ReloadFigures } from './reload-figures.ts'
import { registerTraceMetrics, type TraceReading } from './trace-metrics.ts'

/** What this process was built from. */
export interface BuildFigures {
  readonly version: string
  /** Of the uWebSockets.js package; `none` where it does not load. */
  readonly uws: string
}

export interface LifeSources {
  readonly build: BuildFigures
  readonly clock: { figures(): Promise<ClockFigures> }
  readonly reload: () => ReloadFigures
  /** Undefined where nobody counts. */
  readonly log: () => LogFigures | undefined
  /** Undefined where nothing is traced. */
  readonly traces: () => TraceReading | undefined
}

export class LifeMetrics implements MetricPart {
  readonly #sources: LifeSources

  constructor(sources: LifeSources) {
    this.#sources = sources
  }

  register(registry: Registry): void {
    const { build, clock, reload, log, traces } = this.#sources
    buildMetrics(registry, build)
    loopMetrics(registry)
    clockMetrics(registry, clock)
    reloadMetrics(registry, reload)
    logMetrics(registry, log)
    registerTraceMetrics(registry, traces)
  }
}

function buildMetrics(registry: Registry, { version, uws }: BuildFigures): void {
  gauge(registry, {
    name: 'keelson_build_info',
    help: 'What serves here, with value 1',
    labelNames: ['version', 'node', 'uws'],
    aggregator: 'max',
    read: () => [[{ version, node: process.versions.node, uws }, 1]],
  })
  // The library's own is left out where processes are added up.
  gauge(registry, {
    name: 'keelson_start_time_seconds',
    help: 'When the process started, in seconds since the epoch; of several, the first',
    aggregator: 'min',
    read: single(() => performance.timeOrigin / 1000),
  })
}

function loopMetrics(registry: Registry): void {
  counter(registry, {
    name: 'keelson_event_loop_active_seconds_total',
    help: 'How long the event loop had something to do',
    read: single(() => performance.eventLoopUtilization().active / 1000),
  })
  counter(registry, {
    name: 'keelson_event_loop_idle_seconds_total',
    help: 'How long the event loop waited for something to do',
    read: single(() => performance.eventLoopUtilization().idle / 1000),
  })
}

// Every process has the same clocks.
function clockMetrics(registry: Registry, clock: LifeSources['clock']): void {
  counter(registry, {
    name: 'keelson_clock_jumps_total',
    help: 'Jumps of the wall clock by two seconds or more; tokens and leases are judged by it',
    aggregator: 'max',
    read: async () => [[{}, (await clock.figures()).jumps]],
  })
  gauge(registry, {
    name: 'keelson_clock_drift_seconds',
    help: 'How much further the wall clock has moved than the monotonic one since the start',
    aggregator: 'first',
    read: async () => [[{}, (await clock.figures()).driftMs / 1000]],
  })
  gauge(registry, {
    name: 'keelson_clock_synchronized',
    help: '1 where systemd-timesyncd has set the clock; absent where it does not run',
    aggregator: 'min',
    read: async () => {
      const { isSynchronized } = await clock.figures()
      return isSynchronized === undefined ? [] : [[{}, isSynchronized ? 1 : 0]]
    },
  })
}

// A process that could not follow is worse than one that did.
function reloadMetrics(registry: Registry, read: () => ReloadFigures): void {
  gauge(registry, {
    name: 'config_last_reload_success',
    help: '1 where the configuration in force is the one that was read last',
    aggregator: 'min',
    read: single(() => (read().isLastOk ? 1 : 0)),
  })
  gauge(registry, {
    name: 'config_last_reload_timestamp_seconds',
    help: 'When a configuration last came into force, in seconds since the epoch',
    aggregator: 'min',
    read: single(() => read().lastOkAtMs / 1000),
  })
  gauge(registry, {
    name: 'keelson_config_restart_required_keys',
    help: 'Keys of the configuration that differ from what is in force until the next start',
    aggregator: 'max',
    read: single(() => read().needsRestart),
  })
  counter(registry, {
    name: 'keelson_config_reloads_total',
    help: 'Reloads of the configuration: taken, or refused',
    labelNames: ['result'],
    aggregator: 'max',
    read: () => [
      [{ result: 'taken' }, read().reloads],
      [{ result: 'refused' }, read().failures],
    ],
  })
}

function logMetrics(registry: Registry, read: LifeSources['log']): void {
  counter(registry, {
    name: 'keelson_log_lines_total',
    help: 'Lines of the log that were written, those of the access log among them',
    read: single(() => read()?.written),
  })
  counter(registry, {
    name: 'keelson_log_lines_dropped_total',
    help: 'Lines of the log that are lost: whoever reads it was too slow, or the disk was full',
    read: single(() => read()?.dropped),
  })
}
