// The body of a reply on its way: how much of it left, and that it is over.

import type { ByteSource } from '../http/reply.ts'

/** Passes everything on to `source`. What a transport has asked for, all before it has left. */
export class ObservedSource implements ByteSource {
  readonly length: number
  readonly #source: ByteSource
  readonly #onClose: (source: ObservedSource) => void
  /** Where the last read began: the connection had taken what is before. */
  #from = 0
  #readTo = 0
  #fault: unknown
  #isClosed = false

  constructor(source: ByteSource, onClose: (source: ObservedSource) => void) {
    this.length = source.length
    this.#source = source
    this.#onClose = onClose
  }

  /** Whether all of it was asked for and found. */
  get isComplete(): boolean {
    return this.#fault === undefined && this.#readTo >= this.length
  }

  /** Whether not a byte of it was found. */
  get isUnread(): boolean {
    return this.#readTo === 0
  }

  /** In bytes: of a reply that was cut off, those that surely went out. */
  sentBytes(isCut: boolean): number {
    return isCut ? this.#from : this.#readTo
  }

  /** Why it could not be read to its end; undefined where that was no fault of ours. */
  get fault(): unknown {
    return this.#fault
  }

  readNow(position: number, target: Uint8Array): number | undefined {
    try {
      const read = this.#source.readNow(position, target)
      if (read !== undefined) this.#moved(position, read)
      return read
    } catch (error) {
      this.#fault = error
      throw error
    }
  }

  async read(position: number, target: Uint8Array): Promise<number> {
    try {
      const read = await this.#source.read(position, target)
      this.#moved(position, read)
      return read
    } catch (error) {
      this.#fault = error
      throw error
    }
  }

  close(): void {
    this.#source.close()
    if (this.#isClosed) return
    this.#isClosed = true
    this.#onClose(this)
  }

  #moved(position: number, read: number): void {
    this.#from = position
    this.#readTo = Math.max(this.#readTo, position + read)
  }
}
