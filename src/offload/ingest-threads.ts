// Keeps one channel per ingest thread, through deaths of threads. The only user of piscina.

import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Worker } from 'node:worker_threads'
import { Piscina } from 'piscina'
import type { IngestThreadTask } from '../../workers/tasks.ts'
import { type ChannelEvents, ThreadChannel } from './thread-channel.ts'

// The compiled tree and the sources have the same shape and differ in the extension alone.
const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
const entryFile = fileURLToPath(new URL(`../../workers/entry${extension}`, import.meta.url))

// A thread that dies as soon as it starts must not be replaced in a loop.
const quickDeathMs = 1000
const replaceDelayMs = 500

export type ThreadsEvents = Pick<ChannelEvents, 'onReturned' | 'onLost'>

export class IngestThreads {
  /** Absent where there are no threads. */
  readonly #pool: Piscina<IngestThreadTask, void> | undefined
  readonly #events: ChannelEvents
  readonly #channels = new Set<ThreadChannel>()
  /** Ends of the threads behind the channels: a failed task comes before the last write is over. */
  readonly #exits = new Map<ThreadChannel, Promise<unknown>>()
  readonly #serving = new Set<Promise<void>>()
  readonly #timers = new Set<NodeJS.Timeout>()
  #isClosing = false

  constructor(count: number, niceIncrement: number, events: ThreadsEvents) {
    this.#events = {
      ...events,
      onServing: (channel, threadId) => {
        const thread = this.threads.find((candidate) => candidate.threadId === threadId)
        if (thread) this.#exits.set(channel, once(thread, 'exit'))
      },
    }
    if (count === 0) return
    this.#pool = openPool(count, niceIncrement)
    // A thread that dies shows in its task; without a listener the event would end the process.
    this.#pool.on('error', () => undefined)
    for (let i = 0; i < count; i++) this.#serve(this.#pool)
  }

  /** For diagnostics. */
  get threads(): readonly Worker[] {
    return this.#pool?.threads ?? []
  }

  /** Undefined while every thread is being replaced. */
  leastLoaded(): ThreadChannel | undefined {
    let least: ThreadChannel | undefined
    for (const channel of this.#channels) {
      if (channel.isOpen && (!least || channel.load < least.load)) least = channel
    }
    return least
  }

  async close(): Promise<void> {
    this.#isClosing = true
    for (const timer of this.#timers) clearTimeout(timer)
    await Promise.all([...this.#channels].map((channel) => channel.leave()))
    await Promise.all(this.#serving)
    await this.#pool?.close()
  }

  #serve(pool: Piscina<IngestThreadTask, void>): void {
    const channel = new ThreadChannel(this.#events)
    this.#channels.add(channel)
    const startedAt = performance.now()
    const serving = pool
      .run({ takenPort: channel.threadPort }, { transferList: [channel.threadPort] })
      .catch(async () => {
        await this.#exits.get(channel)
        if (!this.#isClosing) this.#replace(pool, performance.now() - startedAt)
      })
      .then(() => {
        channel.lose()
        this.#channels.delete(channel)
        this.#exits.delete(channel)
        this.#serving.delete(serving)
      })
    this.#serving.add(serving)
  }

  #replace(pool: Piscina<IngestThreadTask, void>, livedMs: number): void {
    const delayMs = livedMs < quickDeathMs ? replaceDelayMs : 0
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      this.#serve(pool)
    }, delayMs)
    this.#timers.add(timer)
  }
}

// One endless task per thread, which serves a port. For a 100 KiB body on one core that measured
// 158 µs, a task of piscina's for each body 208 µs, and a port for each body 250 µs.
function openPool(count: number, niceIncrement: number): Piscina<IngestThreadTask, void> {
  return new Piscina({
    filename: entryFile,
    name: 'serveIngest',
    minThreads: count,
    maxThreads: count,
    concurrentTasksPerWorker: 1,
    maxQueue: count,
    idleTimeout: Number.POSITIVE_INFINITY,
    closeTimeout: 30_000,
    atomics: 'disabled',
    niceIncrement,
    resourceLimits: { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 16 },
    // Nothing in a thread reads the environment, which may carry secrets.
    env: {},
    argv: [],
    trackUnmanagedFds: true,
    recordTiming: false,
    workerHistogram: false,
    stricterFIFO: true,
  })
}
