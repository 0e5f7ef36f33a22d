// The buckets of one ingest thread: staged bytes behind the same interface as files.

import { S3Bucket } from '../src/s3/client.ts'
import type { S3Attempt, UnfinishedObject } from '../src/s3/contract.ts'
import { S3Fault } from '../src/s3/fault.ts'
import { lookAt } from '../src/s3/objects.ts'
import { type Piece, type Segment, stagedSegments } from '../src/s3/pieces.ts'
import { StagedReader } from '../src/s3/staged-reader.ts'
import { PartBudget } from './part-budget.ts'
import { S3DirectWriter } from './s3-direct-writer.ts'
import { piecesUpTo, S3Writer } from './s3-writer.ts'
import type { StagedBytes } from './staged-bytes.ts'
import { IngestFailure, ingestFailure } from './staged-file.ts'
import type { S3PlaceTerms } from './tasks.ts'

interface Held {
  readonly bucket: S3Bucket
  readonly budget: PartBudget
}

export class S3Place {
  readonly #onAttempt: (attempt: S3Attempt) => void
  readonly #buckets = new Map<string, Held>()

  constructor(onAttempt: (attempt: S3Attempt) => void) {
    this.#onAttempt = onAttempt
  }

  /** To add bytes after the first `offset`. Errors: IngestFailure 'corrupt' where they are fewer. */
  async open(folder: string, terms: S3PlaceTerms, offset: number): Promise<StagedBytes> {
    const { bucket, budget } = this.#held(terms)
    const { fence = 0, limits, whole } = terms
    const { partBytes } = limits
    if (offset === 0 && whole !== undefined) {
      const direct = S3DirectWriter.open({ bucket, budget, ...whole, partBytes })
      if (direct !== undefined) return new S3Direct(direct)
    }
    const list = (): Promise<readonly Piece[]> => piecesUpTo(bucket, folder, offset, terms.fence)
    // Of a body from the first byte on nothing that it would find is in its way.
    const pieces = offset === 0 ? [] : await guarded(list())
    const writer = new S3Writer({ bucket, budget, folder, offset, fence, partBytes }, list)
    return new S3Staged(new StagedReader(bucket, stagedSegments(pieces)), writer)
  }

  /** To read the first `length` bytes. Errors: IngestFailure 'corrupt' where they are fewer. */
  async read(key: string, terms: S3PlaceTerms, length: number): Promise<StagedBytes> {
    const { bucket } = this.#held(terms)
    const segments = await guarded(segmentsOf(bucket, key, length, terms.fence))
    return new S3Staged(new StagedReader(bucket, segments), undefined)
  }

  close(): void {
    for (const { bucket } of this.#buckets.values()) bucket.close()
  }

  // A client serves as long as the thread: its credentials are renewed, the rest never changes.
  #held({ connection, limits }: S3PlaceTerms): Held {
    const { credentials, ...rest } = connection
    const name = JSON.stringify(rest)
    const known = this.#buckets.get(name)
    if (known !== undefined) {
      if (credentials !== undefined) known.bucket.renew(credentials)
      return known
    }
    const bucket = new S3Bucket(connection, { onAttempt: this.#onAttempt })
    const held = { bucket, budget: new PartBudget(limits.threadBudgetBytes) }
    this.#buckets.set(name, held)
    return held
  }
}

class S3Staged implements StagedBytes {
  readonly #reader: StagedReader
  /** Absent where it is only read. */
  readonly #writer: S3Writer | undefined

  constructor(reader: StagedReader, writer: S3Writer | undefined) {
    this.#reader = reader
    this.#writer = writer
  }

  async write(parts: readonly Uint8Array[], position: number): Promise<void> {
    const writer = this.#own()
    let at = position
    for (const part of parts) {
      await guarded(writer.add(part, at))
      at += part.length
    }
  }

  async read(target: Uint8Array, position: number): Promise<void> {
    const count = await guarded(this.#reader.read(position, target))
    if (count < target.length) throw new IngestFailure('corrupt', 'fewer bytes are staged')
  }

  // Nothing to be done: what is not committed does not count, and goes with the session.
  async cutBack(): Promise<void> {}

  stop(): void {
    this.#writer?.stop()
  }

  async sync(): Promise<void> {
    await guarded(this.#own().finish())
  }

  async close(): Promise<void> {
    this.#reader.close()
    await this.#writer?.close()
  }

  #own(): S3Writer {
    if (this.#writer === undefined) throw new Error('what is only read is written')
    return this.#writer
  }
}

class S3Direct implements StagedBytes {
  readonly #writer: S3DirectWriter

  constructor(writer: S3DirectWriter) {
    this.#writer = writer
  }

  async write(parts: readonly Uint8Array[]): Promise<void> {
    for (const part of parts) await guarded(this.#writer.add(part))
  }

  async read(): Promise<void> {
    throw new Error('what is not staged is read')
  }

  // `close` does, where nobody takes them.
  async cutBack(): Promise<void> {}

  stop(): void {
    this.#writer.stop()
  }

  async sync(): Promise<void> {
    await guarded(this.#writer.finish())
  }

  unfinished(): UnfinishedObject | undefined {
    return this.#writer.unfinished
  }

  async close(): Promise<void> {
    await this.#writer.close()
  }
}

/** What is staged in a folder, or one object. */
async function segmentsOf(
  bucket: S3Bucket,
  key: string,
  length: number,
  fence: number | undefined,
): Promise<readonly Segment[]> {
  if (key.endsWith('/')) {
    return stagedSegments(await piecesUpTo(bucket, key, length, fence), length)
  }
  const object = await lookAt(bucket, key)
  const size = object?.size ?? 0
  if (object === undefined || size < length) {
    throw new IngestFailure('corrupt', `${size} of ${length} bytes are there`)
  }
  return [{ piece: { ...object, fence: 0, start: 0 }, start: 0, end: size }]
}

async function guarded<Value>(call: Promise<Value>): Promise<Value> {
  try {
    return await call
  } catch (error) {
    if (!(error instanceof S3Fault)) throw ingestFailure(error)
    // What was listed a moment ago is gone, or another one: somebody has ended the session meanwhile.
    if (error.kind === 'absent' || error.kind === 'exists') {
      throw new IngestFailure('corrupt', error.message)
    }
    throw new IngestFailure(error.kind, error.message)
  }
}
