// What limits on use count, by the name of the limit: plain numbers. Metrics read them.

type Named = readonly [limit: string, count: number]

export class LimitCounts {
  readonly #refusals = new Map<string, number>()
  #keys: Array<() => readonly Named[]> = []
  #replaced: Array<() => readonly Named[]> = []
  #holds = 0

  /** A request was answered 429. */
  addRefusal(limit: string): void {
    this.#refusals.set(limit, (this.#refusals.get(limit) ?? 0) + 1)
  }

  /** The body of an upload has to wait, since its identity has sent too much. */
  addHold(): void {
    this.#holds += 1
  }

  /** `read`: how many callers each limit keeps a count for at the moment. */
  watchKeys(read: () => readonly Named[]): void {
    this.#keys.push(read)
  }

  /** Before new limits take the place of those whose callers are watched. */
  replaceKeys(): void {
    this.#replaced = this.#keys
    this.#keys = []
  }

  /** Where the new ones are not taken after all. */
  restoreKeys(): void {
    this.#keys = this.#replaced
  }

  refusals(): readonly Named[] {
    return [...this.#refusals]
  }

  keys(): readonly Named[] {
    return this.#keys.flatMap((read) => read())
  }

  get holds(): number {
    return this.#holds
  }
}
