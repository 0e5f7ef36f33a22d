// The memory that bodies may occupy in this process: slabs by size class, bounded as a whole.

import assert from 'node:assert'

const slabBytesMin = 16 << 10

export class SlabBudget {
  readonly bytesMax: number
  /** Ascending: powers of two, then the largest slab. */
  readonly #sizes: readonly number[]
  /** Idle slabs by size, smallest first. */
  readonly #idle = new Map<number, ArrayBuffer[]>()
  #bytesInUse = 0
  #bytesIdle = 0

  /** Units: bytes. */
  constructor(bytesMax: number, slabBytesMax: number) {
    this.bytesMax = bytesMax
    const sizes = []
    for (let size = slabBytesMin; size < slabBytesMax; size *= 2) sizes.push(size)
    this.#sizes = [...sizes, slabBytesMax]
    for (const size of this.#sizes) this.#idle.set(size, [])
  }

  get bytesInUse(): number {
    return this.#bytesInUse
  }

  /** Negative where chunks had to be taken that nobody could refuse. */
  get bytesFree(): number {
    return this.bytesMax - this.#bytesInUse
  }

  /** Size of the slab that holds `bytes`, or of the largest one. */
  slabBytesFor(bytes: number): number {
    for (const size of this.#sizes) if (size >= bytes) return size
    return this.#sizes[this.#sizes.length - 1] ?? slabBytesMin
  }

  /** Always gives one: a chunk that has arrived must go somewhere. `size` is one of `slabBytesFor`. */
  acquire(size: number): ArrayBuffer {
    this.#bytesInUse += size
    const idle = this.#idle.get(size)?.pop()
    if (idle) {
      this.#bytesIdle -= size
      return idle
    }
    this.#evict(this.#bytesInUse + this.#bytesIdle - this.bytesMax)
    return new ArrayBuffer(size)
  }

  release(slab: ArrayBuffer): void {
    const size = slab.byteLength
    this.forget(size)
    if (this.#bytesInUse + this.#bytesIdle + size > this.bytesMax) return
    this.#idle.get(size)?.push(slab)
    this.#bytesIdle += size
  }

  /** Slabs that went down with the thread that held them. */
  forget(bytes: number): void {
    this.#bytesInUse -= bytes
    assert(this.#bytesInUse >= 0, 'more slabs came back than were given')
  }

  // Idle slabs of another size count against the bound as well, so they make room.
  #evict(excess: number): void {
    let left = excess
    for (const [size, slabs] of this.#idle) {
      while (left > 0 && slabs.pop()) {
        left -= size
        this.#bytesIdle -= size
      }
    }
  }
}
