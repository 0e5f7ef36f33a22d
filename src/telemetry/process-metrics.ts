// The metrics of several processes as one page. What a process had counted when it ended stays in the
// sums: one that drops looks like a restart of the whole server, and is counted twice by those who read it.

import { AggregatorRegistry, Registry } from 'prom-client'
import { aggregateMetrics, type MetricFigures, type RenderedMetrics } from './aggregate.ts'
import { counter, gauge, single } from './readings.ts'

/** How the processes are. */
export interface ProcessFigures {
  readonly index: number
  readonly isUp: boolean
  readonly restarts: number
}

type Figures = Awaited<ReturnType<Registry['getMetricsAsJSON']>>

export class ProcessMetrics {
  readonly #processes: () => readonly ProcessFigures[]
  readonly #own = new Registry()
  /** As each process has told them last. */
  readonly #last = new Map<number, Figures>()
  /** Of all processes that have ended. */
  #ended: Figures = []

  constructor(processes: () => readonly ProcessFigures[]) {
    this.#processes = processes
    gauge(this.#own, {
      ...{ name: 'keelson_processes', aggregator: 'first' },
      help: 'Processes that are to serve',
      read: single(() => processes().length),
    })
    gauge(this.#own, {
      ...{ name: 'keelson_process_up', labelNames: ['process'], aggregator: 'first' },
      help: '1 where a process serves and answers',
      read: () => processes().map(({ index, isUp }) => [{ process: String(index) }, isUp ? 1 : 0]),
    })
    counter(this.#own, {
      name: 'keelson_process_restarts_total',
      help: 'Processes that took the place of one that had ended',
      labelNames: ['process'],
      read: () => processes().map(({ index, restarts }) => [{ process: String(index) }, restarts]),
    })
  }

  /** What a process has told, as `Metrics.figures` made it. */
  note(index: number, figures: MetricFigures): void {
    this.#last.set(index, figures as Figures)
  }

  /** A process has ended; another one begins to count at zero in its place. */
  async end(index: number): Promise<void> {
    const last = this.#last.get(index)
    this.#last.delete(index)
    if (last === undefined) return
    this.#ended = [...this.#ended, ...last.filter(isLasting)]
    const { length } = this.#ended
    const sums = await AggregatorRegistry.aggregate([this.#ended]).getMetricsAsJSON()
    // Another one may have ended meanwhile.
    this.#ended = [...sums, ...this.#ended.slice(length)]
  }

  /** Of a process that has told nothing anew it shows what that told before. */
  async render(): Promise<RenderedMetrics> {
    const own = await this.#own.getMetricsAsJSON()
    const told = this.#processes().flatMap(({ index }) => {
      const figures = this.#last.get(index)
      return figures === undefined ? [] : [figures]
    })
    return aggregateMetrics([own, ...told, this.#ended])
  }
}

// The types are the package's numbers or, in what it made for another process, their names.
function isLasting({ type, aggregator }: Figures[number]): boolean {
  return ['counter', 'histogram'].includes(String(type)) && aggregator === 'sum'
}
