// Lets a reread in the background go on as far as the event loop allows it.

import { IngestFailure } from './staged-file.ts'

// About 1 ms of hashing: on a core that it shares the event loop waits for no more. Asking costs nothing beside it.
const pieceBytes = 1 << 20

export class PacedReading {
  readonly #length: number
  readonly #ask: (bytes: number) => void
  #granted = 0
  #asked = 0
  #isStopped = false
  #wake: (() => void) | undefined

  /** Units: bytes. */
  constructor(length: number, ask: (bytes: number) => void) {
    this.#length = length
    this.#ask = ask
  }

  /** Resolves when all bytes before `position` may be read. Errors: IngestFailure once it is stopped. */
  async upTo(position: number): Promise<void> {
    while (this.#granted < position && !this.#isStopped) {
      if (this.#asked === 0) {
        this.#asked = Math.min(pieceBytes, this.#length - this.#granted)
        this.#ask(this.#asked)
      }
      await new Promise<void>((wake) => {
        this.#wake = wake
      })
    }
    if (this.#isStopped) throw new IngestFailure('unavailable', 'reading was stopped')
  }

  grant(): void {
    this.#granted += this.#asked
    this.#asked = 0
    this.#wake?.()
  }

  stop(): void {
    this.#isStopped = true
    this.#wake?.()
  }
}
