// Shares one thread's hashing among its sessions: a turn is one piece, so that a small body never
// waits behind all the slabs of a large one, and file callbacks run between turns. What runs in the
// background has the turns that nobody else wants.

import type { HashMeter } from './hash-meter.ts'
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

// So that it comes to an end also where uploads never do.
const turnsBetweenBackground = 32

export class HashTurns {
  // One queue per hasher keeps a body's bytes in order; the map's own order is the turn order.
  readonly #queues = new Map<Hasher, Job[]>()
  readonly #background = new Map<Hasher, Job[]>()
  #turnsSinceBackground = 0
  readonly #meter: HashMeter
  #isScheduled = false

  constructor(meter: HashMeter) {
    this.#meter = meter
  }

  /** Resolves when `bytes`, in the order of the calls, are in `hasher`. */
  add(hasher: Hasher, bytes: Uint8Array, isBackground = false): Promise<void> {
    if (isBackground) return this.#addTo(this.#background, hasher, bytes)
    const isShort = bytes.length <= shortBytes && hasher.pieceBytes >= turnBytes
    if (isShort && !this.#queues.has(hasher)) {
      const begunMs = performance.now()
      hasher.update(bytes)
      this.#meter.add(bytes.length, begunMs)
      return Promise.resolve()
    }
    return this.#addTo(this.#queues, hasher, bytes)
  }

  /** What waits for this hasher will not be needed; its promises resolve. */
  drop(hasher: Hasher): void {
    for (const job of this.#queues.get(hasher) ?? []) job.finished()
    this.#queues.delete(hasher)
  }

  #addTo(queues: Map<Hasher, Job[]>, hasher: Hasher, bytes: Uint8Array): Promise<void> {
    return new Promise((finished) => {
      const job: Job = { hasher, bytes, done: 0, finished }
      const queue = queues.get(hasher)
      if (queue) queue.push(job)
      else queues.set(hasher, [job])
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#runNext()
      if (this.#queues.size > 0 || this.#background.size > 0) this.#schedule()
    })
  }

  #runNext(): void {
    const isTurnOfBackground =
      this.#queues.size === 0 || this.#turnsSinceBackground >= turnsBetweenBackground
    if (isTurnOfBackground && this.#background.size > 0) {
      this.#turnsSinceBackground = 0
      this.#run(this.#background)
    } else {
      this.#turnsSinceBackground += 1
      this.#run(this.#queues)
    }
  }

  #run(queues: Map<Hasher, Job[]>): void {
    let budget = turnBytes
    for (const [hasher, queue] of queues) {
      const job = queue[0]
      if (job) budget -= this.#hashPiece(job)
      if (job && job.done === job.bytes.length) {
        queue.shift()
        job.finished()
      }
      // To the end of the line, or out of it.
      queues.delete(hasher)
      if (queue.length > 0) queues.set(hasher, queue)
      if (budget <= 0) return
    }
  }

  #hashPiece(job: Job): number {
    const { hasher, bytes, done } = job
    const end = Math.min(bytes.length, done + hasher.pieceBytes)
    const begunMs = performance.now()
    hasher.update(bytes.subarray(done, end))
    this.#meter.add(end - done, begunMs)
    job.done = end
    // A wasm piece takes as long as a whole turn of node:crypto.
    return hasher.pieceBytes < turnBytes ? turnBytes : Math.max(end - done, 1)
  }
}
