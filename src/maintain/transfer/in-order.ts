// Does several things at a time, and tells up to which one all are done.

/** A bounded number of calls under way. */
export class Lanes {
  readonly #max: number
  readonly #running = new Set<Promise<void>>()
  #failure: { readonly error: unknown } | undefined

  constructor(max: number) {
    this.#max = max
  }

  /** Resolves when there is room for the next. Errors: the first of any call. */
  async start(call: () => Promise<void>): Promise<void> {
    this.#check()
    const running = call().then(
      () => undefined,
      (error: unknown) => {
        this.#failure ??= { error }
      },
    )
    this.#running.add(running)
    void running.then(() => this.#running.delete(running))
    while (this.#running.size >= this.#max) await Promise.race(this.#running)
    this.#check()
  }

  /** Resolves when nothing runs. Errors: the first of any call. */
  async idle(): Promise<void> {
    await this.settled()
    this.#check()
  }

  /** The same, whatever came of the calls. */
  async settled(): Promise<void> {
    await Promise.all(this.#running)
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}

/** Remembers which of the names that began are done, in the order they began. */
export class DoneLine {
  readonly #line: { readonly name: string; isDone: boolean }[] = []
  #last: string | undefined

  /** All up to this one are done. */
  get last(): string | undefined {
    return this.#last
  }

  begin(name: string): () => void {
    const place = { name, isDone: false }
    this.#line.push(place)
    return () => {
      place.isDone = true
      while (this.#line[0]?.isDone === true) this.#last = this.#line.shift()?.name
    }
  }
}
