// A request body that is read no faster than its sender may send.

import type { BodySink, RequestBody } from '../http/body.ts'

export interface Pace {
  /** Pays for bytes that have come: how long until no more is owed, in ms. */
  spend(bytes: number): number
  /** Monotonic, in ms. */
  readonly now: () => number
  /** Call once, later; the result calls it off. */
  readonly after: (ms: number, callback: () => void) => () => void
  /** Told when a body that read on has to wait. */
  readonly onHold: () => void
}

// While it is held back a body says that it is alive: its consumer must not take our silence for the
// client's, and give the session to a rival (after 5 s: src/operation/upload-table.ts).
const signOfLifeMs = 2000
const nothing = new Uint8Array(0)

/**
 * Keeps nothing back: what comes in spite of the pause goes through, and is paid for by a longer one.
 * Whoever pays waits behind all who have paid before, so bodies that share a pace take turns.
 * While it pauses the transport counts no silence against the client: see `RequestBody.pause`.
 */
export class PacedBody implements RequestBody {
  readonly length: number | undefined
  readonly #body: RequestBody
  readonly #pace: Pace
  #sink: BodySink | undefined
  #isConsuming = false
  #isPausedByConsumer = false
  #isHeld = false
  #heldUntilMs = 0
  #callOff: (() => void) | undefined

  constructor(body: RequestBody, pace: Pace) {
    this.length = body.length
    this.#body = body
    this.#pace = pace
  }

  consume(sink: BodySink): void {
    this.#sink = sink
    this.#isConsuming = true
    this.#body.consume({
      onChunk: (chunk, last) => this.#take(chunk, last),
      onAbort: () => {
        this.end()
        sink.onAbort()
      },
    })
    // `consume` ends by reading on, whatever was asked of it meanwhile.
    this.#isConsuming = false
    this.#isPausedByConsumer = false
    if (this.#isHeld) this.#body.pause()
  }

  pause(): void {
    this.#isPausedByConsumer = true
    this.#body.pause()
  }

  resume(): void {
    this.#isPausedByConsumer = false
    if (!this.#isHeld) this.#body.resume()
  }

  /** Nothing more comes of it that anybody waits for. Idempotent. */
  end(): void {
    this.#sink = undefined
    this.#isHeld = false
    this.#callOff?.()
    this.#callOff = undefined
  }

  #take(chunk: Uint8Array, last: boolean): void {
    const sink = this.#sink
    if (sink === undefined) return
    const waitMs = chunk.length === 0 ? 0 : this.#pace.spend(chunk.length)
    if (last) this.end()
    else if (waitMs > 0) this.#hold(waitMs)
    sink.onChunk(chunk, last)
  }

  #hold(waitMs: number): void {
    this.#heldUntilMs = this.#pace.now() + waitMs
    if (this.#isHeld) return
    this.#isHeld = true
    this.#pace.onHold()
    if (!this.#isConsuming) this.#body.pause()
    this.#wait(waitMs)
  }

  #wait(ms: number): void {
    this.#callOff = this.#pace.after(Math.min(ms, signOfLifeMs), () => this.#onTime())
  }

  #onTime(): void {
    const leftMs = this.#heldUntilMs - this.#pace.now()
    if (leftMs > 0) {
      this.#wait(leftMs)
      this.#showLife()
      return
    }
    this.#callOff = undefined
    this.#isHeld = false
    if (!this.#isPausedByConsumer) this.#body.resume()
  }

  #showLife(): void {
    try {
      this.#sink?.onChunk(nothing, false)
    } catch {
      // The next chunk meets the same fault, and the transport then answers it; here nobody would.
    }
  }
}
