// How much of one kind each caller has under way.

/** The right to one piece of work, given back once. */
export interface Place {
  /** Idempotent. */
  leave(): void
}

/** Limits: no memory but for who has something under way. */
export class Places {
  readonly #max: number
  readonly #taken = new Map<string, number>()

  constructor(max: number) {
    this.#max = max
  }

  /** Callers with work under way. */
  get size(): number {
    return this.#taken.size
  }

  isFull(key: string): boolean {
    return (this.#taken.get(key) ?? 0) >= this.#max
  }

  /** Undefined where all are taken. */
  enter(key: string): Place | undefined {
    if (this.isFull(key)) return undefined
    this.#taken.set(key, (this.#taken.get(key) ?? 0) + 1)
    let isTaken = true
    return {
      leave: () => {
        if (!isTaken) return
        isTaken = false
        this.#leave(key)
      },
    }
  }

  #leave(key: string): void {
    const left = (this.#taken.get(key) ?? 0) - 1
    if (left > 0) this.#taken.set(key, left)
    else this.#taken.delete(key)
  }
}
