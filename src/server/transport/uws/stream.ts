// Sends a ByteSource through tryEnd: as fast as the socket takes it, buffering nothing.

import type { HttpResponse } from 'uWebSockets.js'
import type { ByteSource } from '../../../http/reply.ts'

const scratchBytes = 512 * 1024
const waitBytes = 128 * 1024
const waitBuffersKept = 64
// After so much in one go, other connections get their turn.
const turnBytesMax = 4 * 1024 * 1024

/** Buffers of one listener's streams: one for bytes at hand, a few for reads that wait. */
export class StreamBuffers {
  /** Shared: valid until the next turn of the event loop. */
  readonly scratch: Uint8Array = new Uint8Array(scratchBytes)
  readonly #free: Uint8Array[] = []

  take(): Uint8Array {
    return this.#free.pop() ?? new Uint8Array(waitBytes)
  }

  give(buffer: Uint8Array): void {
    if (this.#free.length < waitBuffersKept) this.#free.push(buffer)
  }
}

interface StreamHost {
  readonly res: HttpResponse
  readonly buffers: StreamBuffers
  readonly writeHead: () => void
  readonly isAborted: () => boolean
  /** The last byte has been handed to the socket. */
  readonly onDone: () => void
  readonly onFault: (error: unknown, headSent: boolean) => void
}

/**
 * One reply body on its way. `run` starts it; the source is closed by the caller's onDone or onFault,
 * but after an abort by the read that was still under way.
 */
export class Stream {
  readonly #host: StreamHost
  readonly #source: ByteSource
  #position = 0
  #headSent = false
  #waiting = false
  #over = false

  constructor(host: StreamHost, source: ByteSource) {
    this.#host = host
    this.#source = source
  }

  /** True while a read owns its buffer and the source. */
  get waiting(): boolean {
    return this.#waiting
  }

  run(): void {
    const { scratch } = this.#host.buffers
    let turn = 0
    try {
      // A turn put off and a writable socket may both come here, the second behind the last byte.
      while (!this.#over && !this.#host.isAborted()) {
        const read = this.#source.readNow(this.#position, this.#bounded(scratch))
        if (read === undefined) {
          this.#wait()
          return
        }
        if (!this.#send(scratch.subarray(0, read))) return
        turn += read
        if (turn >= turnBytesMax) {
          setImmediate(() => this.run())
          return
        }
      }
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    this.#over = true
    this.#host.onFault(error, this.#headSent)
  }

  #wait(): void {
    const buffer = this.#host.buffers.take()
    const reading = this.#source.read(this.#position, this.#bounded(buffer))
    this.#waiting = true
    reading
      .then((read) => {
        this.#waiting = false
        if (this.#host.isAborted()) this.#source.close()
        else if (this.#send(buffer.subarray(0, read))) this.run()
      })
      .catch((error: unknown) => {
        this.#waiting = false
        if (this.#host.isAborted()) this.#source.close()
        else this.#fail(error)
      })
      .finally(() => this.#host.buffers.give(buffer))
  }

  #bounded(buffer: Uint8Array): Uint8Array {
    const left = this.#source.length - this.#position
    return left < buffer.length ? buffer.subarray(0, left) : buffer
  }

  /** Whether there is more to send and the socket took all of this. */
  #send(chunk: Uint8Array): boolean {
    const { res } = this.#host
    // Asked again, such a source would say the same: an endless loop.
    if (chunk.length === 0 && this.#position < this.#source.length) {
      throw new Error(`a source ended at ${this.#position} of ${this.#source.length} bytes`)
    }
    let ok = false
    let done = false
    const isFirst = !this.#headSent
    this.#headSent = true
    if (isFirst) res.onWritable((offset) => this.#onWritable(offset))
    res.cork(() => {
      if (isFirst) this.#host.writeHead()
      ;[ok, done] = res.tryEnd(chunk, this.#source.length)
    })
    if (done) {
      this.#over = true
      this.#host.onDone()
      return false
    }
    this.#position += chunk.length
    return ok
  }

  // The socket says how far it really came; the rest is read again, which costs less than keeping it.
  #onWritable(offset: number): boolean {
    this.#position = offset
    if (!this.#waiting) this.run()
    return true
  }
}
