// How busy threads have been since the start, through deaths of threads.

import type { Worker } from 'node:worker_threads'

/** In ms. What a thread did between the last look and its death is not known. */
export interface ThreadLoad {
  readonly activeMs: number
  readonly idleMs: number
}

export class ThreadTime {
  readonly #last = new Map<Worker, ThreadLoad>()
  #pastActiveMs = 0
  #pastIdleMs = 0

  /** `threads`: those that run at the moment. Costs some µs for each. */
  look(threads: readonly Worker[]): ThreadLoad {
    const running = new Set(threads)
    for (const [thread, { activeMs, idleMs }] of this.#last) {
      if (running.has(thread)) continue
      this.#last.delete(thread)
      this.#pastActiveMs += activeMs
      this.#pastIdleMs += idleMs
    }
    let activeMs = this.#pastActiveMs
    let idleMs = this.#pastIdleMs
    for (const thread of threads) {
      // One that is ending tells of no time at all.
      const { active, idle } = thread.performance.eventLoopUtilization()
      const before = this.#last.get(thread)
      const load = {
        activeMs: Math.max(active, before?.activeMs ?? 0),
        idleMs: Math.max(idle, before?.idleMs ?? 0),
      }
      this.#last.set(thread, load)
      activeMs += load.activeMs
      idleMs += load.idleMs
    }
    return { activeMs, idleMs }
  }
}
