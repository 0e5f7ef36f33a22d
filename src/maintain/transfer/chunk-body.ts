// Chunks that somebody iterates over, as the body that the ingest pool takes.

import type { BodySink, RequestBody } from '../../http/body.ts'

// What a body may deliver at once.
const pieceBytesMax = 256 << 10
const nothing = new Uint8Array(0)

export class ChunkBody implements RequestBody {
  readonly length: number | undefined
  readonly #chunks: AsyncIterable<Uint8Array>
  readonly #beforeChunk: (bytes: number) => Promise<void>
  #isPaused = false
  #isOver = false
  #wake: (() => void) | undefined
  #failure: { readonly error: unknown } | undefined
  #running: Promise<void> = Promise.resolve()

  /** `beforeChunk` is waited for with the length of each chunk. */
  constructor(
    chunks: AsyncIterable<Uint8Array>,
    length: number | undefined,
    beforeChunk: (bytes: number) => Promise<void>,
  ) {
    this.#chunks = chunks
    this.length = length
    this.#beforeChunk = beforeChunk
  }

  /** Why the chunks ended early, where they did. */
  get failure(): { readonly error: unknown } | undefined {
    return this.#failure
  }

  consume(sink: BodySink): void {
    this.#running = this.#deliver(sink)
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    this.#wake?.()
  }

  /** Nothing is delivered any more; resolves when the iteration has ended. */
  async end(): Promise<void> {
    this.#isOver = true
    this.resume()
    await this.#running
  }

  async #deliver(sink: BodySink): Promise<void> {
    try {
      for await (const chunk of this.#chunks) {
        await this.#beforeChunk(chunk.length)
        for (let from = 0; from < chunk.length; from += pieceBytesMax) {
          await this.#flowing()
          if (this.#isOver) return
          sink.onChunk(chunk.subarray(from, from + pieceBytesMax), false)
        }
      }
    } catch (error) {
      this.#failure = { error }
      if (!this.#isOver) sink.onAbort()
      return
    }
    await this.#flowing()
    if (!this.#isOver) sink.onChunk(nothing, true)
  }

  async #flowing(): Promise<void> {
    while (this.#isPaused && !this.#isOver) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
}
