// Keeps one channel per ingest thread, through deaths of threads. The only user of piscina.

import { fileURLToPath } from 'node:url'
import type { Worker } from 'node:worker_threads'
import { Piscina } from 'piscina'
import type { IngestThreadTask } from '../../workers/tasks.ts'
import { StorageError } from '../storage/error.ts'
import type { IngestFigures } from '../telemetry/ingest-figures.ts'
import { HashFigures } from './hash-figures.ts'
import { type ChannelEvents, ThreadChannel } from './thread-channel.ts'
import { ThreadTime } from './thread-time.ts'

// The compiled tree and the sources have the same shape and differ in the extension alone.
const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
const entryFile = fileURLToPath(new URL(`../../workers/entry${extension}`, import.meta.url))

// A thread that dies as soon as it starts must not be replaced in a loop.
const quickDeathMs = 1000
const replaceDelayMs = 500

export interface ThreadsEvents extends Pick<ChannelEvents, 'onReturned' | 'onLost' | 'onS3'> {
  /** A thread has died and is replaced. */
  readonly onDeath: (why: unknown) => void
}

export interface ThreadsOptions {
  readonly count: number
  readonly niceIncrement: number
  /** Of each thread. */
  readonly keptHashersMax: number
}

export class IngestThreads {
  /** Absent where there are no threads. */
  readonly #pool: Piscina<IngestThreadTask, void> | undefined
  readonly #events: ChannelEvents
  readonly #onDeath: (why: unknown) => void
  readonly #channels = new Set<ThreadChannel>()
  /** Ends of the threads behind the channels: a failed task comes before the last write is over. */
  readonly #exits = new Map<ThreadChannel, Promise<unknown>>()
  readonly #serving = new Set<Promise<void>>()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #time = new ThreadTime()
  readonly #hashed = new HashFigures()
  readonly #options: ThreadsOptions
  #replaced = 0
  #isClosing = false

  constructor(options: ThreadsOptions, events: ThreadsEvents) {
    this.#onDeath = events.onDeath
    this.#events = {
      ...events,
      onServing: (channel, threadId) => {
        const thread = this.threads.find((candidate) => candidate.threadId === threadId)
        // Not `once` of node:events, which rejects where an error comes before the exit.
        if (thread) this.#exits.set(channel, new Promise((exited) => thread.once('exit', exited)))
      },
    }
    this.#options = options
    const { count, niceIncrement } = options
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

  /** Costs some µs for each thread. */
  get gauges(): IngestFigures['inThreads'] {
    const { threads } = this
    const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)
    const channels = [...this.#channels]
    return {
      ...this.#time.look(threads),
      threads: threads.length,
      sessions: sum(channels.map(({ sessions }) => sessions)),
      syncing: sum(channels.map(({ syncing }) => syncing)),
      bytesInThreads: sum(channels.map(({ bytesInThread }) => bytesInThread)),
      ...this.#hashed.total,
      replaced: this.#replaced,
    }
  }

  /** Undefined while every thread is being replaced. */
  leastLoaded(): ThreadChannel | undefined {
    let least: ThreadChannel | undefined
    for (const channel of this.#channels) {
      if (channel.isOpen && (!least || channel.load < least.load)) least = channel
    }
    return least
  }

  /** The one that has kept the hasher of what is staged at `path`. */
  keeping(path: string): ThreadChannel | undefined {
    for (const channel of this.#channels) {
      if (channel.isOpen && channel.keeps(path)) return channel
    }
    return undefined
  }

  forget(path: string): void {
    for (const channel of this.#channels) channel.forget(path)
  }

  /** Errors: StorageError 'unavailable' where a thread is being replaced, or dies before it answers. */
  async ping(): Promise<void> {
    const open = [...this.#channels].filter(({ isOpen }) => isOpen)
    const { count } = this.#options
    if (open.length < count) {
      throw new StorageError('unavailable', `${open.length} of ${count} threads run`)
    }
    await Promise.all(open.map((channel) => channel.ping()))
  }

  async close(): Promise<void> {
    this.#isClosing = true
    for (const timer of this.#timers) clearTimeout(timer)
    await Promise.all([...this.#channels].map((channel) => channel.leave()))
    await Promise.all(this.#serving)
    await this.#pool?.close()
  }

  #serve(pool: Piscina<IngestThreadTask, void>): void {
    const { keptHashersMax } = this.#options
    const channel = new ThreadChannel(this.#events, keptHashersMax)
    this.#channels.add(channel)
    const startedAt = performance.now()
    const hashFigures = this.#hashed.begin()
    const { threadPort: takenPort } = channel
    const serving = pool
      .run({ takenPort, hashFigures, keptHashersMax }, { transferList: [takenPort] })
      .catch(async (why: unknown) => {
        await this.#exits.get(channel)
        if (this.#isClosing) return
        this.#onDeath(why)
        this.#replace(pool, performance.now() - startedAt)
      })
      .then(() => {
        channel.lose()
        this.#hashed.end(hashFigures)
        this.#channels.delete(channel)
        this.#exits.delete(channel)
        this.#serving.delete(serving)
      })
    this.#serving.add(serving)
  }

  #replace(pool: Piscina<IngestThreadTask, void>, livedMs: number): void {
    this.#replaced += 1
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
