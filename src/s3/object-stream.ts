// Bytes of one object from front to back: one request that is read at the pace of the reader, and another one from
// where it stood where the connection breaks or stalls.

import type { Readable } from 'node:stream'
import { GetObjectCommand, type GetObjectCommandOutput } from '@aws-sdk/client-s3'
import type { S3Bucket, Send } from './client.ts'
import type { S3Object } from './contract.ts'
import { S3Fault, s3Fault, timeoutFault, wrongBytes } from './fault.ts'

/** Read-ahead is what the stream and the socket hold, some 100 KiB. One read at a time. */
export class ObjectStream {
  readonly #bucket: S3Bucket
  readonly #object: S3Object
  readonly #end: number
  #position: number
  #body: Readable | undefined
  /** Of the last piece that came, what was not asked for yet. */
  #rest: Uint8Array = new Uint8Array(0)
  /** Connections that broke since the last byte came. */
  #failures = 0
  #isClosed = false

  /** Units: bytes of the object, `end` exclusive. */
  constructor(bucket: S3Bucket, object: S3Object, start: number, end: number) {
    this.#bucket = bucket
    this.#object = object
    this.#position = start
    this.#end = end
  }

  /** Where the next read begins, in bytes of the object. */
  get position(): number {
    return this.#position
  }

  /**
   * Fill `target`; less only at the end. Errors: S3Fault: 'exists' where the object is not the same any more,
   * 'absent' where it is gone, 'unavailable' after `attemptsMax` connections without a byte.
   */
  async read(target: Uint8Array): Promise<number> {
    const wanted = Math.min(target.length, this.#end - this.#position)
    let done = 0
    while (done < wanted) {
      if (this.#rest.length === 0) this.#rest = await this.#next()
      const piece = this.#rest.subarray(0, wanted - done)
      target.set(piece, done)
      this.#rest = this.#rest.subarray(piece.length)
      this.#position += piece.length
      done += piece.length
    }
    if (this.#position === this.#end) this.#drop()
    return done
  }

  /** Idempotent. */
  close(): void {
    this.#isClosed = true
    this.#drop()
  }

  async #next(): Promise<Uint8Array> {
    for (;;) {
      if (this.#isClosed) throw new Error('an object is read after its stream was closed')
      try {
        this.#body ??= await this.#open()
        const piece = await this.#pieceOf(this.#body)
        if (piece.length > this.#end - this.#position) {
          throw wrongBytes(this.#object.key, 'more bytes came than were asked for')
        }
        this.#failures = 0
        return piece
      } catch (cause) {
        this.#drop()
        const fault = s3Fault(`read ${this.#object.key}`, cause)
        this.#failures += 1
        if (!fault.mayRetry || this.#failures >= this.#bucket.connection.attemptsMax) throw fault
        await this.#bucket.backOff(this.#failures)
      }
    }
  }

  async #open(): Promise<Readable> {
    const { bucket: Bucket } = this.#bucket.connection
    const { key, etag } = this.#object
    const Range = `bytes=${this.#position}-${this.#end - 1}`
    const send: Send<GetObjectCommandOutput> = (client, abortSignal) =>
      client.send(new GetObjectCommand({ Bucket, Key: key, IfMatch: etag, Range }), { abortSignal })
    // Whoever reads counts the attempts.
    const got = await this.#bucket.call('GetObject', send, { attemptsMax: 1 })
    const body = got.Body as Readable | undefined
    if (body === undefined) throw wrongBytes(key, 'the answer has no body')
    // Without a listener a connection that breaks between two reads would end the process.
    body.on('error', () => undefined)
    const size = this.#end - this.#position
    if (got.ContentLength !== size || (got.ETag !== undefined && got.ETag !== etag)) {
      body.destroy()
      throw wrongBytes(key, `${got.ContentLength} bytes come instead of ${size}`)
    }
    if (this.#isClosed) {
      body.destroy()
      throw new S3Fault('unavailable', 'Aborted', `read ${key}: was stopped`, {
        ...{ mayRetry: false, result: 'fault' },
      })
    }
    return body
  }

  /** The next bytes that have come. Errors: where none come in time, or none are to come. */
  #pieceOf(body: Readable): Promise<Uint8Array> {
    const { attemptTimeoutMs } = this.#bucket.connection
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const piece: unknown = body.read()
        if (piece instanceof Uint8Array && piece.length > 0) settle(() => resolve(piece))
      }
      const onEnd = (): void => {
        settle(() => reject(wrongBytes(this.#object.key, 'the answer was cut')))
      }
      const onError = (error: unknown): void => settle(() => reject(error))
      const onLate = (): void => {
        const what = `read ${this.#object.key}`
        settle(() => reject(timeoutFault(what, attemptTimeoutMs)))
      }
      const timer = setTimeout(onLate, attemptTimeoutMs)
      const settle = (how: () => void): void => {
        clearTimeout(timer)
        body.off('readable', look).off('end', onEnd).off('close', onEnd).off('error', onError)
        how()
      }
      body.on('readable', look).on('end', onEnd).on('close', onEnd).on('error', onError)
      if (body.errored) onError(body.errored)
      else if (body.destroyed || body.readableEnded) onEnd()
      else look()
    })
  }

  #drop(): void {
    this.#rest = new Uint8Array(0)
    this.#body?.destroy()
    this.#body = undefined
  }
}
