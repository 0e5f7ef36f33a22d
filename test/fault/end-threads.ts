// Loaded into the product ahead of it: the first SIGUSR2 begins to note the threads that start, the second
// one ends them, wherever they are.

import { writeSync } from 'node:fs'
import workerThreads, { isMainThread, type Worker } from 'node:worker_threads'

if (isMainThread) {
  const { Worker: original } = workerThreads
  const started: Worker[] = []
  let isNoting = false
  // What piscina takes at each start of a thread.
  workerThreads.Worker = class extends original {
    constructor(...args: ConstructorParameters<typeof Worker>) {
      super(...args)
      if (isNoting) started.push(this)
    }
  }
  process.on('SIGUSR2', () => {
    if (!isNoting) {
      isNoting = true
      tell({ noting: true })
      return
    }
    const ending = started.splice(0)
    void Promise.all(ending.map((thread) => thread.terminate()))
    tell({ ended: ending.length })
  })
}

function tell(what: object): void {
  writeSync(1, `${JSON.stringify(what)}\n`)
}
