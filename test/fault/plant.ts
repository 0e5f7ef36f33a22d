// Loaded into the product ahead of it, in its event loop and in its threads. SIGCONT plants the fault that
// KEELSON_TEST_FAULT names: in the event loop, or in every thread that runs.

import { fileURLToPath } from 'node:url'
import workerThreads, { BroadcastChannel, isMainThread, type Worker } from 'node:worker_threads'

const channel = new BroadcastChannel('planted-faults')
channel.unref()

/** In a thread each ends that thread alone. */
const inThread: Readonly<Record<string, () => void>> = {
  'thread exit': () => process.exit(3),
  'thread exception': () => {
    throw new TypeError('planted in a thread')
  },
  'thread rejection': () => void Promise.reject(new TypeError('planted in a thread')),
  'thread memory': () => {
    const kept: unknown[] = []
    // Numbers, which the collector need not look into, so that the end comes soon; in pieces of a
    // megabyte, since one that is too large by itself ends the whole process.
    for (;;) kept.push(new Array(100_000).fill(1.5))
  },
}

const inLoop: Readonly<Record<string, () => void>> = {
  exception: () => {
    throw new TypeError('planted in the loop')
  },
  rejection: () => void Promise.reject(new TypeError('planted in the loop')),
  storm: () => {
    setInterval(() => {
      throw new TypeError('planted in the loop')
    }, 1)
  },
}

if (isMainThread) {
  const self = `--import=${fileURLToPath(import.meta.url)}`
  const { Worker: original } = workerThreads
  // The environment of the threads is empty, so that they would not load this by themselves.
  workerThreads.Worker = class extends original {
    constructor(...[file, options]: ConstructorParameters<typeof Worker>) {
      super(file, { ...options, execArgv: [...process.execArgv, self] })
    }
  }
  const name = process.env['KEELSON_TEST_FAULT'] ?? ''
  process.on('SIGCONT', () => {
    // On a turn of its own: what throws in here would be the signal's.
    if (Object.hasOwn(inLoop, name)) setImmediate(() => inLoop[name]?.())
    else channel.postMessage(name)
  })
} else {
  channel.onmessage = (message) => {
    const { data } = message as { readonly data: string }
    setImmediate(() => inThread[data]?.())
  }
}
