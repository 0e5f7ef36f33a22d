// The memory of this process for request bodies that are taken whole, and who has how much of it.

import { OciError } from '../oci/error.ts'

/** What one body holds. */
export interface BodyPlace {
  /**
   * From now on it holds so many bytes, never fewer than before.
   * Errors: OciError UNAVAILABLE (503, Retry-After) where they are not there; then it holds what it held.
   */
  hold(bytes: number): void
  /** Gives everything back. Idempotent. */
  end(): void
}

/** A body that is no larger is small, as nearly all manifests and all logins are. */
export const smallBodyBytes: number = 64 * 1024

// Most bodies are taken within milliseconds; what holds the memory for longer is slow to send.
const retryAfter = '5'
// Of the whole. What large bodies may not have is left for small ones.
const reservedShare = 1 / 16

/**
 * Units: bytes. Limits: what bodies hold together is never more than `bytesMax`. Large ones leave a
 * sixteenth of it to small ones, or as much as one body of `bodyBytesMax` spares.
 */
export class BodyRoom {
  #bytesMax: number
  #largeBytesMax: number
  #bytes = 0
  #largeBytes = 0
  #refused = 0

  constructor(bytesMax: number, bodyBytesMax: number) {
    this.#bytesMax = bytesMax
    this.#largeBytesMax = largeBytesMax(bytesMax, bodyBytesMax)
  }

  get bytes(): number {
    return this.#bytes
  }

  get bytesMax(): number {
    return this.#bytesMax
  }

  /** Bodies, since the start. */
  get refused(): number {
    return this.#refused
  }

  /** From now on; what is held stays so. */
  allow(bytesMax: number, bodyBytesMax: number): void {
    this.#bytesMax = bytesMax
    this.#largeBytesMax = largeBytesMax(bytesMax, bodyBytesMax)
  }

  /**
   * A place that holds nothing yet, for a body that is announced to have so many bytes.
   * Errors: OciError UNAVAILABLE where there is no room for them, so that they need not be sent.
   */
  enter(announcedBytes: number): BodyPlace {
    if (!this.#fits(0, announcedBytes)) throw this.#refusal()
    let held = 0
    const move = (bytes: number): void => {
      this.#bytes += bytes - held
      this.#largeBytes += large(bytes) - large(held)
      held = bytes
    }
    return {
      hold: (bytes) => {
        if (bytes <= held) return
        if (!this.#fits(held, bytes)) throw this.#refusal()
        move(bytes)
      },
      end: () => move(0),
    }
  }

  #fits(held: number, bytes: number): boolean {
    if (this.#bytes - held + bytes > this.#bytesMax) return false
    return (
      large(bytes) === 0 || this.#largeBytes - large(held) + large(bytes) <= this.#largeBytesMax
    )
  }

  #refusal(): OciError {
    this.#refused += 1
    return new OciError('UNAVAILABLE', {
      message: 'the memory for bodies is used up: ingest.body_budget',
      headers: [['Retry-After', retryAfter]],
    })
  }
}

function large(bytes: number): number {
  return bytes > smallBodyBytes ? bytes : 0
}

function largeBytesMax(bytesMax: number, bodyBytesMax: number): number {
  const reserved = Math.min(Math.floor(bytesMax * reservedShare), bytesMax - bodyBytesMax)
  return bytesMax - Math.max(reserved, 0)
}
