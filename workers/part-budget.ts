// The memory of one thread for parts that are filled or sent: bounded as a whole, whatever the number of uploads.

/** Whoever keeps bytes of the budget that it could send at once. */
export interface PartHolder {
  /** Bytes that wait for more before they are sent. */
  readonly heldBytes: number
  /** Send them now; false where nothing can be sent at the moment. */
  release(): boolean
}

interface Waiting {
  readonly bytes: number
  readonly granted: () => void
}

export class PartBudget {
  readonly #bytesMax: number
  readonly #holders = new Set<PartHolder>()
  readonly #waiting: Waiting[] = []
  #bytesUsed = 0
  #bytesReserved = 0

  /** Units: bytes. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /**
   * Wait for so much; at least one asks for is always granted in the end, since holders send what they have early
   * while others wait. Only for those who hold nothing themselves.
   */
  async take(bytes: number): Promise<void> {
    if (this.#waiting.length === 0 && this.tryTake(bytes)) return
    const granted = new Promise<void>((resolve) => {
      this.#waiting.push({ bytes, granted: resolve })
    })
    this.#relieve()
    await granted
  }

  /** False where there is not so much, or others wait for it. */
  tryTake(bytes: number): boolean {
    // One who asks for more than there is gets it once nobody else has any.
    const fits = this.#bytesUsed + bytes <= this.#bytesMax || this.#bytesUsed === 0
    if (!fits || this.#waiting.length > 0) return false
    this.#bytesUsed += bytes
    return true
  }

  /**
   * For as long as a body takes, by one that cannot send early what it holds: of the half that others are never without.
   * False where there is not so much.
   */
  tryReserve(bytes: number): boolean {
    if (this.#bytesReserved + bytes > this.#bytesMax / 2 || !this.tryTake(bytes)) return false
    this.#bytesReserved += bytes
    return true
  }

  endReserve(bytes: number): void {
    this.#bytesReserved -= bytes
    this.giveBack(bytes)
  }

  giveBack(bytes: number): void {
    this.#bytesUsed -= bytes
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      const fits = this.#bytesUsed + next.bytes <= this.#bytesMax || this.#bytesUsed === 0
      if (!fits) break
      this.#waiting.shift()
      this.#bytesUsed += next.bytes
      next.granted()
    }
    if (this.#waiting.length > 0) this.#relieve()
  }

  join(holder: PartHolder): void {
    this.#holders.add(holder)
  }

  leave(holder: PartHolder): void {
    this.#holders.delete(holder)
  }

  // The one that has most: its piece is the one that is least too small.
  #relieve(): void {
    const holders = [...this.#holders].filter(({ heldBytes }) => heldBytes > 0)
    holders.sort((a, b) => b.heldBytes - a.heldBytes)
    for (const holder of holders) if (holder.release()) return
  }
}
