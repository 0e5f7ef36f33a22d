// A request body on uWebSockets.js: chunks are neutered when the callback returns, and keep coming
// for a while after `pause`.

import type { HttpResponse } from 'uWebSockets.js'
import assert from 'node:assert'
import type { BodySink, RequestBody } from '../../../http/body.ts'
import type { Moving, PaceKeeper } from './pace.ts'

const empty = new Uint8Array(0)

/** Used where the request has no body: the sink gets its last, empty chunk at once. */
export const noBody: RequestBody = {
  length: 0,
  consume: (sink) => sink.onChunk(empty, true),
  pause: () => {},
  resume: () => {},
}

interface BodyHost {
  readonly pace: PaceKeeper
  readonly onFault: (error: unknown) => void
}

export class UwsBody implements RequestBody, Moving {
  readonly kind = 'body'
  readonly length: number | undefined
  readonly #res: HttpResponse
  readonly #host: BodyHost
  #sink: BodySink | undefined
  #early: Uint8Array[] = []
  #ended = false
  #aborted = false
  #paused = false
  #bytes = 0

  /** Call within the handler, before it returns: uWS discards a body that nobody listens to. */
  constructor(res: HttpResponse, length: number | undefined, host: BodyHost) {
    this.length = length
    this.#res = res
    this.#host = host
    host.pace.watch(this)
    res.onData((chunk, last) => this.#take(chunk, last))
    this.pause()
  }

  consume(sink: BodySink): void {
    assert(this.#sink === undefined, 'a body is consumed once')
    this.#sink = sink
    const early = this.#early
    this.#early = []
    if (this.#aborted) {
      sink.onAbort()
      return
    }
    const ended = this.#ended
    if (early.length === 0 && ended) sink.onChunk(empty, true)
    early.forEach((chunk, index) => {
      sink.onChunk(chunk, ended && index === early.length - 1)
    })
    this.resume()
  }

  pause(): void {
    if (this.#paused || this.#ended || this.#aborted) return
    this.#paused = true
    this.#res.pause()
  }

  // Resuming a response that has ended or is gone would touch freed memory.
  resume(): void {
    if (!this.#paused || this.#ended || this.#aborted) return
    this.#paused = false
    this.#res.resume()
  }

  abort(): void {
    if (this.#aborted) return
    this.#host.pace.forgetAborted(this)
    this.#aborted = true
    this.#early = []
    if (!this.#ended) this.#sink?.onAbort()
  }

  movedBytes(): number | undefined {
    return this.#paused || this.#ended || this.#aborted ? undefined : this.#bytes
  }

  onTick(): void {}

  cut(): void {
    this.#res.close()
  }

  /** Whether some of it is still to come. */
  get unread(): boolean {
    return !this.#ended && !this.#aborted
  }

  /**
   * A reply is about to be sent: what still comes is read and dropped. Closing instead would reset the
   * connection under a client that is still writing, and it would never see the reply.
   */
  discard(): void {
    this.#sink = { onChunk: () => {}, onAbort: () => {} }
    this.#early = []
    // Also after the last chunk: a connection left paused would never read its next request.
    if (this.#paused && !this.#aborted) this.#res.resume()
    this.#paused = false
    this.#aborted = true
    this.#host.pace.forget(this)
  }

  #take(chunk: ArrayBuffer, last: boolean): void {
    if (this.#aborted) return
    this.#bytes += chunk.byteLength
    if (last) {
      this.#ended = true
      this.#host.pace.forget(this)
    }
    if (this.#sink === undefined) {
      if (chunk.byteLength > 0) this.#early.push(new Uint8Array(chunk.slice(0)))
      return
    }
    try {
      this.#sink.onChunk(new Uint8Array(chunk), last)
    } catch (error) {
      // Nobody above this frame but the native library, which would let the client hang.
      this.#host.onFault(error)
    }
  }
}
