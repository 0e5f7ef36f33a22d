// How much threads have hashed and how long that took: one shared array each, that the thread writes.

export interface Hashed {
  readonly hashedBytes: number
  readonly hashMs: number
}

export class HashFigures {
  readonly #running = new Set<Float64Array>()
  #pastBytes = 0
  #pastMs = 0

  /** For a thread that is about to start; `end` when it is over. */
  begin(): Float64Array {
    const figures = new Float64Array(new SharedArrayBuffer(2 * Float64Array.BYTES_PER_ELEMENT))
    this.#running.add(figures)
    return figures
  }

  end(figures: Float64Array): void {
    if (!this.#running.delete(figures)) return
    const { hashedBytes, hashMs } = read(figures)
    this.#pastBytes += hashedBytes
    this.#pastMs += hashMs
  }

  /** Of all threads that there have been. */
  get total(): Hashed {
    let hashedBytes = this.#pastBytes
    let hashMs = this.#pastMs
    for (const figures of this.#running) {
      const of = read(figures)
      hashedBytes += of.hashedBytes
      hashMs += of.hashMs
    }
    return { hashedBytes, hashMs }
  }
}

// In the order that `IngestThreadTask.hashFigures` tells.
function read(figures: Float64Array): Hashed {
  const [hashedBytes = 0, hashMs = 0] = figures
  return { hashedBytes, hashMs }
}
