// Decides which bodies may read from their sockets, so that what arrives always fits the budget.
//
// One thread reads one socket at a time, so one reserve of a chunk covers all bodies that read:
// - calm: everybody reads;
// - scarce: who delivers is stopped and queued, and partly filled slabs go to the threads at once;
// - empty (the reserve itself is touched): everybody is stopped.
// Stopped bodies go on in the order they stopped, a few per turn of the event loop, since each may
// deliver a whole chunk that piled up in its socket. Slabs in the threads always come back, and in
// scarcity nobody keeps a partial one, so the queue always moves; an idle body holds nothing.

import type { SlabBudget } from './slab-budget.ts'

/** The most that a transport delivers after `pause`, and at once. In bytes. Source: src/http/body.ts. */
export const chunkBytesMax: number = 512 << 10

export interface BrakedBody {
  /** Start or go on reading. */
  go(): void
  stop(): void
  /** Send a partly filled slab to the thread. */
  flush(): void
}

export class BodyBrake {
  readonly #budget: SlabBudget
  readonly #scarceBelow: number
  readonly #reading = new Set<BrakedBody>()
  readonly #queue = new Set<BrakedBody>()
  readonly #holders = new Set<BrakedBody>()
  #isScheduled = false
  #stalls = 0

  constructor(budget: SlabBudget) {
    this.#budget = budget
    this.#scarceBelow = Math.max(2 * chunkBytesMax, budget.bytesMax / 4)
  }

  /** Times that a body was stopped. */
  get stalls(): number {
    return this.#stalls
  }

  get isScarce(): boolean {
    return this.#budget.bytesFree < this.#scarceBelow
  }

  /** True where a slab of `bytes` leaves the reserve for scarcity untouched. */
  affords(bytes: number): boolean {
    return this.#budget.bytesFree - bytes >= this.#scarceBelow
  }

  /** A body that wants to read: at once, or when its turn comes. */
  admit(body: BrakedBody): void {
    if (this.#queue.size === 0 && !this.isScarce) {
      this.#reading.add(body)
      body.go()
      return
    }
    this.#queue.add(body)
    this.#stalls += 1
    this.schedule()
  }

  /** A body that does not want to read for now, or ever again. */
  withdraw(body: BrakedBody): void {
    this.#reading.delete(body)
    this.#queue.delete(body)
  }

  /** Called after each chunk, also after one that came in spite of `stop`. */
  delivered(body: BrakedBody): void {
    if (!this.isScarce) return
    for (const holder of this.#holders) holder.flush()
    if (this.#budget.bytesFree < chunkBytesMax) {
      for (const reading of this.#reading) this.#halt(reading)
    } else if (this.#reading.has(body)) {
      this.#halt(body)
    }
  }

  /** Whether this body keeps a partly filled slab. */
  holds(body: BrakedBody, isHolding: boolean): void {
    if (isHolding) this.#holders.add(body)
    else this.#holders.delete(body)
  }

  /** Called when slabs came back. */
  schedule(): void {
    if (this.#isScheduled || this.#queue.size === 0 || this.isScarce) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#wake()
      this.schedule()
    })
  }

  #halt(body: BrakedBody): void {
    this.#reading.delete(body)
    this.#queue.add(body)
    this.#stalls += 1
    body.stop()
  }

  #wake(): void {
    if (this.isScarce) return
    const spare = this.#budget.bytesFree - this.#scarceBelow
    let turns = Math.max(1, Math.floor(spare / chunkBytesMax))
    for (const body of this.#queue) {
      // Going on may deliver at once, and so make slabs scarce again.
      if (turns-- === 0 || this.isScarce) return
      this.#queue.delete(body)
      this.#reading.add(body)
      body.go()
    }
  }
}
