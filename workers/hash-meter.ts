// Tells the event loop how much a thread has hashed, in memory that both see.

export class HashMeter {
  readonly #figures: Float64Array

  /** As `IngestThreadTask.hashFigures`. */
  constructor(figures: Float64Array) {
    this.#figures = figures
  }

  /** `begunMs`: of performance.now(), when it began to hash `bytes`. */
  add(bytes: number, begunMs: number): void {
    const figures = this.#figures
    // One thread alone writes, and a number is written whole, so that nothing needs a lock.
    figures[0] = (figures[0] ?? 0) + bytes
    figures[1] = (figures[1] ?? 0) + performance.now() - begunMs
  }
}
