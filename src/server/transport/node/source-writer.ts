// Sends a ByteSource: one buffer, refilled when the socket has taken what it held.

import type { Writable } from 'node:stream'
import type { ByteSource } from '../../../http/reply.ts'

// Each slow client holds one, and what TLS has made of it. Twice as much is no faster over TLS, measured in CPU
// time for each byte.
const bufferBytes = 64 * 1024
const spareBuffersMax = 16
const spareBuffers: Buffer[] = []

export interface SourceWriterHost {
  readonly sink: Writable
  /** Called once, when the first bytes are at hand: until then a fault can still be answered. */
  writeHead(): void
  /** Called once: without an error when every byte is handed over. */
  onEnd(error?: unknown): void
}

export class SourceWriter {
  readonly #source: ByteSource
  readonly #host: SourceWriterHost
  readonly #buffer = spareBuffers.pop() ?? Buffer.allocUnsafeSlow(bufferBytes)
  #position = 0
  #isOver = false
  #isReading = false
  #isWriting = false

  constructor(source: ByteSource, host: SourceWriterHost) {
    this.#source = source
    this.#host = host
  }

  /** True while it is the client's turn to take bytes. */
  get awaitsClient(): boolean {
    return this.#isWriting
  }

  start(): void {
    this.#fill()
  }

  /** The client is gone. */
  abandon(): void {
    if (this.#isOver) return
    this.#isOver = true
    // A read in progress still owns the buffer and the file: its end closes them.
    if (!this.#isReading) this.#source.close()
  }

  #fill(): void {
    const left = this.#source.length - this.#position
    if (left === 0) {
      this.#finish()
      return
    }
    const target = left < bufferBytes ? this.#buffer.subarray(0, left) : this.#buffer
    try {
      const ready = this.#source.readNow(this.#position, target)
      if (ready === undefined) {
        const pending = this.#source.read(this.#position, target)
        this.#isReading = true
        pending.then(
          (bytes) => this.#onRead(() => this.#write(bytes)),
          (error: unknown) => this.#onRead(() => this.#fail(error)),
        )
      } else {
        this.#write(ready)
      }
    } catch (error) {
      this.#fail(error)
    }
  }

  #onRead(goOn: () => void): void {
    this.#isReading = false
    if (this.#isOver) this.#source.close()
    else goOn()
  }

  #write(bytes: number): void {
    const left = this.#source.length - this.#position
    if (bytes <= 0 || bytes > left) {
      this.#fail(new Error(`a source gave ${bytes} of ${left} bytes`))
      return
    }
    if (this.#position === 0) this.#host.writeHead()
    this.#position += bytes
    this.#isWriting = true
    this.#host.sink.write(this.#buffer.subarray(0, bytes), (error) => {
      this.#isWriting = false
      // An error here is the client's going, which the connection reports.
      if (this.#isOver || error) return
      this.#fill()
    })
  }

  #finish(): void {
    this.#isOver = true
    if (this.#position === 0) this.#host.writeHead()
    // After an abort the socket may still hold the buffer, so only a clean end gives it back.
    if (spareBuffers.length < spareBuffersMax) spareBuffers.push(this.#buffer)
    this.#source.close()
    this.#host.onEnd()
  }

  #fail(error: unknown): void {
    this.#isOver = true
    this.#source.close()
    this.#host.onEnd(error)
  }
}
