// The bytes of a whole blob on their way to where they belong: parts of an object that nobody sees before its digest is
// known to be right. Nothing is staged, and nothing has to be copied.

import type { S3Bucket } from '../src/s3/client.ts'
import type { DonePart, UnfinishedObject } from '../src/s3/contract.ts'
import { Multipart } from '../src/s3/multipart.ts'
import type { PartBudget } from './part-budget.ts'
import { IngestFailure } from './staged-file.ts'

// Sent while another one is filled.
const partsInFlightMax = 2

export interface DirectPlace {
  readonly bucket: S3Bucket
  readonly budget: PartBudget
  readonly key: string
  /** Of the blob: what the client has announced. */
  readonly bytes: number
  readonly partBytes: number
}

export class S3DirectWriter {
  readonly #place: DirectPlace
  readonly #partBytes: number
  readonly #multipart: Promise<Multipart>
  readonly #stopping = new AbortController()
  readonly #sending = new Set<Promise<void>>()
  readonly #done: DonePart[] = []
  /** Buffers that are not in use: the one that is reserved, or those of parts that were sent. */
  readonly #spare: Uint8Array[] = []
  #buffers = 1
  #part: Uint8Array
  #filled = 0
  #hasPart = true
  #next = 1
  #failure: { readonly error: unknown } | undefined
  #unfinished: UnfinishedObject | undefined

  private constructor(place: DirectPlace, partBytes: number) {
    this.#place = place
    this.#partBytes = partBytes
    this.#part = new Uint8Array(partBytes)
    this.#multipart = Multipart.begin(place.bucket, place.key, this.#stopping.signal)
    // Told by the first use of it.
    this.#multipart.catch(() => undefined)
  }

  /**
   * Undefined where there is no memory for it now. Parts of a blob may not be small, so that what it has gathered cannot be
   * sent early where others need the room: it keeps that of one part till it is closed.
   */
  static open(place: DirectPlace): S3DirectWriter | undefined {
    const partBytes = Math.min(place.partBytes, place.bytes)
    return place.budget.tryReserve(partBytes) ? new S3DirectWriter(place, partBytes) : undefined
  }

  /** Resolves once they are taken over; `bytes` may be used again. Errors: what a part before has met. */
  async add(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      this.#throwFailure()
      if (!this.#hasPart) await this.#begin()
      const count = Math.min(this.#partBytes - this.#filled, bytes.length - done)
      this.#part.set(bytes.subarray(done, done + count), this.#filled)
      this.#filled += count
      done += count
      if (this.#filled === this.#partBytes) await this.#send()
    }
  }

  /** Resolves when the bucket has all of them. Errors: S3Fault. */
  async finish(): Promise<void> {
    if (this.#hasPart && this.#filled > 0) await this.#send()
    await this.#settle()
    this.#throwFailure()
    const parts = this.#done.toSorted((a, b) => a.PartNumber - b.PartNumber)
    this.#unfinished = (await this.#multipart).unfinished(parts)
  }

  /** After `finish`: what is left to be completed, or aborted, by whoever takes it. */
  get unfinished(): UnfinishedObject | undefined {
    return this.#unfinished
  }

  /** What is on its way ends, soon. */
  stop(): void {
    this.#failure ??= { error: new IngestFailure('unavailable', 'the body was aborted') }
    this.#stopping.abort()
  }

  /** Resolves when no part is under way any more. Those that nobody is to complete are gone soon. */
  async close(): Promise<void> {
    await this.#settle()
    const { budget } = this.#place
    budget.giveBack((this.#buffers - 1) * this.#partBytes)
    budget.endReserve(this.#partBytes)
    if (this.#unfinished !== undefined) return
    // Nobody waits for it: a bucket that does not answer would hold the session. Then the store finds it by its age.
    void this.#multipart.then((multipart) => multipart.abort()).catch(() => undefined)
  }

  /** Room for the next part: that of one that was sent, or more where there is any. */
  async #begin(): Promise<void> {
    for (;;) {
      this.#throwFailure()
      const spare = this.#spare.pop() ?? this.#another()
      if (spare !== undefined) {
        this.#part = spare
        this.#filled = 0
        this.#hasPart = true
        return
      }
      await Promise.race(this.#sending)
    }
  }

  #another(): Uint8Array | undefined {
    if (!this.#place.budget.tryTake(this.#partBytes)) return undefined
    this.#buffers += 1
    return new Uint8Array(this.#partBytes)
  }

  async #send(): Promise<void> {
    while (this.#sending.size >= partsInFlightMax) await Promise.race(this.#sending)
    const part = this.#part
    const bytes = part.subarray(0, this.#filled)
    const number = this.#next++
    this.#hasPart = false
    const sending = this.#put(number, bytes)
      .catch((error: unknown) => {
        this.#failure ??= { error }
      })
      .finally(() => {
        this.#sending.delete(sending)
        this.#spare.push(part)
      })
    this.#sending.add(sending)
  }

  async #put(number: number, bytes: Uint8Array): Promise<void> {
    const multipart = await this.#multipart
    this.#done.push(await multipart.putPart(number, bytes, this.#stopping.signal))
  }

  async #settle(): Promise<void> {
    while (this.#sending.size > 0) await Promise.all(this.#sending)
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}
