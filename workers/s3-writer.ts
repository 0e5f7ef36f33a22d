// The bytes of one body on their way to a bucket: gathered to parts, each sent as an object of its own.

import { crc32 } from 'node:zlib'
import type { S3Bucket } from '../src/s3/client.ts'
import { putObject } from '../src/s3/objects.ts'
import { type Piece, pieceName, stagedBytes } from '../src/s3/pieces.ts'
import { listPieces } from '../src/s3/staged-reader.ts'
import type { PartBudget, PartHolder } from './part-budget.ts'
import { IngestFailure } from './staged-file.ts'

// Sent while another one is filled.
const partsInFlightMax = 2
const firstBytesMin = 64 << 10

interface Part {
  bytes: Uint8Array
  filled: number
  readonly start: number
}

export interface WriterPlace {
  readonly bucket: S3Bucket
  readonly budget: PartBudget
  /** Ends in a slash. */
  readonly folder: string
  /** Committed bytes. */
  readonly offset: number
  /** Of the body: later ones have a higher one. */
  readonly fence: number
  readonly partBytes: number
}

export class S3Writer implements PartHolder {
  readonly #place: WriterPlace
  readonly #stopping = new AbortController()
  readonly #list: () => Promise<readonly Piece[]>
  readonly #sending = new Set<Promise<void>>()
  #hasSent = false
  #part: Part | undefined
  #failure: { readonly error: unknown } | undefined

  /** `list`: what the upload has. Where that is fewer bytes than were committed, there is no writer. */
  constructor(place: WriterPlace, list: () => Promise<readonly Piece[]>) {
    this.#place = place
    this.#list = list
    place.budget.join(this)
  }

  get heldBytes(): number {
    return this.#sending.size < partsInFlightMax ? (this.#part?.filled ?? 0) : 0
  }

  release(): boolean {
    if (this.heldBytes === 0) return false
    this.#send()
    return true
  }

  /** Resolves once they are taken over; `bytes` may be used again. Errors: what a part before has met. */
  async add(bytes: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      this.#throwFailure()
      const part = this.#part ?? (await this.#begin(position + done, bytes.length - done))
      const count = Math.min(part.bytes.length - part.filled, bytes.length - done)
      part.bytes.set(bytes.subarray(done, done + count), part.filled)
      part.filled += count
      done += count
      if (part.filled === part.bytes.length) await this.#growOrSend(part)
    }
  }

  /** Resolves when all is stored, and nothing that was left behind the offset counts any more. */
  async finish(): Promise<void> {
    if (this.#part) await this.#sendInTurn(this.#part)
    await this.#settle()
    this.#throwFailure()
    if (this.#hasSent) return
    const { offset, fence, folder, bucket } = this.#place
    // An empty piece: it says that the bytes end here.
    if (stagedBytes(await this.#list()) === offset) return
    const key = `${folder}${pieceName(fence, offset, 0)}`
    await putObject(bucket, key, new Uint8Array(0))
  }

  /**
   * What is on its way ends, soon. What has arrived stays till the session ends: a removal that the bucket makes late
   * could hit what another body has stored meanwhile.
   */
  stop(): void {
    this.#failure ??= { error: new IngestFailure('unavailable', 'the body was aborted') }
    this.#stopping.abort()
  }

  async close(): Promise<void> {
    this.#drop()
    await this.#settle()
    this.#place.budget.leave(this)
  }

  async #begin(start: number, bytes: number): Promise<Part> {
    const { budget, partBytes } = this.#place
    const size = Math.min(partBytes, Math.max(firstBytesMin, bytes))
    await budget.take(size)
    const part: Part = { bytes: new Uint8Array(size), filled: 0, start }
    this.#part = part
    return part
  }

  // Small pieces cost the bucket, and us, a second way: what our own parts hold comes back soon.
  async #growOrSend(part: Part): Promise<void> {
    while (!this.#grow(part)) {
      if (part.bytes.length === this.#place.partBytes || this.#sending.size === 0) {
        return this.#sendInTurn(part)
      }
      await Promise.race(this.#sending)
      // Others may have needed its room meanwhile.
      if (this.#part !== part) return
    }
  }

  /** False where it is as large as a part may be, or the memory for more is in use. */
  #grow(part: Part): boolean {
    const { budget, partBytes } = this.#place
    const more = Math.min(part.bytes.length, partBytes - part.bytes.length)
    if (more === 0 || !budget.tryTake(more)) return false
    const larger = new Uint8Array(part.bytes.length + more)
    larger.set(part.bytes)
    part.bytes = larger
    return true
  }

  async #sendInTurn(part: Part): Promise<void> {
    while (this.#sending.size >= partsInFlightMax) await Promise.race(this.#sending)
    // Others may have needed its room meanwhile.
    if (this.#part === part) this.#send()
  }

  #send(): void {
    const part = this.#part
    if (part === undefined) return
    this.#part = undefined
    const sending = this.#put(part)
      .catch((error: unknown) => {
        this.#failure ??= { error }
      })
      .finally(() => {
        this.#sending.delete(sending)
        this.#place.budget.giveBack(part.bytes.length)
      })
    this.#sending.add(sending)
  }

  async #put(part: Part): Promise<void> {
    const { bucket, fence, folder } = this.#place
    const bytes = Buffer.from(part.bytes.buffer, 0, part.filled)
    const sum = crc32(bytes)
    const key = `${folder}${pieceName(fence, part.start, sum)}`
    this.#hasSent = true
    await putObject(bucket, key, bytes, { crc32: sum, signal: this.#stopping.signal })
  }

  async #settle(): Promise<void> {
    while (this.#sending.size > 0) await Promise.all(this.#sending)
  }

  #drop(): void {
    if (this.#part === undefined) return
    this.#place.budget.giveBack(this.#part.bytes.length)
    this.#part = undefined
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}

/** Errors: IngestFailure 'corrupt' where fewer than `offset` bytes are staged; S3Fault. */
export async function piecesUpTo(
  bucket: S3Bucket,
  folder: string,
  offset: number,
  fence?: number,
): Promise<readonly Piece[]> {
  const pieces = await listPieces(bucket, folder, fence)
  const staged = stagedBytes(pieces) ?? 0
  if (staged >= offset) return pieces
  throw new IngestFailure('corrupt', `${staged} of ${offset} bytes are staged`)
}
