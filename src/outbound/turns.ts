// How many calls run at a time, and how many may wait for that: fairly among those for whom they are made.

/** A call that wants its turn. */
export interface Waiter {
  /** For whom it is made. */
  readonly who: string
  /** Its turn has come; `end` has to follow. */
  begin(): void
  /** It waited, and has to make room for somebody who has less waiting. */
  giveUp(): void
}

/**
 * The calls of one come in their order; those of several take turns, however many one of them has.
 * Limits: `runningMax`, `waitingMax`.
 */
export class Turns {
  readonly #runningMax: number
  readonly #waitingMax: number
  /** Nobody's line is empty; the first one is the next to be served. */
  readonly #lines = new Map<string, Set<Waiter>>()
  #running = 0
  #waiting = 0

  constructor(runningMax: number, waitingMax: number) {
    this.#runningMax = runningMax
    this.#waitingMax = waitingMax
  }

  get running(): number {
    return this.#running
  }

  get waiting(): number {
    return this.#waiting
  }

  /** Begins at once or in its turn. False: too many wait, and nobody has more of them than this one. */
  take(waiter: Waiter): boolean {
    if (this.#running < this.#runningMax) {
      this.#running += 1
      waiter.begin()
      return true
    }
    if (this.#waiting >= this.#waitingMax && !this.#makeRoomFor(waiter.who)) return false
    const line = this.#lines.get(waiter.who)
    if (line === undefined) this.#lines.set(waiter.who, new Set([waiter]))
    else line.add(waiter)
    this.#waiting += 1
    return true
  }

  /** It does not wait any more, if it did. */
  leave(waiter: Waiter): void {
    const line = this.#lines.get(waiter.who)
    if (line?.delete(waiter) !== true) return
    this.#waiting -= 1
    if (line.size === 0) this.#lines.delete(waiter.who)
  }

  /** One that had begun has ended; the next takes its place. */
  end(): void {
    const [first] = this.#lines
    const [next] = first?.[1] ?? []
    if (first === undefined || next === undefined) {
      this.#running -= 1
      return
    }
    const [who, line] = first
    this.#waiting -= 1
    line.delete(next)
    this.#lines.delete(who)
    if (line.size > 0) this.#lines.set(who, line)
    next.begin()
  }

  // The one who has most waiting loses the newest of it.
  #makeRoomFor(who: string): boolean {
    let longest: Set<Waiter> | undefined
    for (const line of this.#lines.values()) {
      if (longest === undefined || line.size > longest.size) longest = line
    }
    const own = this.#lines.get(who)?.size ?? 0
    if (longest === undefined || longest.size <= own + 1) return false
    const last = [...longest].at(-1)
    if (last === undefined) return false
    this.leave(last)
    last.giveUp()
    return true
  }
}
