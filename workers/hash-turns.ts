// Shares one thread's hashing among its sessions: a turn is one piece, so that a small body never
// waits behind all the slabs of a large one, and file callbacks run between turns.

import type { Hasher } from './hasher.ts'

interface Job {
  readonly hasher: Hasher
  readonly bytes: Uint8Array
  done: number
  readonly finished: () => void
}

// Bytes hashed before the thread looks at its port and files again: about 1 ms.
const turnBytes = 1 << 20

// About 0.1 ms of node:crypto: waiting for a turn would cost a small body more than it saves others.
const shortBytes = 128 << 10

export class HashTurns {
  // One queue per hasher keeps a body's bytes in order; the map's own order is the turn order.
  readonly #queues = new Map<Hasher, Job[]>()
  #isScheduled = false

  /** Resolves when `bytes`, in the order of the calls, are in `hasher`. */
  add(hasher: Hasher, bytes: Uint8Array): Promise<void> {
    const isShort = bytes.length <= shortBytes && hasher.pieceBytes >= turnBytes
    if (isShort && !this.#queues.has(hasher)) {
      hasher.update(bytes)
      return Promise.resolve()
    }
    return new Promise((finished) => {
      const job: Job = { hasher, bytes, done: 0, finished }
      const queue = this.#queues.get(hasher)
      if (queue) queue.push(job)
      else this.#queues.set(hasher, [job])
      this.#schedule()
    })
  }

  /** What waits for this hasher will not be needed; its promises resolve. */
  drop(hasher: Hasher): void {
    for (const job of this.#queues.get(hasher) ?? []) job.finished()
    this.#queues.delete(hasher)
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#run()
      if (this.#queues.size > 0) this.#schedule()
    })
  }

  #run(): void {
    let budget = turnBytes
    for (const [hasher, queue] of this.#queues) {
      const job = queue[0]
      if (job) budget -= hashPiece(job)
      if (job && job.done === job.bytes.length) {
        queue.shift()
        job.finished()
      }
      // To the end of the line, or out of it.
      this.#queues.delete(hasher)
      if (queue.length > 0) this.#queues.set(hasher, queue)
      if (budget <= 0) return
    }
  }
}

function hashPiece(job: Job): number {
  const { hasher, bytes, done } = job
  const end = Math.min(bytes.length, done + hasher.pieceBytes)
  hasher.update(bytes.subarray(done, end))
  job.done = end
  // A wasm piece takes as long as a whole turn of node:crypto.
  return hasher.pieceBytes < turnBytes ? turnBytes : Math.max(end - done, 1)
}
