// The body of a request on its way: how much of it was taken.

import type { BodySink, RequestBody } from '../http/body.ts'

/** Passes everything on to `body`. */
export class ObservedBody implements RequestBody {
  readonly length: number | undefined
  /** In bytes. */
  taken = 0
  readonly #body: RequestBody

  constructor(body: RequestBody) {
    this.length = body.length
    this.#body = body
  }

  consume(sink: BodySink): void {
    this.#body.consume({
      onChunk: (chunk, last) => {
        this.taken += chunk.byteLength
        sink.onChunk(chunk, last)
      },
      onAbort: () => sink.onAbort(),
    })
  }

  pause(): void {
    this.#body.pause()
  }

  resume(): void {
    this.#body.resume()
  }
}
