// Sends a ByteSource through tryEnd: as fast as the socket takes it, buffering nothing.

import type { HttpResponse } from 'uWebSockets.js'
import type { ByteSource } from '../../../http/reply.ts'
import type { Moving, PaceKeeper } from './pace.ts'

// More is not faster: it leaves the caches, and what a socket refuses is read again for the next one.
const scratchBytes = 256 * 1024
// What is read at first, and for a socket that takes little at a time: of a new connection's first bytes
// the socket refuses most, and a client may soon have enough.
const readBytesMin = 64 * 1024
const waitBytes = 128 * 1024
const waitBuffersKept = 64
// After so much in one go, other connections get their turn.
const turnBytesMax = 4 * 1024 * 1024

/** Buffers of one listener's streams: one for bytes at hand, a few for reads that wait. */
export class StreamBuffers {
  /** Shared: holds what the last stream to use it read. */
  readonly scratch: Uint8Array = new Uint8Array(scratchBytes)
  readonly #free: Uint8Array[] = []
  #reader: object | undefined
  #start = 0
  #end = 0

  /** The scratch now holds bytes `start` to `end` of what this reader reads. */
  hold(reader: object, start: number, end: number): void {
    this.#reader = reader
    this.#start = start
    this.#end = end
  }

  /** What is still held of this reader's bytes from `position` on; undefined where nothing is. */
  held(reader: object, position: number): Uint8Array | undefined {
    if (this.#reader !== reader || position < this.#start || position >= this.#end) return undefined
    return this.scratch.subarray(position - this.#start, this.#end - this.#start)
  }

  /** At least `bytes` long. */
  take(bytes: number): Uint8Array {
    if (bytes > waitBytes) return new Uint8Array(bytes)
    return this.#free.pop() ?? new Uint8Array(waitBytes)
  }

  give(buffer: Uint8Array): void {
    const isUsual = buffer.length === waitBytes
    if (isUsual && this.#free.length < waitBuffersKept) this.#free.push(buffer)
  }
}

interface StreamHost {
  readonly res: HttpResponse
  readonly buffers: StreamBuffers
  readonly pace: PaceKeeper
  /** Undefined where the head has left, and perhaps a part of the body. */
  readonly writeHead: (() => void) | undefined
  readonly isAborted: () => boolean
  /** The last byte has been handed to the socket. */
  readonly onDone: () => void
  readonly onFault: (error: unknown, headSent: boolean) => void
}

/**
 * One reply body on its way. `run` starts it; the source is closed by the caller's onDone or onFault,
 * but after an abort by the read that was still under way.
 */
export class Stream implements Moving {
  readonly kind = 'reply'
  readonly #host: StreamHost
  readonly #source: ByteSource
  #position = 0
  #writableAt = 0
  #readBytes = readBytesMin
  #headSent = false
  #waiting = false
  /** The socket has refused some of it. */
  #blocked = false
  #blockedAt = -1
  /** Up to where the socket has been offered bytes. TLS wants at least these again after a refusal. */
  #offered = 0
  #watched = false
  #over = false

  constructor(host: StreamHost, source: ByteSource) {
    this.#host = host
    this.#source = source
    if (host.writeHead !== undefined) return
    this.#headSent = true
    this.#offered = source.length
    this.#position = host.res.getWriteOffset()
    host.res.onWritable((offset) => this.#onWritable(offset))
    this.#block()
  }

  /** True while a read owns its buffer and the source. */
  get waiting(): boolean {
    return this.#waiting
  }

  movedBytes(): number | undefined {
    return this.#blocked ? this.#position : undefined
  }

  // The kernel tells of room only when there is much of it. A client that reads slowly makes none for
  // longer than uWS would wait; writing again takes what room there is, and starts its wait anew.
  onTick(): void {
    const isStill = this.#blocked && this.#blockedAt === this.#position
    this.#blockedAt = this.#position
    if (isStill && !this.#waiting && !this.#over && !this.#host.isAborted()) {
      this.#onWritable(this.#host.res.getWriteOffset())
    }
  }

  cut(): void {
    this.#over = true
    this.#host.res.close()
  }

  /** It has ended, well or not. */
  stop(): void {
    this.#over = true
    if (this.#watched) this.#host.pace.forget(this)
  }

  run(): void {
    // The socket may have had room before a turn that was put off: that read goes on with it.
    if (this.#waiting) return
    let turn = 0
    try {
      // A turn put off and a writable socket may both come here, the second behind the last byte.
      while (!this.#over && !this.#host.isAborted()) {
        const chunk = this.#atHand()
        if (chunk === undefined) {
          this.#wait()
          return
        }
        const { length } = chunk
        if (!this.#send(chunk)) return
        turn += length
        if (turn >= turnBytesMax) {
          setImmediate(() => this.run())
          return
        }
      }
    } catch (error) {
      this.#fail(error)
    }
  }

  // The socket mostly takes a part; while no other stream comes between, the rest need not be read again.
  #atHand(): Uint8Array | undefined {
    const { buffers } = this.#host
    const held = buffers.held(this, this.#position)
    if (held !== undefined) return held
    const bytes = Math.max(this.#readBytes, this.#offered - this.#position)
    const target = this.#bounded(buffers.scratch.subarray(0, bytes))
    const read = this.#source.readNow(this.#position, target)
    if (read === undefined) return undefined
    buffers.hold(this, this.#position, this.#position + read)
    return buffers.scratch.subarray(0, read)
  }

  #fail(error: unknown): void {
    this.#over = true
    this.#host.onFault(error, this.#headSent)
  }

  #wait(): void {
    const buffer = this.#host.buffers.take(this.#offered - this.#position)
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
    this.#offered = this.#position + chunk.length
    if (isFirst) res.onWritable((offset) => this.#onWritable(offset))
    res.cork(() => {
      if (isFirst) this.#host.writeHead?.()
      ;[ok, done] = res.tryEnd(chunk, this.#source.length)
    })
    if (done) {
      this.#over = true
      this.#host.onDone()
      return false
    }
    if (!ok) {
      this.#position = res.getWriteOffset()
      this.#block()
      return false
    }
    if (chunk.length === 0) {
      throw new Error(`a reply of ${this.#source.length} bytes does not end at ${this.#position}`)
    }
    this.#position += chunk.length
    this.#readBytes = Math.min(scratchBytes, 2 * this.#readBytes)
    this.#blocked = false
    return true
  }

  #block(): void {
    this.#blocked = true
    if (this.#watched) return
    this.#watched = true
    this.#host.pace.watch(this)
  }

  // The socket says how far it really came. It will take about as much the next time.
  #onWritable(offset: number): boolean {
    const taken = offset - this.#writableAt
    this.#writableAt = offset
    this.#readBytes = Math.min(scratchBytes, Math.max(readBytesMin, taken))
    this.#position = offset
    this.#blocked = false
    if (!this.#waiting) this.run()
    return true
  }
}
