// What one name of the registry may hold after operations of which only some were acknowledged.

/** One operation that gives the register a value. */
export interface Write {
  /** It was acknowledged: who looks from now on finds this value or a later one. */
  done(): void
  /** It was refused and has changed nothing. */
  undone(): void
}

interface Entry<Value> {
  readonly value: Value
  readonly begunAt: number
  /** Undefined while it is not acknowledged. */
  doneAt: number | undefined
}

// Order of begins and ends in this process, which started every operation and saw every answer.
let now = 0

/**
 * A register in the sense of linearizability: an unacknowledged write may have happened or not; an
 * acknowledged one has, and is gone only where another one that began after its end has replaced it.
 */
export class Register<Value> {
  #entries: Entry<Value>[]
  readonly #watchers = new Set<Set<Value>>()

  constructor(initial: Value) {
    this.#entries = [{ value: initial, begunAt: 0, doneAt: 0 }]
  }

  /** The value that the last of the sure writes gave. */
  get sure(): Value {
    const done = this.#entries.filter(({ doneAt }) => doneAt !== undefined)
    return done.reduce((last, entry) => (entry.doneAt! >= last.doneAt! ? entry : last)).value
  }

  get allowed(): readonly Value[] {
    return this.#entries
      .filter((entry) => !this.#entries.some((other) => replaces(other, entry)))
      .map(({ value }) => value)
  }

  begin(value: Value): Write {
    const entry: Entry<Value> = { value, begunAt: ++now, doneAt: undefined }
    this.#entries.push(entry)
    for (const seen of this.#watchers) seen.add(value)
    return {
      done: () => {
        entry.doneAt = ++now
        this.#entries = this.#entries.filter((other) => !replaces(entry, other))
      },
      undone: () => {
        this.#entries = this.#entries.filter((other) => other !== entry)
      },
    }
  }

  /** Whatever else it may hold, nothing but this. */
  isSurely(value: Value): boolean {
    return this.allowed.every((allowed) => allowed === value)
  }

  /** For a look that takes its time while others write: all that it may find from now on until `end` is called. */
  watch(): { end(): ReadonlySet<Value> } {
    const seen = new Set(this.allowed)
    this.#watchers.add(seen)
    return {
      end: () => {
        this.#watchers.delete(seen)
        return seen
      },
    }
  }

  /** Nobody is at work: what was found is what it holds. False where that is not allowed. */
  settle(found: Value): boolean {
    const isAllowed = this.allowed.includes(found)
    this.#entries = [{ value: found, begunAt: ++now, doneAt: now }]
    return isAllowed
  }
}

function replaces<Value>(later: Entry<Value>, earlier: Entry<Value>): boolean {
  if (later.doneAt === undefined || earlier.doneAt === undefined) return false
  return later.begunAt > earlier.doneAt
}
