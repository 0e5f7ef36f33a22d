// The latest of many times, in memory that is bounded by how many are asked for.

/** What a time must be at least to be among the `count` latest. Units: milliseconds since 1970. */
export class TopTimes {
  readonly #countMax: number
  // A heap, its smallest first, of the `countMax` largest so far.
  readonly #heap: number[] = []
  #sorted: Float64Array | undefined

  constructor(countMax: number) {
    this.#countMax = countMax
  }

  add(timeMs: number): void {
    const heap = this.#heap
    if (heap.length < this.#countMax) {
      heap.push(timeMs)
      this.#rise(heap.length - 1)
    } else if (timeMs > (heap[0] ?? Number.POSITIVE_INFINITY)) {
      heap[0] = timeMs
      this.#sink()
    }
  }

  /** Of all times that were added before the first question; those that are equal are in together. */
  has(timeMs: number, count: number): boolean {
    this.#sorted ??= Float64Array.from(this.#heap).sort().reverse()
    // Where there are fewer, all of them are in.
    return timeMs >= (this.#sorted[count - 1] ?? Number.NEGATIVE_INFINITY)
  }

  #rise(from: number): void {
    for (let at = from; at > 0; ) {
      const parent = (at - 1) >> 1
      if (!this.#swapIfLess(at, parent)) return
      at = parent
    }
  }

  #sink(): void {
    const heap = this.#heap
    for (let at = 0; ; ) {
      const left = 2 * at + 1
      const right = left + 1
      const isRightLess = (heap[right] ?? Number.POSITIVE_INFINITY) < (heap[left] ?? 0)
      const least = isRightLess ? right : left
      if (least >= heap.length || !this.#swapIfLess(least, at)) return
      at = least
    }
  }

  #swapIfLess(lower: number, upper: number): boolean {
    const heap = this.#heap
    const [below = 0, above = 0] = [heap[lower], heap[upper]]
    if (below >= above) return false
    heap[lower] = above
    heap[upper] = below
    return true
  }
}
