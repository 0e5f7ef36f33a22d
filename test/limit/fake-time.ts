// A monotonic clock, and waits that end when the test lets time pass.

interface Wait {
  readonly atMs: number
  readonly callback: () => void
}

export class FakeTime {
  #ms = 1_000_000
  readonly #waits = new Set<Wait>()

  readonly now = (): number => this.#ms

  readonly after = (ms: number, callback: () => void): (() => void) => {
    const wait = { atMs: this.#ms + ms, callback }
    this.#waits.add(wait)
    return () => this.#waits.delete(wait)
  }

  /** Waits that have not ended. */
  get waiting(): number {
    return this.#waits.size
  }

  advance(ms: number): void {
    const end = this.#ms + ms
    for (;;) {
      const [next] = [...this.#waits].sort((a, b) => a.atMs - b.atMs)
      if (next === undefined || next.atMs > end) break
      this.#waits.delete(next)
      this.#ms = Math.max(this.#ms, next.atMs)
      next.callback()
    }
    this.#ms = end
  }
}
