// The body of one request on node:http: nothing is read from the socket before `consume`.

import type { IncomingMessage } from 'node:http'
import type { BodySink, RequestBody } from '../../../http/body.ts'

const nothing = new Uint8Array(0)

export class NodeBody implements RequestBody {
  readonly length: number | undefined
  readonly #request: IncomingMessage
  readonly #onConsume: () => void
  readonly #onFault: (error: unknown) => void
  #sink: BodySink | undefined
  #isConsumed = false
  #isGone = false
  #isPaused = false

  constructor(
    request: IncomingMessage,
    length: number | undefined,
    onConsume: () => void,
    onFault: (error: unknown) => void,
  ) {
    this.length = length
    this.#request = request
    this.#onConsume = onConsume
    this.#onFault = onFault
  }

  get isConsumed(): boolean {
    return this.#isConsumed
  }

  /** True while it is the client's turn to send. */
  get awaitsClient(): boolean {
    return this.#sink !== undefined && !this.#isPaused
  }

  consume(sink: BodySink): void {
    if (this.#isConsumed) throw new Error('the body of a request is consumed once')
    this.#isConsumed = true
    if (this.#isGone) {
      sink.onAbort()
      return
    }
    this.#sink = sink
    if (this.length === 0) {
      this.#deliver(nothing, true)
      return
    }
    this.#onConsume()
    this.#request.on('data', (chunk: Uint8Array) => this.#deliver(chunk, false))
    this.#request.once('end', () => this.#deliver(nothing, true))
    this.resume()
  }

  pause(): void {
    if (this.#sink === undefined) return
    this.#isPaused = true
    this.#request.pause()
  }

  resume(): void {
    if (this.#sink === undefined) return
    this.#isPaused = false
    this.#request.resume()
  }

  /** The reply is on its way: what is left of the body is read and dropped. */
  release(): void {
    this.#sink = undefined
    this.#isGone = true
    // A rest that nobody reads stands in the way of the connection's next request.
    if (this.length !== 0) this.#request.resume()
  }

  /** The client is gone. */
  abandon(): void {
    this.#isGone = true
    const sink = this.#sink
    this.#sink = undefined
    sink?.onAbort()
  }

  #deliver(chunk: Uint8Array, last: boolean): void {
    const sink = this.#sink
    if (sink === undefined) return
    if (last) this.#sink = undefined
    try {
      sink.onChunk(chunk, last)
    } catch (error) {
      this.#sink = undefined
      this.#onFault(error)
    }
  }
}
