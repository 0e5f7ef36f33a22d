// Answers for request bodies in tests: bytes are fed by hand, and misuse of the contract is noted.

import type { BodySink, RequestBody } from '../../src/http/body.ts'
import { patternBytes } from '../support/pattern-source.ts'

interface Piece {
  readonly bytes: Uint8Array
  readonly last: boolean
}

export interface FedBodyOptions {
  /** Announced length; default: none, as with chunked transfer coding. */
  readonly length?: number
  /** Deliver this many more pieces after `pause`, as a transport does that has read them already. */
  readonly latePieces?: number
  readonly onDelivered?: () => void
}

/** Delivers one piece per turn of the event loop while it is not paused. */
export class FedBody implements RequestBody {
  readonly length: number | undefined
  /** Uses of the body that the contract forbids. */
  readonly misuses: string[] = []
  readonly #options: FedBodyOptions
  readonly #pieces: Piece[] = []
  #sink: BodySink | undefined
  #isPaused = false
  #isOver = false
  #isScheduled = false
  #lateLeft = 0
  pauses = 0

  constructor(options: FedBodyOptions = {}) {
    this.#options = options
    this.length = options.length
  }

  get isConsumed(): boolean {
    return this.#sink !== undefined
  }

  get isPaused(): boolean {
    return this.#isPaused
  }

  /** Fed and not yet delivered. */
  get backlog(): number {
    return this.#pieces.length
  }

  feed(bytes: Uint8Array, last = false): this {
    this.#pieces.push({ bytes, last })
    this.#schedule()
    return this
  }

  /** The client leaves; what was not delivered is lost. */
  abort(): void {
    this.#pieces.length = 0
    if (this.#isOver) return
    this.#isOver = true
    this.#sink?.onAbort()
  }

  consume(sink: BodySink): void {
    if (this.#sink) this.misuses.push('consumed twice')
    this.#sink = sink
    if (this.#isOver) sink.onAbort()
    this.#deliver()
  }

  pause(): void {
    if (this.#isPaused) return
    this.pauses += 1
    this.#isPaused = true
    this.#lateLeft = this.#options.latePieces ?? 0
  }

  resume(): void {
    if (this.#isOver) this.misuses.push('resumed after its end')
    this.#isPaused = false
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#deliver()
    })
  }

  #deliver(): void {
    const sink = this.#sink
    const piece = this.#pieces[0]
    if (!sink || !piece || this.#isOver) return
    if (this.#isPaused && this.#lateLeft-- <= 0) return
    this.#pieces.shift()
    this.#isOver = piece.last
    // A copy that dies with the call, as a transport's buffer does.
    const bytes = new Uint8Array(piece.bytes)
    sink.onChunk(bytes, piece.last)
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
    this.#options.onDelivered?.()
    this.#schedule()
  }
}

/** A body that has all its bytes: the pattern, in pieces of `pieceBytes`. */
export function patternBody(
  bytes: number,
  pieceBytes: number,
  options: FedBodyOptions & { readonly endsEmpty?: boolean; readonly from?: number } = {},
): FedBody {
  const { endsEmpty = false, from = 0 } = options
  const all = patternBytes(from + bytes).subarray(from)
  const body = new FedBody(options)
  for (let at = 0; at < bytes; at += pieceBytes) {
    body.feed(all.subarray(at, at + pieceBytes), !endsEmpty && at + pieceBytes >= bytes)
  }
  if (endsEmpty || bytes === 0) body.feed(new Uint8Array(0), true)
  return body
}
