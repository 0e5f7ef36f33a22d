// Answers for stream bodies in tests: bytes that tell their position, served as the test wants.

import type { ByteSource } from '../../src/http/reply.ts'

// Prime, so that no buffer size divides it and a wrong position shows.
const period = 65_521
const pattern = Buffer.allocUnsafe(period * 2)
for (let at = 0; at < pattern.length; at++) pattern[at] = ((at % period) * 131) >> 3

/** What a source does when it is asked for bytes: give them at once, or after a wait; or throw. */
export type Serve = (position: number) => 'now' | 'wait'

export interface PatternOptions {
  /** Default: always 'now'. A throw goes through to the transport. */
  readonly serve?: Serve
  /** Runs in `read` before the bytes are given. */
  readonly wait?: (position: number) => Promise<void>
  /** Bytes given at most in one call. */
  readonly stepBytesMax?: number
}

/** Fill `target` with the bytes that stand at `position`. */
export function fillPattern(position: number, target: Uint8Array): void {
  for (let done = 0; done < target.length; done += period) {
    const start = (position + done) % period
    target.set(pattern.subarray(start, start + Math.min(period, target.length - done)), done)
  }
}

export function patternBytes(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  fillPattern(0, bytes)
  return bytes
}

export class PatternSource implements ByteSource {
  readonly length: number
  readonly #options: PatternOptions
  /** One past the last byte given. */
  reach = 0
  closes = 0
  asked = 0
  askedAfterClose = 0
  isReading = false
  wasClosedWhileReading = false

  constructor(length: number, options: PatternOptions = {}) {
    this.length = length
    this.#options = options
  }

  readNow(position: number, target: Uint8Array): number | undefined {
    this.#count()
    return (this.#options.serve?.(position) ?? 'now') === 'now'
      ? this.#give(position, target)
      : undefined
  }

  async read(position: number, target: Uint8Array): Promise<number> {
    this.#count()
    this.isReading = true
    try {
      await (this.#options.wait?.(position) ?? new Promise((resolve) => setImmediate(resolve)))
      return this.#give(position, target)
    } finally {
      this.isReading = false
    }
  }

  close(): void {
    this.closes += 1
    if (this.isReading) this.wasClosedWhileReading = true
  }

  #count(): void {
    this.asked += 1
    if (this.closes > 0) this.askedAfterClose += 1
  }

  #give(position: number, target: Uint8Array): number {
    const { stepBytesMax = Number.POSITIVE_INFINITY } = this.#options
    const bytes = Math.min(target.length, this.length - position, stepBytesMax)
    fillPattern(position, target.subarray(0, bytes))
    this.reach = Math.max(this.reach, position + bytes)
    return bytes
  }
}
