// A file as a body that the ingest pool takes.

import type { FileHandle } from 'node:fs/promises'
import type { IngestPool } from '../../offload/contract.ts'

type Body = Parameters<IngestPool['receive']>[1]
type Sink = Parameters<Body['consume']>[0]

const chunkBytes = 256 << 10

export class FileBody implements Body {
  readonly length: number
  /** Why it ended before its end. */
  error: unknown
  readonly #file: FileHandle
  readonly #signal: AbortSignal
  #sink: Sink | undefined
  #position = 0
  #isPaused = false
  #isReading = false
  #isOver = false

  /** `length` in bytes. The file stays the caller's. */
  constructor(file: FileHandle, length: number, signal: AbortSignal) {
    this.#file = file
    this.length = length
    this.#signal = signal
  }

  consume(sink: Sink): void {
    this.#sink = sink
    this.resume()
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    const sink = this.#sink
    if (sink === undefined || this.#isReading || this.#isOver) return
    this.#isReading = true
    this.#read(sink)
      .catch((error: unknown) => {
        this.error = error
        this.#isOver = true
        sink.onAbort()
      })
      .finally(() => {
        this.#isReading = false
        // It was resumed while the last chunk was on its way.
        if (!this.#isPaused) this.resume()
      })
  }

  async #read(sink: Sink): Promise<void> {
    const buffer = Buffer.allocUnsafe(Math.min(chunkBytes, Math.max(1, this.length)))
    while (!this.#isPaused && !this.#isOver) {
      this.#signal.throwIfAborted()
      const left = this.length - this.#position
      const wanted = Math.min(buffer.length, left)
      const { bytesRead } = await this.#file.read(buffer, 0, wanted, this.#position)
      if (bytesRead === 0 && wanted > 0) throw new Error('the file has become shorter')
      this.#position += bytesRead
      this.#isOver = this.#position === this.length
      sink.onChunk(buffer.subarray(0, bytesRead), this.#isOver)
    }
  }
}
